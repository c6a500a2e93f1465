"""Forecasting as a task: a table cut in time, scaled, and judged beside baselines."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from ...errors import NothingThere, UserError, warn
from ...networks import SequenceModel
from ...printable import shortened
from ..data.calendar import periods_of
from ..data.scaling import Scaling
from ..data.spacing import Spacing
from ..data.tables import Rows, Table, sunspots
from ..data.timestamps import Clock
from ..options.forecast import ForecastOptions
from ..updates import Updates, mean_square, sum_of_squares, updates_of
from ..workers import ALONE, Workers
from .excerpt import LONGEST, TrainingExcerpt
from .extrapolation import beyond
from .linear_part import linear_paths
from .ridge import Products
from .row_times import check_rows_to_come
from .scores import judged
from .seasons import found_lookback
from .series import Series, Span
from .stretch_windows import streamed_updates
from .task import Judged, WholeModel
from .whole_model import whole_of

T = TypeVar("T", bound=Series)
MINIMUM_TARGETS = 10  # training targets that a forecast needs
SEASON_ROWS = 2**15  # that a season is looked for in, of a table on disk

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
        return self.table.clock if self.config.time else Clock()

    @property
    def series(self) -> dict[str, Scaling]:
        return {}

    @property
    def spacings(self) -> dict[str, Spacing]:
        return {self.part: self.spacing} if self.config.time and self.spacing is not None else {}

    def updates(self, model: nn.Module, workers: Workers = ALONE) -> Updates:
        """The training steps, the last of them kept for validation where it is asked for."""
        if not self.in_memory:
            return streamed_updates(self, model, workers)
        return updates_of(model, *self.training_steps(), self.config, workers)

    def training_excerpt(self) -> TrainingExcerpt:
        """The last training steps; of new data, which has none, the last steps with a target."""
        return self._excerpt

    @cached_property
    def _excerpt(self) -> TrainingExcerpt:
        first, stop = self.first_step, self.rows - self.farthest
        if self.train_rows:
            stop = first + self.learned_steps
        start = max(first, stop - LONGEST)
        _, *parts = zip(*self.examples(start, stop), strict=True)
        x, d = (torch.cat(part)[:, None] for part in parts)
        note = self.beyond() if self.train_rows else None
        notes = () if note is None else (note,)
        of = f"{self.train_rows} training rows" if self.train_rows else f"{self.rows} rows"
        what = f"rows {start - first + 1}-{stop} of the {of} of {self.name}"
        return TrainingExcerpt(self.read(x), self.rest(x, d), mean_square, sum_of_squares, what, notes)

    def beyond(self) -> str | None:
        """A sentence if rows after the training rows leave their range, else None."""
        stop = self.first_step + self.learned_steps + self.farthest
        learned, later = self.table.moments(0, stop), self.table.moments(stop, self.rows)
        learned, extremes = (np.stack([found.low, found.high]) for found in (learned, later))
        if beyond(learned, [extremes], self.columns) is None:
            return None
        size = self.table.piece
        rows = (self.table.read(first, min(size, self.rows - first)) for first in range(stop, self.rows, size))
        of_part = f" of series {shortened(self.part)!r}" if self.part else ""
        return beyond(learned, rows, self.columns, f"later rows{of_part}")

    def whole(self, network: SequenceModel) -> WholeModel:
        """The trained network beside the linear path, where there is one."""
        return whole_of([self], network)

    def judge(self, whole: WholeModel, title: str, path: Path) -> Judged:
        """Forecast the rows, write the forecasts, and compare with the baselines and published figures."""
        return judged([self], whole, title, path)


def sunspot_forecast(config: ForecastOptions) -> Forecast:
    """The classic benchmark: learn from 1700-1920, forecast one year ahead (or horizon years)."""
    table = sunspots()
    row = {year: i for i, year in enumerate(table.times)}
    spans = [Span(f"{first}-{last}", row[first], row[last] + 1) for first, last in SUNSPOT_SPANS]
    published = SUNSPOT_PUBLISHED if config.horizons == (1,) else {}
    return forecast_of(table, config, row[SUNSPOT_TRAIN_END] + 1, spans, [SUNSPOT_VARIANCE], published)


def table_forecast(table: Rows, config: ForecastOptions) -> Forecast:
    """A user's table: learn from its start, judge on the last ``config.test`` of its rows.

    A UserError where there are too few rows, or too few values of a target.
    """
    (forecast,) = with_linear_part([part_forecast(table, config)])
    return forecast


def part_forecast(table: Rows, config: ForecastOptions, part: str = "") -> Forecast:
    """The same without its linear part; `part` names it among many series."""
    rows = len(table)
    train_rows = train_rows_of(rows, config)
    check_rows(table.name, rows, train_rows, config)
    first, last = (table.timestamps_at(row, 1).texts[0] for row in (train_rows, rows - 1))
    spans = [Span(f"{first} to {last}", train_rows, rows)]
    if config.missing == "interpolate":
        targets, known = max(1, len(config.targets)), train_rows
        check_values(table, targets, train_rows, spans)
        if config.validation:  # no validation step reads a row after its own
            known -= max(config.horizons)
            known -= round(known * config.validation) - 1
            check_values(table, targets, known, spans, "rows before validation")
        table = table.interpolated(known)
    variances = np.square(table.moments(0, train_rows, slice(max(1, len(config.targets)))).unit).tolist()
    return forecast_of(table, config, train_rows, spans, variances, {}, part)


def with_linear_part(parts: list[T]) -> list[T]:
    """Series with the linear part that all of them share, where the options ask for one."""
    first = parts[0]
    if not first.config.linear:
        return parts
    learned, whole = (Products(first.layout.size, len(first.outputs)) for _ in range(2))
    for part in parts:
        for row, *pair in part.training_examples():
            x, d = (own.double().numpy() for own in pair)
            learned.add(x, d, row - part.first_step, part.learned_steps)
            whole.add(x, d, row - part.first_step, part.train_steps)
    paths = linear_paths(learned, whole, first.layout, first.outputs, first.seasons)
    return [replace(part, paths=paths) for part in parts]


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
    table: Rows,
    config: ForecastOptions,
    train_rows: int,
    spans: list[Span],
    variances: list[float],
    published: dict[str, dict[str, float]],
    part: str = "",
) -> Forecast:
    """A table as the task that the options make of it; a UserError where it holds too little."""
    check_values(table, max(1, len(config.targets)), train_rows, spans)
    rows = train_rows if isinstance(table, Table) else min(SEASON_ROWS, train_rows)
    times = table.timestamps_at(0, rows).moments
    lookback = found_lookback(table.name, table.read(0, rows)[:, 0], times, train_rows, config)
    calendar = []
    if config.calendar:
        calendar = periods_of(times[0], table.timestamps_at(train_rows - 1, 1).moments[0], train_rows)
    scaling = Scaling.of_moments(table.moments(0, train_rows), table.columns, table.name if part else "")
    scaling.check(table.moments(0, len(table)), table.columns, table.name)
    spacing = table.spacing()
    check_rows_to_come(table, [spacing], max(config.horizons))
    judged_by = {"spans": spans, "variances": variances, "published": published, "part": part}
    in_time = {"calendar": calendar, "spacing": spacing, "ahead": spacing}
    forecast = Forecast(config, train_rows, scaling, *lookback, table, **in_time, **judged_by)
    if forecast.train_steps < MINIMUM_TARGETS:
        raise UserError(
            f"lags={lookback.lags[-1] + 1} and horizon={max(config.horizons)} leave "
            f"{max(0, forecast.train_steps)} steps of the {train_rows} training rows; at least {MINIMUM_TARGETS} "
            "are needed"
        )
    if forecast.learned_steps < 1:
        raise UserError(
            f"--validation {config.validation:g} leaves none of the {forecast.train_steps} training steps to "
            "learn from; pass a smaller one"
        )
    return forecast


def check_values(table: Rows, targets: int, rows: int, spans: list[Span], of: str = "training rows") -> None:
    """Refuse columns of which missing values leave too little in the first rows, or in the test rows.

    Args:
        of: the first rows, in words.
    """
    learned = table.moments(0, rows).count
    for place, column in enumerate(table.columns):
        is_target = place < targets
        needed = MINIMUM_TARGETS if is_target else 1
        if learned[place] < needed:
            raise NothingThere(
                f"{table.name}: column {column!r} has {learned[place]} values in the {rows} {of}; "
                f"at least {needed} are needed"
            )
        for span in spans if is_target else ():
            if not table.moments(span.first, span.stop).count[place]:
                raise NothingThere(f"{table.name}: column {column!r} has no value to test on in {span.name}")
