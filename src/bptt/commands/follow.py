"""`bptt predict --follow`: a forecast for each row as it comes."""

from __future__ import annotations

import csv
import math
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ..errors import UserError
from .streams import Exact

if TYPE_CHECKING:
    from torch import Tensor

    from ..training.data.scaling import Scaling
    from ..training.data.timestamps import Label
    from ..training.run import Run

NAME = "standard input"


class Forecaster:
    """A run's forecasts of one series row by row: holds the rows that are its lags, and the network's state.

    Args:
        run: what `load_run` read.
        series: which of the many it was trained on, where it was.
    """

    def __init__(self, run: Run, series: str = "") -> None:
        self.run, self.scaling = run, run.scaling if run.forecast.series is None else run.series[series]
        self.series = series
        self.seen = 0  # rows
        self.rows: deque[Any] = deque(maxlen=run.forecast.lags)  # as they are input, the newest first
        self.date: datetime | None = None  # of the newest
        self.label: Label | None = None  # of the newest, where a column holds it
        self.state: Any = None

    def next(self, values: list[float], date: datetime | None = None) -> list[float] | None:
        """The forecast of each output for the row that is its horizon after the row that came; None before there
        are enough rows.

        Args:
            values: the row's columns, as `run.columns` has them.
            date: the row's, for a run that reads dates; the row forecast is dated by the spacing of the rows that
                the run learned from.
        """
        import numpy as np

        from ..training.data.scaling import as_input

        config = self.run.forecast
        self.seen += 1
        self.date = date
        self.rows.appendleft(as_input(self.scaling.apply(np.array(values)), config.missing))
        if len(self.rows) < config.lags:
            return None
        outputs = zip(self._step().double().numpy(), config.outputs, strict=True)
        return [float(self.scaling.undo_target(y, place)) for y, (place, _) in outputs]

    def due(self, date: datetime) -> datetime:
        """The date of the row that is forecast from a row of this date, the farthest one."""
        return self.run.spacings[self.series].after(date, max(self.run.forecast.horizons))

    def _step(self) -> Tensor:
        """The network's outputs for the newest row."""
        import numpy as np
        import torch

        from ..training.data.calendar import features

        run, x_t = self.run, list(self.rows)
        if run.calendar:
            assert self.date is not None
            x_t.append(features([self.due(self.date)], run.calendar)[0])
        with torch.no_grad():
            y_t, self.state = run.model.step(torch.from_numpy(np.concatenate(x_t)).float(), self.state)
        return y_t


def follow(run: Run, time: str | None, source: BinaryIO) -> int:
    """Read rows of CSV and write, for each, the forecast that it makes possible; returns the exit code.

    Every line is written as soon as the row is read: time, target, value, forecast, lower and upper, where value
    is the target's in the row that came, and forecast that of `horizon` rows later with the ends of its interval,
    empty for the first lags - 1 rows. Each of several targets and horizons has a line, with its horizon; where the
    run was trained on many series, whose rows may stand between each other's, a line begins with its series.

    Args:
        run: the trained run.
        time: the column that labels the rows; None for the run's, if it is there, and else the rows' numbers.
        source: UTF-8, a header and then rows in the order of time.

    Raises:
        UserError: a line that cannot be used, by its number; the lines before it have been answered.
    """
    from ..training.data.csv_files import why_ragged
    from ..training.data.time_column import read_label

    lines = csv.reader(_text(source), strict=True)
    out = csv.writer(Exact(), lineterminator="\n")
    forecasters: dict[str, Forecaster] = {}
    outputs, several = outputs_of(run), len(run.forecast.horizons) > 1
    rows = _rows(lines)
    header = next(rows, None)
    if header is None:
        raise UserError(f"{NAME} is empty; a header and rows are needed")
    places = _places(header, run, time)
    first, horizon = (["series"] if places.series is not None else []), (["horizon"] if several else [])
    out.writerow((*first, "time", "target", *horizon, "value", "forecast", "lower", "upper"))
    sys.stdout.flush()
    for row in rows:
        if len(row) != len(header):
            raise UserError(f"{_line(lines)}: {why_ragged(row, header)}")
        series = "" if places.series is None else _series(row[places.series], run, lines)
        if series not in forecasters:
            forecasters[series] = Forecaster(run, series)
        forecaster = forecasters[series]
        values = _numbers([row[place] for place in places.columns], run, forecaster.scaling, lines)
        date = _date(row, places, forecaster, lines) if run.calendar else None
        if not run.calendar and places.time is not None:
            where = f"{_line(lines)}, column {header[places.time].strip()!r}"
            forecaster.label = read_label(row[places.time].strip(), forecaster.label, run.clock, where)
        forecasts = forecaster.next(values, date) or [None] * len(outputs)
        moment = forecaster.seen if places.time is None else row[places.time].strip()
        for (place, ahead, width), forecast in zip(outputs, forecasts, strict=True):
            found = math.nan if forecast is None else forecast
            half = width * forecaster.scaling.std[place]
            told = [values[place], found, found - half, found + half]
            shown = ["" if not math.isfinite(number) else number for number in told]
            begin = [series] if first else []
            out.writerow((*begin, moment, run.columns[place], *([ahead] if several else []), *shown))
        sys.stdout.flush()
    if not forecasters:
        raise UserError(f"{NAME} holds a header and no rows")
    return 0


