"""What every forecasting task says of itself, be its table in memory or on disk."""

from __future__ import annotations

from typing import Protocol

from .task import Loss


class _Table(Protocol):
    """What both kinds of table have."""

    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> list[str]: ...
    @property
    def horizon(self) -> int: ...
    @property
    def train_steps(self) -> int: ...


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
        return f"{self.train_steps} training steps of {self.columns[0]}"

    @property
    def aim(self: _Table) -> str:
        """What is learned of which data, in words."""
        ahead = "one step" if self.horizon == 1 else f"{self.horizon} steps"
        return f"{self.columns[0]} of {self.name}, forecast {ahead} ahead"
