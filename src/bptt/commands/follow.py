"""`bptt predict --follow`: a forecast for each row as it comes."""

from __future__ import annotations

import csv
import math
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

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
        self.rows: deque[Any] = deque(maxlen=run.config.lags)  # standardised, the newest first
        self.state: Any = None

    def next(self, values: list[float]) -> float | None:
        """The forecast of the target `horizon` rows after the row that came; None before there are enough rows.

        Args:
            values: the row's columns, as `run.columns` has them.
        """
        import numpy as np
        import torch

        scaling = self.run.scaling
        self.rows.appendleft(scaling.apply(np.array(values)))
        if len(self.rows) < self.run.config.lags:
            return None
        x_t = torch.from_numpy(np.concatenate(self.rows)).float()
        with torch.no_grad():
            y_t, self.state = self.run.model.step(x_t, self.state)
        return float(scaling.undo_target(y_t.double().numpy())[0])


def follow(run: Run, time: str | None, source: BinaryIO) -> int:
    """Read rows of CSV and write, for each, the forecast that it makes possible; returns the exit code.

    Every line is written as soon as the row is read: time, target, value and forecast, where value is the target's
    in the row that came, and forecast that of `horizon` rows later, empty for the first lags - 1 rows.

    Args:
        run: the trained run.
        time: the column that labels the rows; None for the run's, if it is there, and else the rows' numbers.
        source: UTF-8, a header and then rows in the order of time.

    Raises:
        UserError: a line that cannot be used, by its number; the lines before it have been answered.
    """
    lines = csv.reader(_text(source), strict=True)
    out = csv.writer(sys.stdout, lineterminator="\n")
    forecaster, number, target = Forecaster(run), 0, run.columns[0]
    rows = _rows(lines)
    header = next(rows, None)
    if header is None:
        raise UserError(f"{NAME} is empty; a header and rows are needed")
    places, label = _places(header, run, time)
    out.writerow(("time", "target", "value", "forecast"))
    sys.stdout.flush()
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            hint = "; is the comma a decimal comma? write 1.5" if len(row) > len(header) else ""
            raise UserError(f"{_line(lines)}: {len(row)} fields where the header has {len(header)}{hint}")
        cells = zip(places, run.columns, strict=True)
        values = [_number(row[place], column, lines) for place, column in cells]
        forecast = forecaster.next(values)
        moment = number if label is None else row[label].strip()
        out.writerow((moment, target, values[0], "" if forecast is None else forecast))
        sys.stdout.flush()
    if number == 0:
        raise UserError(f"{NAME} holds a header and no rows")
    return 0


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


def _number(cell: str, column: str, lines: Any) -> float:
    from ..training.data import MISSING_WORDS

    text = cell.strip()
    if text.lower() in MISSING_WORDS:
        raise UserError(f"{_line(lines)}, column {column!r}: the value is missing; fill it before it is sent")
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{_line(lines)}, column {column!r}: {text!r} is not a finite number")
    return value
