"""The results of a training run, for the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..training.tasks.task import Judged
from .forecast import ForecastReport


@dataclass(frozen=True)
class Lags:
    """How far back the gradient reached at one epoch."""

    epoch: int  # measured after this epoch; 0 is before the first
    norms: list[float]  # the gradient's mean norm by lag


@dataclass(frozen=True)
class Sample:
    """Text that a language model generated while it was trained."""

    epoch: int
    text: str


@dataclass(frozen=True)
class RunReport:
    """Everything the page shows of a training run."""

    choices: dict[str, Any]  # name and value of every option
    loss: str  # the training loss, in words
    judged: Judged  # the scores, names shortened for the page
    labels: list[str]  # classes or tokens, by output
    # by epoch; validation may be empty
    losses: list[float]
    validation: list[float]
    lags: list[Lags]  # how far back the gradient reached in the last layer, from before training to its end
    looked_at: str = ""  # where that was measured, in words
    simple: dict[str, float] = field(default_factory=dict)  # the loss of simple models, by name
    forecast: ForecastReport | None = None
    samples: list[Sample] = field(default_factory=list)
