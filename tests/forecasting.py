"""Shared by the tests of forecasting tasks: their steps and baselines as whole arrays, and tasks compared."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bptt.training.loop import Training
from bptt.training.network import network_of
from bptt.training.tasks.baselines import Baselines
from bptt.training.tasks.forecast import Forecast
from bptt.training.tasks.task import Judged, Task


def steps_of(task: Forecast) -> tuple[Tensor, Tensor]:
    """x (T, I) and d (T, K) of all steps of a table in memory."""
    ((_, x, d),) = task.examples(task.first_step, task.rows)
    return x, d


def training_data(task: Forecast) -> tuple[Tensor, Tensor]:
    """x and d of the training steps, in memory or on disk."""
    _, x, d = zip(*task.training_examples(), strict=True)
    return torch.cat(x), torch.cat(d)


def baselines_by_row(task: Forecast) -> dict[str, np.ndarray]:
    """By name, the baselines' forecasts of each row of a table in memory, (N, K), NaN where there is none."""
    (piece,) = task.pieces(0, task.rows, 0)
    at_steps = Baselines(task)(piece)
    found = {name: np.full_like(own, np.nan) for name, own in at_steps.items()}
    for output, (_, ahead) in enumerate(task.outputs):
        for name, own in at_steps.items():
            found[name][ahead:, output] = own[:-ahead, output]
    return found


def check_trained_alike(whole: Task, parts: Task, folder: Path, trained: bool = True) -> tuple[Judged, Judged]:
    """A task in memory and the same on disk have the same losses and scores; returns both scores.

    Args:
        folder: where each writes its forecasts, whole.csv and parts.csv.
        trained: False for untrained networks.
    """
    epochs, judged = [], []
    for name, task in (("whole", whole), ("parts", parts)):
        model = network_of(task.config, task)
        epochs.append(Training(model, task.updates(model), task.config).run().epochs if trained else [])
        judged.append(task.judge(task.whole(model), "ours", folder / f"{name}.csv"))
    for wanted, found in zip(*epochs, strict=True):
        assert found.loss == pytest.approx(wanted.loss, rel=1e-4)
        assert (found.validation or 0) == pytest.approx(wanted.validation or 0, rel=1e-3)
    wanted, found = judged
    assert list(found.scores) == list(wanted.scores)
    for name, scores in wanted.scores.items():
        exact = 1e-3 if name in ("ours", "its linear part alone") else 1e-9
        assert list(found.scores[name].values()) == pytest.approx(list(scores.values()), rel=exact), name
    for name in ("rmse", "mae", "mase"):
        own, other = (list(getattr(one, name).values()) for one in judged)
        assert own == pytest.approx(other, rel=1e-3), name
    assert list(found.covered.values()) == list(wanted.covered.values())
    assert found.verdict.split(":")[0] == wanted.verdict.split(":")[0]
    return wanted, found
