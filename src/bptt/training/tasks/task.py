"""What a task is to the training loop and to the command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl
from torch import Tensor, nn

from ..config import TrainConfig
from ..scaling import Scaling
from ..updates import Updates
from ..workers import ALONE, Workers


@dataclass(frozen=True)
class Judged:
    """How good a trained network is, beside others.

    Attributes:
        scores: average relative variance by model, the trained one first, and span.
        rmse: the trained network's root mean square error by span, in the target's unit.
        rows: columns time, target, truth and forecast of the rows that a report shows.
        spans: name, first time and last time of the rows tested on.
    """

    scores: dict[str, dict[str, float]]
    rmse: dict[str, float]
    rows: pl.DataFrame
    spans: list[tuple[str, str, str]]


class Task(Protocol):
    """Data to learn from, and a way to judge what was learned."""

    @property
    def name(self) -> str:
        """Where the data came from."""
        ...

    @property
    def columns(self) -> list[str]:
        """The columns that are read, the target first."""
        ...

    @property
    def train_steps(self) -> int:
        """How many steps are learned from."""
        ...

    @property
    def scaling(self) -> Scaling:
        """Of the columns."""
        ...

    def updates(self, model: nn.Module, config: TrainConfig, workers: Workers = ALONE) -> Updates:
        """What the model learns from, or this worker's share of it."""
        ...

    def sample(self) -> tuple[Tensor, Tensor]:
        """x (T, I) and d (T, 1) of a stretch of what is learned from, for a look at how gradients flow."""
        ...

    def judge(self, model: nn.Module, title: str, path: Path) -> Judged:
        """Judge a trained model and write its forecasts as CSV.

        Args:
            title: what the scores call the model.
            path: the file to write.
        """
        ...
