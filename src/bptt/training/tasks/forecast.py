"""Forecasting as a task: a table cut in time, scaled, and judged beside baselines."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from torch import nn

from ...errors import NothingThere, UserError, warn
from ...networks import SequenceModel
from ...printable import shortened
from ..data.calendar import periods_of
from ..data.find_spacing import spacing_of
from ..data.scaling import Moments, Scaling
from ..data.spacing import Spacing
from ..data.tables import Table, interpolated, sunspots
from ..data.timestamps import Clock
from ..options.forecast import ForecastOptions
from ..updates import Updates, mean_square, sum_of_squares, updates_of
from ..workers import ALONE, Workers
from .excerpt import LONGEST, TrainingExcerpt
from .extrapolation import beyond
from .linear_part import linear_paths
from .ridge import Products
from .scores import judged
from .seasons import found_lookback
from .series import Series, SingleSeries, Span
from .task import Judged

T = TypeVar("T", bound=SingleSeries)
MINIMUM_TARGETS = 10  # training targets that a forecast needs

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


class Forecast(Series):
    """A series as a task."""

    @property
    def clock(self) -> Clock:
        return self.table.timestamps.clock if self.config.time else Clock()

    @property
    def spacings(self) -> dict[str, Spacing]:
        return {self.part: self.spacing} if self.config.time and self.spacing is not None else {}

    def updates(self, model: nn.Module, workers: Workers = ALONE) -> Updates:
        """The training steps, the last of them kept for validation where it is asked for."""
        return updates_of(model, *self.training_steps(), self.config, workers)

    def training_excerpt(self) -> TrainingExcerpt:
        """The last training steps; of new data, which has none, the last steps with a target."""
        x, d = self.network_steps(self.learned_steps if self.train_rows else None)
        stop, first = len(d), max(0, len(d) - LONGEST)
        x, d = x[first:stop, None], d[first:stop, None]
        note = self.beyond() if self.train_rows else None
        notes = () if note is None else (note,)
        return TrainingExcerpt(x, d, mean_square, sum_of_squares, self.rows_read(first, stop), notes)

    def beyond(self) -> str | None:
        """A sentence if rows after the training rows leave their range, else None."""
        stop = self.learned_steps + self.first_step + self.farthest
        values = self.table.values
        later = "later rows" + (f" of series {shortened(self.part)!r}" if self.part else "")
        return beyond(values[:stop], [values[stop:]], self.columns, later)

    def rows_read(self, first: int, stop: int) -> str:
        """The rows that steps first to stop read, in words."""
        of = f"{self.train_rows} training rows" if self.train_rows else f"{len(self.table.values)} rows"
        return f"rows {first + 1}-{stop + self.first_step} of the {of} of {self.name}"

    def judge(self, model: SequenceModel, title: str, path: Path) -> Judged:
        """Forecast every row, write the forecasts, and compare with the baselines and published figures."""
        return judged([self], model, title, path)


def sunspot_forecast(config: ForecastOptions) -> Forecast:
    """The classic benchmark: learn from 1700-1920, forecast one year ahead (or horizon years)."""
    table = sunspots()
    row = {year: i for i, year in enumerate(table.times)}
    spans = [Span(f"{first}-{last}", row[first], row[last] + 1) for first, last in SUNSPOT_SPANS]
    published = SUNSPOT_PUBLISHED if config.horizons == (1,) else {}
    return forecast_of(table, config, row[SUNSPOT_TRAIN_END] + 1, spans, [SUNSPOT_VARIANCE], published)


def table_forecast(table: Table, config: ForecastOptions) -> Forecast:
    """A user's table: learn from its start, judge on the last ``config.test`` of its rows.

    A UserError where there are too few rows, or too few values of a target.
    """
    (forecast,) = with_linear_part([part_forecast(table, config)])
    return forecast


def part_forecast(table: Table, config: ForecastOptions, part: str = "") -> Forecast:
    """The same without its linear part; `part` names it among many series."""
    rows = len(table.values)
    train_rows = train_rows_of(rows, config)
    check_rows(table.name, rows, train_rows, config)
    texts = table.timestamps.texts
    spans = [Span(f"{texts[train_rows]} to {texts[-1]}", train_rows, rows)]
    if config.missing == "interpolate":
        _check_values(table, train_rows, spans)
        table = replace(table, values=_interpolated(table.values, train_rows))
    variances = np.square(Moments.of(table.values[:train_rows, : table.targets]).unit).tolist()
    return forecast_of(table, config, train_rows, spans, variances, {}, part)


def with_linear_part(parts: list[T]) -> list[T]:
    """Series with the linear part that all of them share, where the options ask for one."""
    first = parts[0]
    if not first.config.linear:
        return parts
    learned, whole = (Products(first.layout.size, len(first.outputs)) for _ in range(2))
    for part in parts:
        for step, x, d in part.step_pieces():
            learned.add(x, d, step, part.learned_steps)
            whole.add(x, d, step, part.train_steps)
    paths = linear_paths(learned, whole, first.layout, first.outputs, first.seasons)
    return [replace(part, paths=paths) for part in parts]


def _interpolated(values: np.ndarray, train_rows: int) -> np.ndarray:
    """Columns (N, C), NaN filled in the training rows, each from no later row than these.

    Rows tested on keep theirs: as inputs they repeat the value before, and no forecast is judged on them.
    """
    return np.concatenate([np.apply_along_axis(interpolated, 0, values[:train_rows]), values[train_rows:]])


def note_spacing(parts: Sequence[Series]) -> None:
    """Warn where rows follow each other by no rule, which rows to come then cannot either."""
    odd = [part for part in parts if part.spacing is not None and not part.spacing.usual]
    if odd:
        more = f", and {len(odd) - 1} more series" if len(odd) > 1 else ""
        warn(
            f"{odd[0].name}{more}: the times follow no rule; rows to come have one {odd[0].spacing}, the median "
            "of the steps"
        )


def train_rows_of(rows: int, config: ForecastOptions) -> int:
    """How many rows are left when the last ``config.test`` of them are tested on."""
    return rows - max(1, round(rows * config.test))


def check_rows(name: str, rows: int, train_rows: int, config: ForecastOptions) -> None:
    """Refuse fewer rows than a forecast needs."""
    lags = config.lags or 2
    needed = lags - 1 + max(config.horizons) + MINIMUM_TARGETS
    if train_rows < needed:
        minimum = bisect_left(range(2**62), True, lo=needed, key=lambda n: train_rows_of(n, config) >= needed)
        raise NothingThere(
            f"{name} has {rows} rows, {max(0, train_rows)} of them for training; with lags={lags}, "
            f"horizon={max(config.horizons)} and test={config.test:g} at least {minimum} rows are needed"
        )


def forecast_of(
    table: Table,
    config: ForecastOptions,
    train_rows: int,
    spans: list[Span],
    variances: list[float],
    published: dict[str, dict[str, float]],
    part: str = "",
) -> Forecast:
    """A table as the task that the options make of it; a UserError where it holds too little."""
    _check_values(table, train_rows, spans)
    learned, times = table.values[:train_rows], table.times[:train_rows]
    calendar = periods_of(times) if config.calendar else []
    lookback = found_lookback(table.name, learned[:, 0], times, train_rows, config)
    scaling = Scaling.of(learned, table.columns, table.name if part else "")
    scaling.check(Moments.of(table.values), table.columns, table.name)
    spacing = spacing_of(table.times)
    judged_by = {"spans": spans, "variances": variances, "published": published, "part": part}
    in_time = {"calendar": calendar, "spacing": spacing, "ahead": spacing}
    forecast = Forecast(config, train_rows, scaling, *lookback, table, **in_time, **judged_by)
    forecast.check_times()
    if forecast.train_steps < MINIMUM_TARGETS:
        raise UserError(
            f"lags={lookback.lags[-1] + 1} and horizon={max(config.horizons)} leave "
            f"{max(0, forecast.train_steps)} steps of the {train_rows} training rows; at least {MINIMUM_TARGETS} "
            "are needed"
        )
    return forecast


def _check_values(table: Table, train_rows: int, spans: list[Span]) -> None:
    """Refuse columns of which missing values leave too little."""
    there = ~np.isnan(table.values)
    tested = {span.name: there[span.first : span.stop].sum(0) for span in spans}
    check_values(table.name, table.columns, table.targets, there[:train_rows].sum(0), train_rows, tested)


def check_values(
    name: str, columns: list[str], targets: int, learned: np.ndarray, rows: int, tested: dict[str, np.ndarray]
) -> None:
    """Refuse columns of which missing values leave too little.

    Args:
        learned, tested: how many values each column has in the training rows, and by span in the test rows.
        rows: the number of training rows.
    """
    for place, column in enumerate(columns):
        is_target = place < targets
        needed = MINIMUM_TARGETS if is_target else 1
        if learned[place] < needed:
            raise NothingThere(
                f"{name}: column {column!r} has {learned[place]} values in the {rows} training rows; at "
                f"least {needed} are needed"
            )
        for span, count in tested.items() if is_target else ():
            if not count[place]:
                raise NothingThere(f"{name}: column {column!r} has no value to test on in {span}")
