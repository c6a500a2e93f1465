"""Baselines of a forecast: persistence, seasonal persistence, and a linear regression on the last rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data.scaling import Moments
from ..data.tables import lagged
from .pieces import Steps
from .ridge import Products, fit_ridge
from .series import Series


class Baselines:
    """Simple models of each output of a series, fitted to its training rows, which are read once.

    With a linear part the regression is a ridge regression, its penalties weighed, else a linear AR.
    """

    def __init__(self, series: Series) -> None:
        self._series, order = series, series.order
        self._outputs, self._seasons = series.outputs, [1, *series.seasons[:1]]
        self.names = ["persistence", *(f"seasonal persistence ({season})" for season in self._seasons[1:])]
        self.names.append(f"linear AR({order})" if series.paths is None else f"ridge on {order} rows")
        kind = Autoregression if series.paths is None else Ridge
        self._regressions = [
            kind(series.moments[place], place, ahead, order, series.train_rows) for place, ahead in self._outputs
        ]
        backs = [back for _, ahead in self._outputs for back in self._backs(ahead)]
        self.before = max(order - 1, *backs)  # rows before a step that they read
        last = series.train_rows - min(series.config.horizons)
        for piece in series.begun_pieces(order - 1, last, order - 1):
            for regression in self._regressions:
                regression.add(piece)
        for regression in self._regressions:
            regression.fit()

    def __call__(self, piece: Steps) -> dict[str, np.ndarray]:
        """By name, the forecasts of each output (T, K); NaN where there are too few rows before."""
        piece = piece.begun_by(self._series.first_values)
        found = [
            [*(persistence(piece, place, back) for back in self._backs(ahead)), regression(piece)]
            for (place, ahead), regression in zip(self._outputs, self._regressions, strict=True)
        ]
        return dict(zip(self.names, np.moveaxis(np.array(found), 0, -1), strict=True))

    def _backs(self, ahead: int) -> Iterator[int]:
        """How many rows before its own each persistence looks, to whole seasons before the row to forecast."""
        return (-(-ahead // season) * season - ahead for season in self._seasons)


def persistence(piece: Steps, place: int, back: int) -> np.ndarray:
    """The value that a column had so many rows before each step, or the last one before that, (T)."""
    rows = np.arange(piece.before, piece.before + piece.steps) - back
    return np.where(rows < 0, np.nan, piece.carried(place)[np.maximum(rows, 0)])


class Regression:
    """A linear regression of a target on its last rows."""

    def __init__(self, moments: Moments, place: int, ahead: int, order: int, train_rows: int) -> None:
        self.mean, self.unit = moments.mean[0], moments.unit[0]  # against rounding at a large level
        self.place, self.ahead, self.order = place, ahead, order
        self.steps = train_rows - order + 1 - ahead  # that it is fitted to

    def inputs(self, piece: Steps) -> np.ndarray:
        """The last rows, standardised, from the first step on that has so many, (T or less, order)."""
        return lagged(((piece.carried(self.place) - self.mean) / self.unit)[:, None], self.order)

    def targets(self, piece: Steps) -> np.ndarray:
        return (piece.targets([(self.place, self.ahead)])[:, 0] - self.mean) / self.unit

    def forecasts(self, piece: Steps, y: np.ndarray) -> np.ndarray:
        """Outputs for `inputs` in the target's unit, (T)."""
        there = min(piece.steps, len(y))
        unknown = np.full(piece.steps - there, np.nan)
        return np.concatenate([unknown, (y * self.unit + self.mean)[len(y) - there :]])


class Ridge(Regression):
    """A ridge regression, its penalties weighed."""

    def __init__(self, *choices: Any) -> None:
        super().__init__(*choices)
        self.products = Products(self.order, 1)

    def add(self, piece: Steps) -> None:
        first = piece.row - self.order + 1
        self.products.add(self.inputs(piece), self.targets(piece)[:, None], first, self.steps)

    def fit(self) -> None:
        self.part = fit_ridge(self.products, self.order, self.ahead)

    def __call__(self, piece: Steps) -> np.ndarray:
        return self.forecasts(piece, self.part(self.inputs(piece))[:, 0])


class Autoregression(Regression):
    """A linear AR with intercept by least squares, of which pieces add their rows to a triangular factor."""

    def __init__(self, *choices: Any) -> None:
        super().__init__(*choices)
        self.rows: np.ndarray = np.empty((0, self.order + 2))  # 1, inputs and target

    def add(self, piece: Steps) -> None:
        d = self.targets(piece)
        own = np.column_stack([np.ones(piece.steps), self.inputs(piece), d])
        own = own[: max(0, self.steps + self.order - 1 - piece.row)]
        own = own[~np.isnan(own[:, -1])]
        self.rows = np.linalg.qr(np.concatenate([self.rows, own])).R if len(self.rows) else own

    def fit(self) -> None:
        self.weights, *_ = np.linalg.lstsq(self.rows[:, :-1], self.rows[:, -1], rcond=None)

    def __call__(self, piece: Steps) -> np.ndarray:
        x = self.inputs(piece)
        return self.forecasts(piece, np.concatenate([np.ones((len(x), 1)), x], axis=1) @ self.weights)
