"""Classification as a task: sequences with a label each, split, scaled, and judged beside baselines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from ...files import write_whole
from ...insight.plain_models import Criterion
from ...losses import cross_entropy
from ..batches import Minibatches, balanced, class_scores, logits_of
from ..data.labelled import Labelled
from ..data.scaling import Scaling
from ..options.classify import ClassifyOptions
from ..updates import Updates
from ..workers import ALONE, Workers
from .excerpt import TrainingExcerpt
from .extrapolation import beyond
from .neighbours import euclidean_neighbours, warped_neighbours
from .task import ACCURACY, WORSE, Judged, Standing, Undated, WholeModel
from .wrong_examples import wrong_examples

LEARNED = 0.95  # accuracy in the training set of a network that has learned it
SAMPLED = 8  # sequences of the excerpt on which gradients are measured


@dataclass(frozen=True, repr=False)
class Classify(Undated):
    """Labelled sequences as a task."""

    data: Labelled  # the sequences, those of a test file after the others
    # the numbers of the sequences that are for "training", "validation" (may be missing) and "test"
    splits: dict[str, list[int]]
    scaling: Scaling  # fitted to the steps of the training sequences
    config: ClassifyOptions  # stride, read-out, noise, class weights

    output = "predictions.csv"

    @property
    def lags(self) -> list[int]:
        return []

    @property
    def loss(self) -> Criterion:
        return cross_entropy

    @property
    def name(self) -> str:
        return self.data.name

    @property
    def columns(self) -> list[str]:
        return self.data.columns

    @property
    def labels(self) -> list[str]:
        return self.data.classes

    @property
    def train_steps(self) -> int:
        stride = self.config.stride or 1
        return sum(math.ceil(len(self.data.sequences[place]) / stride) for place in self.splits["training"])

    @property
    def amount(self) -> str:
        return f"{len(self.splits['training'])} training sequences of {len(self.labels)} classes"

    @property
    def aim(self) -> str:
        return f"Sequences of {self.name}, classified into {len(self.labels)} classes"

    def updates(self, model: nn.Module, workers: Workers = ALONE) -> Updates:
        """Minibatches of the training sequences."""
        config, weight = self.config, self.weights()
        x, classes = self.inputs("training"), self.truth("training")
        held = (self.inputs("validation"), self.truth("validation")) if "validation" in self.splits else None

        def validation() -> float | None:
            if held is None:
                return None
            return nn.functional.cross_entropy(logits_of(model, held[0], config), held[1], weight).item()

        return Minibatches(model, x, classes, config, validation, weight, workers)

    def training_excerpt(self) -> TrainingExcerpt:
        """The longest training sequences, of as many steps each, and their classes."""
        x, classes = self.inputs("training"), self.truth("training")
        steps = max(map(len, x))
        places = [place for place, sequence in enumerate(x) if len(sequence) == steps][:SAMPLED]
        config, weight = self.config, self.weights()

        def entropy(y: Tensor, d: Tensor, reduction: str = "mean") -> Tensor:
            scores = class_scores(y, config)
            own = None if weight is None else weight.to(scores)
            return nn.functional.cross_entropy(scores, d, own, reduction=reduction)

        of = f"{len(places)} training sequences" if len(places) > 1 else "the longest training sequence"
        rows = f" of {config.stride} rows" if (config.stride or 1) > 1 else ""
        what = f"{of} of {self.name}, {steps} steps{rows}{' each' if len(places) > 1 else ''}"
        rows = torch.stack([x[place] for place in places], 1)
        learned, test = ([self.data.sequences[i] for i in self.splits[one]] for one in ("training", "test"))
        note = beyond(np.concatenate(learned), test, self.columns, "steps of test sequences")
        errors, notes = partial(entropy, reduction="sum"), () if note is None else (note,)
        return TrainingExcerpt(rows, classes[places], entropy, errors, what, notes)

    def weights(self) -> Tensor | None:
        """The weight of each class in the loss; None for equal weights."""
        if self.config.class_weights != "balanced":
            return None
        return balanced(torch.bincount(self.truth("training"), minlength=len(self.labels)))

    def judge(self, whole: WholeModel, title: str, path: Path) -> Judged:
        """Predict the class of every sequence, write the predictions, and compare with the baselines."""
        found = logits_of(whole.model, inputs_of(self.data, self.scaling, self.config), self.config).softmax(-1)
        part_of = {place: split for split, places in self.splits.items() for place in places}
        rows = prediction_rows(self.data, found)
        rows.insert_column(1, pl.Series("split", [part_of[place] for place in range(len(rows))]))
        write_whole(path, rows.write_csv().encode())
        named = found.argmax(-1)
        majority = torch.bincount(self.truth("training")).argmax()
        baselines = {"majority class": majority.expand(len(named)), **self._neighbours()}
        scores = {
            model: {
                split: _share(labels[places] == self.truth(split))
                for split, places in self.splits.items()
                if split != "training" or "neighbour" not in model  # each one's nearest is itself
            }
            for model, labels in {title: named, **baselines}.items()
        }
        confusion = torch.zeros(len(self.labels), len(self.labels), dtype=torch.long, device="cpu")
        test = self.splits["test"]
        confusion.index_put_((self.truth("test"), named[test]), torch.tensor(1, device="cpu"), accumulate=True)
        return Judged(
            scores,
            measure=ACCURACY,
            confusion=confusion.tolist(),
            wrong=wrong_examples(self.data, test, found),
            verdict=verdict_of(scores, len(test)),
        )

    def inputs(self, split: str) -> list[Tensor]:
        """x (T, I) of each sequence of a split, as `inputs_of` has it."""
        return inputs_of(self.data, self.scaling, self.config, self.splits[split])

    def truth(self, split: str) -> Tensor:
        """The number of each one's class, (N)."""
        number = {label: place for place, label in enumerate(self.labels)}
        return torch.tensor([number[self.data.labels[place] or ""] for place in self.splits[split]], device="cpu")

    def _neighbours(self) -> dict[str, Tensor]:
        """The class of each sequence's nearest training sequence, by the measures of nearness."""
        sequences = [self.scaling.apply(sequence) for sequence in self.data.sequences]
        known = [sequences[place] for place in self.splits["training"]]
        found = {
            "1-nearest neighbour": euclidean_neighbours(known, sequences),
            "1-nearest neighbour, warped": warped_neighbours(known, sequences),
        }
        truth = self.truth("training")
        return {name: truth[torch.from_numpy(nearest)] for name, nearest in found.items() if nearest is not None}


