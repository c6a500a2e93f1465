"""The results of a training run, for the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..training.tasks.task import Judged


@dataclass(frozen=True)
class Lags:
    """How far back the gradient reached at one epoch.

    Attributes:
        epoch: measured after this epoch; 0 is before the first.
        norms: the gradient's mean norm by lag.
    """

    epoch: int
    norms: list[float]


@dataclass(frozen=True)
class RunReport:
    """Everything the page shows of a training run.

    Attributes:
        choices: name and value of every option.
        target: the column that was forecast; empty where none was.
        loss: the training loss, in words.
        judged: the scores and what belongs to them, names shortened for the page.
        labels: classes or tokens, by output.
        losses, validation: by epoch; validation may be empty.
        lags: how far back the gradient reached in the last layer, from before training to its end.
        looked_at: where that was measured, in words.
    """

    choices: dict[str, Any]
    target: str
    loss: str
    judged: Judged
    labels: list[str]
    losses: list[float]
    validation: list[float]
    lags: list[Lags]
    looked_at: str = ""
