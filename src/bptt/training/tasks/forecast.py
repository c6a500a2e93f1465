"""Forecasting as a task: a table cut in time, scaled, and judged beside baselines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from ..config import TrainConfig
from ..data import Table, lagged, sunspots
from ..errors import UserError
from ..files import replacing
from ..scaling import Scaling
from ..updates import Updates, predict, updates_of
from ..workers import ALONE, Workers
from .task import Judged

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
    def name(self) -> str:
        """Where the data came from."""
        return self.table.name

    @property
    def columns(self) -> list[str]:
        """The columns that are read, the target first."""
        return self.table.columns

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
        return torch.from_numpy(lagged(self.scaling.apply(self.table.values), self.lags)).float()

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

    def updates(self, model: nn.Module, config: TrainConfig, workers: Workers = ALONE) -> Updates:
        """The training steps, the last of them kept for validation where it is asked for.

        Raises:
            UserError: there are fewer steps than stretches to cut them into, or fewer stretches than workers.
        """
        return updates_of(model, *self.sample(), config, workers)

    def sample(self) -> tuple[Tensor, Tensor]:
        """x (T, I) and d (T, 1) of the training steps."""
        return self.inputs()[: self.train_steps], self.targets()[: self.train_steps]

    def judge(self, model: nn.Module, title: str, path: Path) -> Judged:
        """Forecast every row, write the forecasts, and compare with the baselines and published figures."""
        found = self.forecasts(predict(model, self.inputs()))
        rows = forecast_rows(self, found)
        with replacing(path) as file:
            rows.write_csv(file)
        name, linear = autoregression(self)
        arv, times = self.arv(found), self.times()
        return Judged(
            scores={
                title: arv,
                "persistence": self.arv(persistence(self)),
                name: self.arv(linear),
                **self.published,
            },
            rmse={span: math.sqrt(value * self.variance) for span, value in arv.items()},
            rows=rows,
            spans=[(span.name, times[span.first], times[span.stop - 1]) for span in self.spans],
        )


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
    train_rows = train_rows_of(rows, config)
    check_rows(table.name, rows, train_rows, config)
    name = f"{_label(table.times[train_rows])} to {_label(table.times[-1])}"
    variance = float(table.values[:train_rows, 0].var()) or 1.0
    return _forecast(table, config, train_rows, [Span(name, train_rows, rows)], variance, {})


def train_rows_of(rows: int, config: TrainConfig) -> int:
    """How many rows are left when the last ``config.test`` of them are tested on."""
    return rows - max(1, round(rows * config.test))


def check_rows(name: str, rows: int, train_rows: int, config: TrainConfig) -> None:
    """There are rows enough to learn from.

    Raises:
        UserError: there are not, and how many are needed.
    """
    needed = config.lags - 1 + config.horizon + MINIMUM_TARGETS
    if train_rows < needed:
        minimum = next(n for n in count(needed) if train_rows_of(n, config) >= needed)
        raise UserError(
            f"{name} has {rows} rows, {max(0, train_rows)} of them to learn from; with lags={config.lags}, "
            f"horizon={config.horizon} and test={config.test:g} at least {minimum} rows are needed"
        )


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


def ar_order(train_rows: int, horizon: int) -> int:
    """Of the linear AR: 9, as in the sunspot literature, or less where a weight has not ten training rows."""
    return max(1, min(AR_ORDER, (train_rows - horizon) // 10 - 1))


def autoregression(forecast: Forecast) -> tuple[str, np.ndarray]:
    """A linear AR(p) with intercept fitted by least squares to the training rows; its name and forecasts."""
    values, horizon = forecast.truth(), forecast.horizon
    order = ar_order(forecast.train_rows, horizon)
    past = lagged(values[:, None], order)
    design = np.concatenate([np.ones((len(past), 1)), past], axis=1)
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
    """The forecast of each row that can be forecast, as `rows_of` has it."""
    first = forecast.first_target
    truth = np.concatenate([forecast.truth(), np.full(forecast.horizon, np.nan)])
    return rows_of(forecast.columns[0], forecast.times()[first:], truth[first:], found[first:])


def rows_of(target: str, times: list[str], truth: np.ndarray, found: np.ndarray) -> pl.DataFrame:
    """Columns time, target (its name), truth and forecast; NaN is left empty."""
    return pl.DataFrame(
        {
            "time": pl.Series(times, dtype=pl.String),
            "target": pl.Series([target] * len(times), dtype=pl.String),
            "truth": pl.Series(truth).fill_nan(None),
            "forecast": pl.Series(found).fill_nan(None),
        }
    )
