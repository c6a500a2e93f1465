"""Forecasting as a task: a table cut in time, scaled, and judged beside baselines."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from .config import TrainConfig
from .data import Table, read_table, sunspots
from .errors import UserError

MINIMUM_TARGETS = 10  # training targets below which nothing sensible can be fitted
AR_ORDER = 9

# Average relative variance is the mean squared error over the variance of the series; for the sunspots the
# literature divides by 1535, the variance of 1700-1979 (Weigend, Huberman & Rumelhart 1990).
SUNSPOT_VARIANCE = 1535.0
SUNSPOT_TRAIN_END = 1920
SUNSPOT_SPANS = ((1921, 1955), (1956, 1979), (1980, 2008))
SUNSPOT_PUBLISHED = {
    "Weigend et al. 1990": {"1921-1955": 0.086, "1956-1979": 0.35},
    "threshold AR (Tong & Lim 1980)": {"1921-1955": 0.097, "1956-1979": 0.28},
    "recurrent net by BPTT (unchecked)": {"1921-1955": 0.084, "1956-1979": 0.300},
}


class Span(NamedTuple):
    """Rows of the table on which forecasts are judged."""

    name: str
    first: int
    stop: int  # one past the last


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation of each column over the training rows."""

    mean: list[float]
    std: list[float]

    @classmethod
    def of(cls, values: np.ndarray, columns: list[str]) -> Scaling:
        """Fit to rows (N, C); a constant column is left at its scale, with a warning."""
        mean, std = values.mean(0), values.std(0)
        for column, spread in zip(columns, std, strict=True):
            if spread == 0:
                warnings.warn(f"column {column!r} is constant over the training rows", stacklevel=2)
        return cls(mean.tolist(), np.where(std == 0, 1.0, std).tolist())

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Rows (N, C) standardised."""
        return (values - self.mean) / self.std

    def undo_target(self, values: np.ndarray) -> np.ndarray:
        """The target, the first column, back in its own unit."""
        return values * self.std[0] + self.mean[0]


@dataclass(frozen=True)
class Forecast:
    """A table as a forecasting task: from the rows up to i, forecast the target in row i + horizon.

    Attributes:
        table: the data, the target in its first column.
        lags: how many rows, the present one among them, are input at each step.
        horizon: how many rows ahead the target stands.
        train_rows: how many rows from the start may be learned from.
        spans: the rows forecasts are judged on, none of them learned from.
        scaling: fitted to the training rows.
        variance: what mean squared errors are divided by for the average relative variance.
        published: figures of others, by name and span.
    """

    table: Table
    lags: int
    horizon: int
    train_rows: int
    spans: list[Span]
    scaling: Scaling
    variance: float
    published: dict[str, dict[str, float]]

    @property
    def first_target(self) -> int:
        """The first row that can be forecast."""
        return self.lags - 1 + self.horizon

    @property
    def train_steps(self) -> int:
        """How many steps have their target among the training rows."""
        return self.train_rows - self.first_target

    def inputs(self) -> Tensor:
        """x (T, C·lags), one step for each row from the lags-th on, standardised."""
        scaled = self.scaling.apply(self.table.values)
        steps = len(scaled) - self.lags + 1
        lagged = [scaled[self.lags - 1 - lag : self.lags - 1 - lag + steps] for lag in range(self.lags)]
        return torch.from_numpy(np.concatenate(lagged, axis=1)).float()

    def targets(self) -> Tensor:
        """d (T - horizon, 1), standardised; the last steps' targets are not known yet."""
        scaled = self.scaling.apply(self.table.values)[self.first_target :, :1]
        return torch.from_numpy(scaled).float()

    def forecasts(self, y: Tensor) -> np.ndarray:
        """The network's outputs (T, 1) by target row, in the target's unit: (N + horizon), NaN at the start."""
        found = np.full(len(self.table.values) + self.horizon, np.nan)
        found[self.first_target :] = self.scaling.undo_target(y[:, 0].double().numpy())
        return found

    def truth(self) -> np.ndarray:
        """The target by row, (N)."""
        return self.table.values[:, 0]

    def arv(self, forecasts: np.ndarray) -> dict[str, float]:
        """Average relative variance on each span: mean squared error / variance."""
        truth = self.truth()
        return {
            span.name: float(np.mean((truth[span.first : span.stop] - forecasts[span.first : span.stop]) ** 2))
            / self.variance
            for span in self.spans
        }

    def times(self) -> list[str]:
        """Labels of all target rows, those beyond the table included, (N + horizon)."""
        labels = list(self.table.times)
        return [_label(moment) for moment in labels + _continued(labels, self.horizon)]