def _share(right: Tensor) -> float:
    return right.double().mean().item()


def verdict_of(scores: dict[str, dict[str, float]], count: int) -> str:
    """The network's accuracy in the test set of `count` sequences beside the best baseline's, in words."""
    ours, name, best, words = Standing.of(scores, "more")
    said = f"{words}: {ours:.1%} of {count} test sequences are classified correctly"
    said = f"{said}, the best baseline ({name}) has {best:.1%}."
    if words != WORSE:
        return said
    known = next(iter(scores.values()))["training"]
    advice = "more training sequences, another --noise or --cell lstm"
    if known < LEARNED:
        advice = f"more --epochs or a larger --hidden, since only {known:.1%} of the training sequences are"
    return f"{said} Untried: {advice}."


def inputs_of(
    data: Labelled, scaling: Scaling, config: ClassifyOptions, places: list[int] | None = None
) -> list[Tensor]:
    """x of some sequences, or all of them, standardised: (T, C), or with a stride (⌈T / stride⌉, stride · C)."""
    chosen = data.sequences if places is None else [data.sequences[place] for place in places]
    scaled = (torch.from_numpy(scaling.apply(sequence)).float() for sequence in chosen)
    return [strided(x, config.stride or 1) for x in scaled]


def strided(x: Tensor, stride: int) -> Tensor:
    """Each `stride` steps of (T, C) side by side as one; the first step is repeated to fill the first of these.

    >>> strided(torch.arange(5.0)[:, None], 2).tolist()
    [[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]]
    """
    first = x[:1].expand(-len(x) % stride, -1)
    return torch.cat([first, x]).reshape(-1, stride * x.shape[1])


def prediction_rows(data: Labelled, probabilities: Tensor) -> pl.DataFrame:
    """A row for each sequence: series, truth (empty where unknown), predicted, and each class's probability."""
    named = [data.classes[place] for place in probabilities.argmax(-1).tolist()]
    columns = {
        "series": pl.Series(data.names, dtype=pl.String),
        "truth": pl.Series(data.labels, dtype=pl.String),
        "predicted": pl.Series(named, dtype=pl.String),
    }
    by_class = zip(data.classes, probabilities.T.tolist(), strict=True)
    return pl.DataFrame({**columns, **{f"probability of {label}": found for label, found in by_class}})
