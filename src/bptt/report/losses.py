"""The loss that simple models have, as lines beside a run's learning curve."""

from __future__ import annotations

import math

import numpy as np

from ..training.tasks.scores import LINEAR, mean_of_spans
from ..training.tasks.task import ARV, Judged


def simple_losses(judged: Judged, balanced: bool) -> dict[str, float]:
    """The baselines' loss in the test set (of a text: in the validation set, where there is one), by name.

    A forecast's average relative variance is its mean square error over a variance, as the training loss is;
    beside a linear part the loss is over the variance that this part leaves. A classifier's baseline guesses the
    same probabilities for all sequences.

    Args:
        judged: the scores by model, the trained one first.
        balanced: whether all classes weigh the same in the loss.
    """
    if judged.confusion is not None:
        counts = np.array(judged.confusion, dtype=float).sum(1)
        shares = counts[counts > 0] / counts.sum()
        frequencies = -float((shares * np.log(shares)).sum())
        return {"the same guess for all": math.log(len(counts)) if balanced else frequencies}
    _, *baselines = judged.scores.items()
    if judged.measure.key != ARV.key:
        return {name: math.log(2) * next(iter(by_split.values())) for name, by_split in baselines}
    spans = next(iter(judged.scores.values())).keys()
    means = {name: mean_of_spans(by_span) for name, by_span in baselines if by_span.keys() == spans}
    unit = means.get(LINEAR, 1.0)
    return {name: value / unit for name, value in means.items()} if unit > 0 else {}
