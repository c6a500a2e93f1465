"""What every forecasting task says of itself, be its table in memory or on disk."""

from __future__ import annotations

from typing import Protocol

from ...printable import shortened
from ..options.forecast import ForecastOptions
from .task import Loss


class _Table(Protocol):
    """What both kinds of table have."""

    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> list[str]: ...
    @property
    def config(self) -> ForecastOptions: ...
    @property
    def train_steps(self) -> int: ...
    @property
    def learned_steps(self) -> int: ...


class Forecasting:
    """What every forecasting task is to the command."""

    @property
    def labels(self) -> list[str]:
        """None: numbers are put out."""
        return []

    @property
    def loss(self) -> Loss:
        """Of a step."""
        return "squared_error"

    @property
    def output(self) -> str:
        """The file of forecasts."""
        return "forecast.csv"

    @property
    def amount(self: _Table) -> str:
        """How much of what is learned from, in words."""
        later = self.train_steps - self.learned_steps
        validated = f", {later} more for validation" if later else ""
        return f"{self.learned_steps} training steps of {_targets(self)}{validated}"

    @property
    def aim(self: _Table) -> str:
        """What is learned of which data, in words."""
        horizons = in_words([str(horizon) for horizon in self.config.horizons])
        ahead = "one step" if horizons == "1" else f"{horizons} steps"
        return f"{_targets(self)} of {self.name}, forecast {ahead} ahead"


def output_words(columns: list[str], outputs: list[tuple[int, int]]) -> list[list[str]]:
    """What tells each target (its place among the columns) and horizon from the others."""
    targets, horizons = ({output[which] for output in outputs} for which in (0, 1))
    return [
        [*([columns[place]] if len(targets) > 1 else []), *([f"{ahead} ahead"] if len(horizons) > 1 else [])]
        for place, ahead in outputs
    ]


def _targets(table: _Table) -> str:
    return in_words([shortened(name) for name in table.columns[: max(1, len(table.config.targets))]])


def in_words(names: list[str]) -> str:
    """Names in a sentence: a, b and c."""
    return names[-1] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
