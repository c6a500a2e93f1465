"""The results of a training run, for the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..training.tasks.task import Judged


@dataclass(frozen=True)
class Lags:
    """How far back the gradient reached at one epoch."""

    epoch: int  # measured after this epoch; 0 is before the first
    norms: list[float]  # the gradient's mean norm by lag


@dataclass(frozen=True)
class RunReport:
    """Everything the page shows of a training run."""

    choices: dict[str, Any]  # name and value of every option
    target: str  # the column that was forecast; empty where none was
    loss: str  # the training loss, in words
    judged: Judged  # the scores, names shortened for the page
    labels: list[str]  # classes or tokens, by output
    # by epoch; validation may be empty
    losses: list[float]
    validation: list[float]
    lags: list[Lags]  # how far back the gradient reached in the last layer, from before training to its end
    looked_at: str = ""  # where that was measured, in words
