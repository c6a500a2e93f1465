"""`bptt predict --follow`: a forecast for each row as it comes."""

from __future__ import annotations

import csv
import math
import sys
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import polars as pl
import torch

from ..errors import UserError
from ..runs.new_data import treatment_of
from ..runs.run import Run
from ..training.data.calendar import features
from ..training.data.columns import check_columns, listed
from ..training.data.csv_files import LONGEST, checked_header, why_ragged, why_unread
from ..training.data.dates import NoDate, instant
from ..training.data.scaling import Moments, Scaling, as_input
from ..training.data.table_cells import as_numbers
from ..training.data.time_column import read_label
from ..training.data.timestamps import Label
from ..training.options.shared import Missing
from ..training.tasks.intervals import AdaptiveWidth
from ..training.transfer import device_of
from .streams import Exact

NAME = "standard input"


class Forecaster:
    """A run's forecasts of one series, row by row: holds the rows that are its lags, and the network's state.

    Args:
        run: a forecasting run.
        series: the name of the series, where the run was trained on several.
        fills: whether a missing input repeats the value before it, at the start the column's mean.
    """

    def __init__(self, run: Run, series: str = "", fills: bool = False) -> None:
        self.run, self.scaling = run, run.scaling if run.forecast_options.series is None else run.series[series]
        self.series, self.fills = series, fills
        self.last = np.array(self.scaling.mean, dtype=float)  # each column's last value
        self.seen = 0  # rows
        self.rows: deque[Any] = deque(maxlen=run.lags[-1] + 1)  # as they are input, the newest first
        self.date: datetime | None = None  # of the newest
        self.label: Label | None = None  # of the newest, where a column holds it
        self.state: Any = None
        self.widths = [self._width(output) for output in range(len(run.forecast_options.outputs))]
        # the forecasts of each output whose rows are to come, the next one first, standardised
        self.awaited: list[deque[float]] = [deque(maxlen=ahead) for _, ahead in run.forecast_options.outputs]

    def _width(self, output: int) -> AdaptiveWidth | None:
        """Half the width of an output's next interval; None where the run has no intervals."""
        _, ahead = self.run.forecast_options.outputs[output]
        return None if self.run.intervals is None else self.run.intervals.going_on(output, ahead)

    def next(self, values: list[float], date: datetime | None = None) -> list[tuple[float, float]] | None:
        """Each output's forecast of the row `horizon` rows after this one, and half the width of its interval.

        None before there are enough rows.

        Args:
            values: the row's columns, as `run.columns` has them.
            date: the row's, for a run that reads dates; the forecast row is dated by the spacing of the run's
                training set.
        """
        run = self.run
        self.seen += 1
        self.date = date
        scaled = self.scaling.apply(np.array(values))
        self.last = np.where(np.isnan(values), self.last, values)
        read = self.scaling.apply(self.last) if self.fills else scaled
        self.rows.appendleft(as_input(read, run.forecast_options.missing))
        outputs = run.forecast_options.outputs
        for (place, _), width, awaited in zip(outputs, self.widths, self.awaited, strict=True):
            if width is not None and len(awaited) == awaited.maxlen:
                width.add(abs(scaled[place] - awaited[0]))
        if len(self.rows) <= run.lags[-1]:
            return None
        x_t = [self.rows[lag] for lag in run.lags]
        if run.calendar:
            assert date is not None
            x_t.append(features([self.due(date)], run.calendar)[0])
        with torch.no_grad():
            x = torch.from_numpy(np.concatenate(x_t)).float().to(device_of(run.model))
            y_t, self.state = run.model.step(x, self.state)
        found = []
        ys = y_t.cpu().double().tolist()
        for y, (place, _), width, awaited in zip(ys, outputs, self.widths, self.awaited, strict=True):
            awaited.append(y)
            half = math.inf if width is None else width.width
            found.append((float(self.scaling.undo_target(y, place)), half * self.scaling.std[place]))
        return found

    def due(self, date: datetime) -> datetime:
        """The date of the farthest row that is forecast from a row of this date."""
        return self.run.spacings[self.series].after(date, max(self.run.forecast_options.horizons))


def follow(run: Run, time: str | None, source: BinaryIO, missing: Missing | None = None) -> int:
    """Read rows of CSV and write the forecasts that each makes possible; returns the exit code.

    Every line is written as soon as the row is read: time, target, value, forecast, lower and upper, where value
    is the target's in the row that came, and forecast that of `horizon` rows later with the ends of its interval,
    empty for the first rows, which have not all their lags before them. Each of several targets and horizons has a
    line, with its horizon; where the run was trained on many series, whose rows may be mixed, a line begins with
    its series. Intervals adapt: each is wider after true values that lay outside, and narrower after others.

    Args:
        run: the trained run.
        time: the column that labels the rows; None for the run's, if it is there, and else the rows' numbers.
        source: UTF-8, a header and then rows in the order of time.
        missing: what to do with missing values, as `Run.predict` takes it.

    Raises:
        UserError: the run makes no forecasts, or a line cannot be used; the lines before it have been answered.
    """
    run.check_predicts()
    if run.task_name != "forecast":
        raise UserError(f"{run.folder} names classes of whole sequences; --follow is for forecasts")
    rows = _Rows(run, time, source, treatment_of(run.forecast_options, missing))
    out = csv.writer(Exact(), lineterminator="\n")
    options = run.forecast_options
    outputs = options.outputs
    several = len(options.horizons) > 1
    first, horizon = (["series"] if options.series is not None else []), (["horizon"] if several else [])
    out.writerow((*first, "time", "target", *horizon, "value", "forecast", "lower", "upper"))
    sys.stdout.flush()
    for forecaster, moment, values, date in rows:
        forecasts = forecaster.next(values, date) or [(math.nan, math.nan)] * len(outputs)
        for (place, ahead), (forecast, half) in zip(outputs, forecasts, strict=True):
            numbers = [values[place], forecast, forecast - half, forecast + half]
            shown = ["" if not math.isfinite(number) else number for number in numbers]
            begin = [forecaster.series] if first else []
            out.writerow(
                (
                    *begin,
                    forecaster.seen if moment is None else moment,
                    run.columns[place],
                    *([ahead] if several else []),
                    *shown,
                )
            )
        sys.stdout.flush()
    return 0