def forecast_task(config: TrainConfig) -> Forecast:
    """The task a run was or is to be trained on.

    Raises:
        UserError: its data cannot be used.
    """
    if config.data is None or config.target is None:
        return sunspot_forecast(config)
    table = read_table(config.data, config.target, config.inputs, config.time, config.missing)
    return table_forecast(table, config)


def sunspot_forecast(config: TrainConfig) -> Forecast:
    """The classic benchmark: learn from 1700-1920, forecast one year ahead (or horizon years)."""
    table = sunspots()
    row = {year: i for i, year in enumerate(table.times)}
    spans = [Span(f"{first}-{last}", row[first], row[last] + 1) for first, last in SUNSPOT_SPANS]
    return _forecast(
        table,
        config,
        row[SUNSPOT_TRAIN_END] + 1,
        spans,
        SUNSPOT_VARIANCE,
        SUNSPOT_PUBLISHED if config.horizon == 1 else {},
    )


def table_forecast(table: Table, config: TrainConfig) -> Forecast:
    """A user's table: learn from its start, judge on the last ``config.test`` of its rows.

    Raises:
        UserError: there are too few rows.
    """
    rows = len(table.values)
    train_rows = _train_rows(rows, config.test)
    needed = config.lags - 1 + config.horizon + MINIMUM_TARGETS
    if train_rows < needed:
        minimum = next(n for n in count(needed) if _train_rows(n, config.test) >= needed)
        raise UserError(
            f"{table.name} has {rows} rows, {train_rows} of them to learn from; with lags={config.lags}, "
            f"horizon={config.horizon} and test={config.test:g} at least {minimum} rows are needed"
        )
    name = f"{_label(table.times[train_rows])} to {_label(table.times[-1])}"
    variance = float(table.values[:train_rows, 0].var()) or 1.0
    return _forecast(table, config, train_rows, [Span(name, train_rows, rows)], variance, {})


def _train_rows(rows: int, test: float) -> int:
    return rows - max(1, round(rows * test))


def _forecast(
    table: Table,
    config: TrainConfig,
    train_rows: int,
    spans: list[Span],
    variance: float,
    published: dict[str, dict[str, float]],
) -> Forecast:
    scaling = Scaling.of(table.values[:train_rows], table.columns)
    forecast = Forecast(table, config.lags, config.horizon, train_rows, spans, scaling, variance, published)
    if forecast.train_steps < MINIMUM_TARGETS:
        raise UserError(
            f"lags={config.lags} and horizon={config.horizon} leave {max(0, forecast.train_steps)} of the "
            f"{train_rows} training rows to learn from; at least {MINIMUM_TARGETS} are needed"
        )
    return forecast


def persistence(forecast: Forecast) -> np.ndarray:
    """The forecast that nothing changes, by target row, (N + horizon)."""
    values = forecast.truth()
    return np.concatenate([np.full(forecast.horizon, np.nan), values])


def autoregression(forecast: Forecast) -> tuple[str, np.ndarray]:
    """A linear AR(p) with intercept fitted by least squares to the training rows; its name and forecasts.

    p is 9, as in the sunspot literature, or less where there are not ten training rows for each weight.
    """
    values, horizon = forecast.truth(), forecast.horizon
    order = max(1, min(AR_ORDER, (forecast.train_rows - horizon) // 10 - 1))
    lagged = np.stack([values[order - 1 - lag : len(values) - lag] for lag in range(order)], axis=1)
    design = np.concatenate([np.ones((len(lagged), 1)), lagged], axis=1)
    first = order - 1 + horizon
    learned = forecast.train_rows - first
    weights, *_ = np.linalg.lstsq(design[:learned], values[first : forecast.train_rows], rcond=None)
    found = np.full(len(values) + horizon, np.nan)
    found[first:] = design @ weights
    return f"linear AR({order})", found


def _label(moment: Any) -> str:
    if isinstance(moment, datetime):
        return moment.date().isoformat() if moment.time() == datetime.min.time() else moment.isoformat()
    return str(moment)


def _continued(times: list[Any], count: int) -> list[Any]:
    """The labels after the last: as far apart as the last two."""
    if len(times) < 2:
        return [f"{_label(times[-1])} + {i}" for i in range(1, count + 1)]
    step = times[-1] - times[-2]
    return [times[-1] + i * step for i in range(1, count + 1)]


def forecast_rows(forecast: Forecast, found: np.ndarray) -> pl.DataFrame:
    """Columns time, target (its name), truth and forecast, one row for each row that can be forecast."""
    first, beyond = forecast.first_target, forecast.horizon
    truth = np.concatenate([forecast.truth(), np.full(beyond, np.nan)])
    return pl.DataFrame(
        {
            "time": forecast.times()[first:],
            "target": [forecast.table.columns[0]] * (len(found) - first),
            "truth": pl.Series(truth[first:]).fill_nan(None),
            "forecast": pl.Series(found[first:]).fill_nan(None),
        }
    )