class Output(NamedTuple):
    """What one of the network's outputs forecasts."""

    place: int  # of the target among the columns
    ahead: int
    width: float  # half of its interval, in the target's deviations; inf where there is none


def outputs_of(run: Run) -> list[Output]:
    """The outputs of a run, in their order."""
    pairs = run.forecast.outputs
    widths = [math.inf] * len(pairs) if run.intervals is None else run.intervals.widths
    return [Output(*pair, width) for pair, width in zip(pairs, widths, strict=True)]


def _text(source: BinaryIO) -> Iterator[str]:
    """Lines as they come, decoded one by one, a byte order mark left out."""
    from ..training.data.csv_files import LONGEST

    for number, line in enumerate(iter(lambda: source.readline(LONGEST + 1), b""), start=1):
        if len(line) > LONGEST:
            raise UserError(f"{NAME}, line {number} is longer than {LONGEST >> 20} MB; is it CSV?")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{NAME}, line {number} is not UTF-8: byte {line[error.start]:#04x}") from error


def _rows(lines: Iterable[list[str]]) -> Iterator[list[str]]:
    """The rows of a CSV reader but for blank lines."""
    from ..training.data.csv_files import why_unread

    try:
        yield from (row for row in lines if row)
    except csv.Error as error:
        raise UserError(f"{_line(lines)}: {why_unread(error)}") from error


def _line(lines: Any) -> str:
    return f"{NAME}, line {lines.line_num}"


class Places(NamedTuple):
    """Where in a row things stand."""

    columns: list[int]  # the run's
    time: int | None
    series: int | None


def _places(row: list[str], run: Run, time: str | None) -> Places:
    """Where the run's columns stand in the header, where the rows' label and where their series."""
    from ..training.data.csv_files import checked_header
    from ..training.data.tables import check_columns

    header, series = checked_header(row, NAME), run.forecast.series
    place = {column: number for number, column in enumerate(header)}
    time = time or (run.forecast.time if run.forecast.time in header or run.calendar else None)
    check_columns([*run.columns, *([series] if series else []), *([time] if time else [])], header, NAME)
    of_time, of_series = (None if column is None else place[column] for column in (time, series))
    return Places([place[column] for column in run.columns], of_time, of_series)


def _series(cell: str, run: Run, lines: Any) -> str:
    """One of those that the run was trained on, whose scale is known."""
    from ..training.data.tables import listed

    name = cell.strip()
    if name not in run.series:
        raise UserError(
            f"{_line(lines)}, column {run.forecast.series!r}: {name!r} is none of the series that were learned "
            f"from, {listed(list(run.series))}, so that its scale is not known; pass all its rows as DATA instead"
        )
    return name


def _date(row: list[str], places: Places, forecaster: Forecaster, lines: Any) -> datetime:
    """A row's date, after that of the row before it."""
    from ..training.data.dates import NoDate, instant

    assert places.time is not None
    text, before = row[places.time].strip(), forecaster.date
    try:
        date = forecaster.run.clock.read(text)
        forecaster.due(date)
    except NoDate as error:
        raise UserError(f"{_line(lines)}: {error}") from error
    except (OverflowError, ValueError) as error:
        raise UserError(
            f"{_line(lines)}: the row forecast from {text} would be dated after the year 9999"
        ) from error
    if before is not None and instant(date) <= instant(before):
        raise UserError(f"{_line(lines)}: {text} does not come after {before}, the date of the row before")
    return date


def _numbers(cells: list[str], run: Run, scaling: Scaling, lines: Any) -> list[float]:
    """A row's values, NaN where one is missing and the run masks such."""
    import numpy as np
    import polars as pl

    from ..training.data.cells import as_numbers
    from ..training.data.scaling import Moments

    line, columns = _line(lines), run.columns
    values = as_numbers(pl.Series(cells), lambda place: f"{line}, column {columns[place]!r}")
    if run.forecast.missing != "mask" and (absent := np.isnan(values)).any():
        column = columns[int(absent.argmax())]
        raise UserError(f"{line}, column {column!r}: the value is missing; fill it before it is sent")
    scaling.check(Moments.of(values[None]), columns, line)
    return values.tolist()
