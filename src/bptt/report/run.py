"""What a page tells of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Lags:
    """How far back the gradient reached at a time of training.

    Attributes:
        epoch: the epoch it was looked at after; 0 is before the first.
        norms: the gradient's mean norm by lag.
    """

    epoch: int
    norms: list[float]


@dataclass(frozen=True)
class RunReport:
    """What a training run came to.

    Attributes:
        choices: name and value of every choice.
        target: the column that was forecast.
        times, truth, forecast: by row; truth None where it is not known yet, forecast None at the start.
        spans: (name, first time, last time) of the tested rows.
        scores: by model and what it was judged on.
        judged_on: the columns of the scores.
        losses, validation: by epoch; validation may be empty.
        lags: how far back the gradient reached in the last layer, from before training to its end.
        looked_at: where that was measured, in words.
        measure, meaning, better: what a score is, what its values say, and whether less or more is better.
        loss: what is learned from.
        labels: classes or tokens, by output.
        confusion: how many sequences of each class (rows) were taken for each (columns).
        sample: what a language model writes.
        lower, upper: by row, the ends of the forecast's interval; empty or None where there is none.
    """

    choices: dict[str, Any]
    target: str
    times: list[str]
    truth: list[float | None]
    forecast: list[float | None]
    spans: list[tuple[str, str, str]]
    scores: dict[str, dict[str, float]]
    losses: list[float]
    validation: list[float]
    lags: list[Lags]
    judged_on: list[str]
    looked_at: str = ""
    measure: str = "average relative variance"
    meaning: str = ""
    better: str = "less"
    loss: str = "mean square error"
    labels: list[str] = field(default_factory=list)
    confusion: list[list[int]] | None = None
    sample: str = ""
    lower: list[float | None] = field(default_factory=list)
    upper: list[float | None] = field(default_factory=list)
