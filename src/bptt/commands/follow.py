"""`bptt predict --follow`: a forecast for each row as it comes."""

from __future__ import annotations

import csv
import math
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ..training.errors import UserError

if TYPE_CHECKING:
    from ..training.run import Run

NAME = "standard input"


class Forecaster:
    """A run's forecasts row by row: holds the rows that are its lags, and the network's state.

    Args:
        run: what `load_run` read.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.rows: deque[Any] = deque(maxlen=run.config.lags)  # as they are input, the newest first
        self.state: Any = None

    def next(self, values: list[float]) -> list[float] | None:
        """The forecast of each output for the row that is its horizon after the row that came; None before there
        are enough rows.

        Args:
            values: the row's columns, as `run.columns` has them.
        """
        import numpy as np
        import torch

        from ..training.scaling import as_input

        config, scaling = self.run.config, self.run.scaling
        self.rows.appendleft(as_input(scaling.apply(np.array(values)), config.missing))
        if len(self.rows) < config.lags:
            return None
        x_t = torch.from_numpy(np.concatenate(self.rows)).float()
        with torch.no_grad():
            y_t, self.state = self.run.model.step(x_t, self.state)
        places = range(max(1, len(config.targets)))
        of_targets = y_t.double().numpy().reshape(len(places), -1)
        return [float(y) for place in places for y in scaling.undo_target(of_targets[place], place)]


def follow(run: Run, time: str | None, source: BinaryIO) -> int:
    """Read rows of CSV and write, for each, the forecast that it makes possible; returns the exit code.

    Every line is written as soon as the row is read: time, target, value, forecast, lower and upper, where value
    is the target's in the row that came, and forecast that of `horizon` rows later with the ends of its interval,
    empty for the first lags - 1 rows. Each of several targets and horizons has a line, with its horizon.

    Args:
        run: the trained run.
        time: the column that labels the rows; None for the run's, if it is there, and else the rows' numbers.
        source: UTF-8, a header and then rows in the order of time.

    Raises:
        UserError: a line that cannot be used, by its number; the lines before it have been answered.
    """
    lines = csv.reader(_text(source), strict=True)
    out = csv.writer(sys.stdout, lineterminator="\n")
    forecaster, number, outputs = Forecaster(run), 0, outputs_of(run)
    several = len(run.config.horizons) > 1
    rows = _rows(lines)
    header = next(rows, None)
    if header is None:
        raise UserError(f"{NAME} is empty; a header and rows are needed")
    places, label = _places(header, run, time)
    horizon = ["horizon"] if several else []
    out.writerow(("time", "target", *horizon, "value", "forecast", "lower", "upper"))
    sys.stdout.flush()
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            hint = "; is the comma a decimal comma? write 1.5" if len(row) > len(header) else ""
            raise UserError(f"{_line(lines)}: {len(row)} fields where the header has {len(header)}{hint}")
        cells = zip(places, run.columns, strict=True)
        is_masked = run.config.missing == "mask"
        values = [_number(row[place], column, lines, is_masked) for place, column in cells]
        forecasts = forecaster.next(values) or [None] * len(outputs)
        moment = number if label is None else row[label].strip()
        for (place, ahead, width), forecast in zip(outputs, forecasts, strict=True):
            found = math.nan if forecast is None else forecast
            told = [values[place], found, found - width, found + width]
            shown = ["" if not math.isfinite(number) else number for number in told]
            out.writerow((moment, run.columns[place], *([ahead] if several else []), *shown))
        sys.stdout.flush()
    if number == 0:
        raise UserError(f"{NAME} holds a header and no rows")
    return 0


class Output(NamedTuple):
    """What one of the network's outputs forecasts."""

    place: int  # of the target among the columns
    ahead: int
    width: float  # half of its interval, in the target's unit; inf where there is none


def outputs_of(run: Run) -> list[Output]:
    """The outputs of a run, in their order."""
    config = run.config
    pairs = [(place, ahead) for place in range(max(1, len(config.targets))) for ahead in config.horizons]
    widths = [math.inf] * len(pairs) if run.intervals is None else run.intervals.widths
    return [Output(*pair, width * run.scaling.std[pair[0]]) for pair, width in zip(pairs, widths, strict=True)]


def _text(source: BinaryIO) -> Iterator[str]:
    """Lines as they come, decoded one by one, a byte order mark left out."""
    for number, line in enumerate(source, start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{NAME}, line {number} is not UTF-8: byte {line[error.start]:#04x}") from error


def _rows(lines: Iterable[list[str]]) -> Iterator[list[str]]:
    """The rows of a CSV reader but for blank lines."""
    try:
        yield from (row for row in lines if row)
    except csv.Error as error:
        raise UserError(f"{_line(lines)}: {error}") from error


def _line(lines: Any) -> str:
    return f"{NAME}, line {lines.line_num}"


def _places(row: list[str], run: Run, time: str | None) -> tuple[list[int], int | None]:
    """Where the run's columns stand in the header, and where the rows' label stands."""
    from ..training.data import checked_header

    header = checked_header(row, NAME)
    for column in [*run.columns, *([time] if time else [])]:
        if column not in header:
            there = ", ".join(map(repr, header))
            raise UserError(f"{NAME} has no column {column!r}; its columns are {there}")
    time = time or (run.config.time if run.config.time in header else None)
    return [header.index(column) for column in run.columns], None if time is None else header.index(time)


def _number(cell: str, column: str, lines: Any, is_masked: bool) -> float:
    from ..training.data import MISSING_WORDS

    text = cell.strip()
    if text.lower() in MISSING_WORDS:
        if is_masked:
            return math.nan
        raise UserError(f"{_line(lines)}, column {column!r}: the value is missing; fill it before it is sent")
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{_line(lines)}, column {column!r}: {text!r} is not a finite number")
    return value