class _Row(NamedTuple):
    """A row as it came, checked."""

    forecaster: Forecaster  # of its series
    moment: str | int | None  # its label; None where rows are numbered
    values: list[float]  # as the run's columns; NaN where one is missing
    date: datetime | None  # where the run reads dates


class _Rows:
    """The rows of standard input, each read and checked as it comes; errors name its line.

    Raises:
        UserError: there is no header, or it has not the columns of the run.
    """

    def __init__(self, run: Run, time: str | None, source: BinaryIO, missing: Missing) -> None:
        self.run, self.missing, self.forecasters = run, missing, dict[str, Forecaster]()
        self.lines = csv.reader(_text(source), strict=True)
        self.cells = self._cells()
        header = next(self.cells, None)
        if header is None:
            raise UserError(f"{NAME} is empty; a header and rows are needed")
        self.header, series = checked_header(header, NAME), run.forecast_options.series
        time = time or (
            run.forecast_options.time if run.forecast_options.time in self.header or run.calendar else None
        )
        check_columns([*run.columns, *([series] if series else []), *([time] if time else [])], self.header, NAME)
        place = {column: number for number, column in enumerate(self.header)}
        self.time_name = time
        self.columns = [place[column] for column in run.columns]
        self.time, self.series = (None if column is None else place[column] for column in (time, series))

    def __iter__(self) -> Iterator[_Row]:
        for row in self.cells:
            if len(row) != len(self.header):
                raise UserError(f"{self.line}: {why_ragged(row, self.header)}")
            series = "" if self.series is None else self._series(row[self.series])
            if series not in self.forecasters:
                self.forecasters[series] = Forecaster(self.run, series, self.missing == "interpolate")
            forecaster = self.forecasters[series]
            values = self._numbers([row[place] for place in self.columns], forecaster.scaling)
            moment = None if self.time is None else row[self.time].strip()
            date = None
            if moment is not None and self.run.calendar:
                date = self._date(moment, forecaster)
            elif moment is not None:
                where = f"{self.line}, column {self.time_name!r}"
                forecaster.label = read_label(moment, forecaster.label, self.run.clock, where)
            yield _Row(forecaster, moment, values, date)
        if not self.forecasters:
            raise UserError(f"{NAME} holds a header and no rows")

    @property
    def line(self) -> str:
        """The name of the line read last."""
        return f"{NAME}, line {self.lines.line_num}"

    def _cells(self) -> Iterator[list[str]]:
        """The lines' cells, but for blank lines."""
        try:
            yield from (row for row in self.lines if row)
        except csv.Error as error:
            raise UserError(f"{self.line}: {why_unread(error)}") from error

    def _series(self, cell: str) -> str:
        """One of those that the run was trained on, whose scale is known."""
        name = cell.strip()
        if name not in self.run.series:
            known = listed(list(self.run.series))
            raise UserError(
                f"{self.line}, column {self.run.forecast_options.series!r}: {name!r} is none of the series in the "
                f"training set, {known}, so that its scale is not known; pass all its rows as DATA"
            )
        return name

    def _date(self, text: str, forecaster: Forecaster) -> datetime:
        """A row's date, after that of the row before it."""
        before = forecaster.date
        try:
            date = self.run.clock.read(text)
            forecaster.due(date)
        except NoDate as error:
            raise UserError(f"{self.line}: {error}") from error
        except (OverflowError, ValueError) as error:
            raise UserError(
                f"{self.line}: the row forecast from {text} would be dated after the year 9999"
            ) from error
        if before is not None and instant(date) <= instant(before):
            raise UserError(f"{self.line}: {text} does not come after {before}, the date of the row before")
        return date

    def _numbers(self, cells: list[str], scaling: Scaling) -> list[float]:
        """A row's values, NaN where one is missing, unless that is refused."""
        columns = self.run.columns
        values = as_numbers(pl.Series(cells), lambda place: f"{self.line}, column {columns[place]!r}")
        if self.missing == "error" and (absent := np.isnan(values)).any():
            column = columns[int(absent.argmax())]
            raise UserError(
                f"{self.line}, column {column!r}: the value is missing; fill it before it is sent, or pass "
                "--missing interpolate to repeat the value before"
            )
        scaling.check(Moments.of(values[None]), columns, self.line)
        return values.tolist()


def _text(source: BinaryIO) -> Iterator[str]:
    """Lines as they come, decoded one by one, a byte order mark left out."""
    for number, line in enumerate(iter(lambda: source.readline(LONGEST + 1), b""), start=1):
        if len(line) > LONGEST:
            raise UserError(f"{NAME}, line {number} is longer than {LONGEST >> 20} MB; is it CSV?")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{NAME}, line {number} is not UTF-8: byte {line[error.start]:#04x}") from error
