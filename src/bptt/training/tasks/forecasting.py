"""Properties that all forecasting tasks share, and their targets and horizons in words."""

from __future__ import annotations

from typing import Protocol

from ...insight.plain_models import Criterion
from ...losses import squared_error
from ...printable import shortened
from ..options.forecast import ForecastOptions


class _Table(Protocol):
    """The attributes that `Forecasting` needs."""

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
    @property
    def amount(self) -> str: ...
    @property
    def aim(self) -> str: ...


class Forecasting:
    """The properties that all forecasting tasks share, with tables in memory or on disk."""

    output = "forecast.csv"

    def __repr__(self: _Table) -> str:
        return f"<{type(self).__name__}: {self.aim}; {self.amount}>"

    @property
    def loss(self) -> Criterion:
        return squared_error

    @property
    def labels(self) -> list[str]:
        return []

    @property
    def amount(self: _Table) -> str:
        later = self.train_steps - self.learned_steps
        validated = f", {later} more for validation" if later else ""
        return f"{self.learned_steps} training steps of {_targets(self)}{validated}"

    @property
    def aim(self: _Table) -> str:
        horizons = in_words([str(horizon) for horizon in self.config.horizons])
        ahead = "one step" if horizons == "1" else f"{horizons} steps"
        return f"{_targets(self)} of {self.name}, forecast {ahead} ahead"


def output_words(columns: list[str], outputs: list[tuple[int, int]]) -> list[list[str]]:
    """Words that distinguish each target (its place among the columns) and horizon from the others."""
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
