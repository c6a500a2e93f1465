"""The series of a table on disk, each a table that is read piece by piece.

Rows of several series may be mixed in the file, so that those of one are far apart. They are copied once, sorted
by series, to a temporary file that goes when the process ends.
"""

from __future__ import annotations

import tempfile
import weakref
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import numpy as np
import polars as pl

from ...errors import NothingThere, UserError
from ...files import naming
from .columns import check_roles, check_series
from .sources import Source, check_length
from .streamed_tables import PIECE, ROWS, FileTable, open_table
from .streamed_times import StreamedTimes
from .tables import Selection, as_floats, leaving_out, names_in, rows_by
from .time_column import OpenOrder, read_timestamps
from .timestamps import Clock, Timestamps

LONG = 100  # characters of a time: a longer one is read at once, to be refused where it is none


def open_series(source: Source, name: str, selection: Selection) -> dict[str, FileTable]:
    """A table for each series of a file by its name, as `select_series` has them in memory."""
    series, time, columns = selection.series, selection.time, selection.columns
    if series is None:
        return {"": open_table(source, name, selection)}
    check_series(series, columns, time, source.columns, name)
    check_roles(columns, time, source.columns, name)
    copy = SortedRows(source, name, columns, series, time, selection.clock)
    found = {}
    for own, part in copy.parts.items():
        of = f"{name}, series {own!r}"
        with leaving_out(f"series {own!r} is left out"):
            for column, values in zip(columns, copy.values_of[own], strict=True):
                if not values:
                    raise NothingThere(f"{of}: column {column!r} has no values at all")
            times = None
            if time is not None:
                times = StreamedTimes(part, of, time, ROWS, as_in=copy.first_times)
            found[own] = FileTable(part, of, columns, selection.missing, times=times, readers=0)
    if not found:
        raise UserError(f"{name} has no series with values in every column asked for")
    return found


class SortedRows:
    """Some columns of a table in a temporary file, the rows of each series one after the other.

    Attributes:
        parts: the rows of each series by its name, in the order in which the series begin.
        values_of: by series, how many values each column has.
        first_times: of a row of the table, in the form in which all are read.

    Args:
        source: the table.
        name: of the table, for errors.
        columns: of numbers.
        series: the column that names the series.
        time: the column of times; None without one.
        clock: of the training rows' dates, where these are further ones.

    Raises:
        UserError: a name or a time is missing, or a cell is no number.
        OSError: the temporary file cannot be written.
    """

    def __init__(
        self, source: Source, name: str, columns: list[str], series: str, time: str | None, clock: Clock | None
    ) -> None:
        self.columns, self._clock = columns, clock
        self.first_times: Timestamps | None = None
        self._source, self._name, self._series, self._time = source, name, series, time
        self._time_type: pl.DataType = pl.String()
        rows_of, width = self._counted()
        time_field = f"S{width}" if self._time_type == pl.String else np.int64
        self._row = np.dtype([("values", np.float64, (len(columns),)), *([("time", time_field)] if time else [])])
        self.values_of = {own: np.zeros(len(columns), dtype=int) for own in rows_of}
        starts = dict(zip(rows_of, accumulate([0, *rows_of.values()]), strict=False))
        with naming(Path(tempfile.gettempdir())):
            self._file = tempfile.TemporaryFile()  # noqa: SIM115, open as long as its rows are read
            weakref.finalize(self, self._file.close)
            if self._write(starts) != rows_of:
                raise UserError(f"{name} was changed while it was read; read it again")
            self._file.flush()
        self.parts = {own: _Part(self, starts[own], rows) for own, rows in rows_of.items()}

    def _counted(self) -> tuple[Counter[str], int]:
        """How many rows each series has, and the bytes of the longest time."""
        rows_of: Counter[str] = Counter()
        width, undecided, before = 1, None, None  # the last row of each series before an undecided piece
        for first, cells in self._pieces([]):
            names = names_in(cells[self._series], self._name, first)
            rows_of.update(names)
            if self._time is None:
                continue
            times = cells[self._time]
            if self.first_times is None:
                self._time_type = times.dtype if times.dtype.is_temporal() else pl.String()
                there = cells if before is None else pl.concat([before, cells])
                try:
                    self.first_times = self._first_time(there, first + len(cells) - len(there))
                except OpenOrder as error:
                    undecided = error
                    before = there.unique(self._series, keep="last", maintain_order=True)
            if times.null_count():
                read_timestamps(times, self._name, first=first)  # is refused there
            if self._time_type == pl.String:
                longest = max(map(len, _texts(times)))
                if longest > max(width, LONG):
                    form = None if self.first_times is None else self.first_times.form
                    read_timestamps(times, self._name, form=form, first=first)
                width = max(width, longest)
        if undecided is not None and self.first_times is None:
            raise undecided
        return rows_of, width

    def _first_time(self, cells: pl.DataFrame, first: int) -> Timestamps:
        """The first time of some rows, in the form that the first of them show, or else all of them."""
        assert self._time is not None
        time = self._time

        def among(cells: pl.DataFrame) -> Timestamps:
            parts = rows_by(names_in(cells[self._series], self._name, first)).values()
            return read_timestamps(cells[time], self._name, self._clock, parts, first=first).take([0])

        try:
            return among(cells[:ROWS])
        except OpenOrder:
            return among(cells)

    def _write(self, starts: dict[str, int]) -> Counter[str]:
        """Copy all rows, and give how many of each series there were."""
        written: Counter[str] = Counter()
        for first, cells in self._pieces(self.columns):
            rows = np.empty(len(cells), self._row)
            rows["values"] = as_floats(cells[self.columns], self._name, first)
            if self._time is not None:
                times = cells[self._time]
                is_text = self._time_type == pl.String
                rows["time"] = _texts(times) if is_text else times.to_physical().to_numpy()
            for own, places in rows_by(names_in(cells[self._series], self._name, first)).items():
                self._file.seek((starts.get(own, 0) + written[own]) * self._row.itemsize)
                self._file.write(rows[places].tobytes())
                written[own] += len(places)
                self.values_of.setdefault(own, np.zeros(len(self.columns), dtype=int))
                self.values_of[own] += (~np.isnan(rows["values"][places])).sum(0)
        return written

    def _pieces(self, columns: list[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        """The table's cells with the number of their first row: some columns, names and times."""
        wanted = [*columns, self._series, *([self._time] if self._time is not None else [])]
        for first in range(0, self._source.rows, PIECE):
            rows = min(PIECE, self._source.rows - first)
            cells = self._source.cells(first, rows, wanted)
            check_length(cells, rows, first, self._source, self._name)
            yield first, cells

    def _read(self, first: int, rows: int) -> np.ndarray:
        self._file.seek(first * self._row.itemsize)
        return np.frombuffer(self._file.read(rows * self._row.itemsize), self._row)

    def values(self, first: int, rows: int) -> np.ndarray:
        """Rows of the copy, (rows, columns)."""
        return self._read(first, rows)["values"]

    def times(self, first: int, rows: int) -> pl.Series:
        """The cells of their times."""
        assert self._time is not None
        stored = self._read(first, rows)["time"]
        if self._time_type == pl.String:
            return pl.Series(self._time, [text.decode() for text in stored.tolist()], pl.String)
        return pl.Series(self._time, stored, pl.Int64).cast(self._time_type)


class _Part:
    """The rows of one series as a `Source`."""

    def __init__(self, copy: SortedRows, first: int, rows: int) -> None:
        self._copy, self._first, self.rows, self.columns = copy, first, rows, copy.columns

    def cells(self, first: int, rows: int, columns: list[str]) -> pl.DataFrame:
        """The times."""
        return self._copy.times(self._first + first, rows).to_frame()

    def read(self, first: int, rows: int, columns: list[str]) -> np.ndarray:
        return self._copy.values(self._first + first, rows)


def _texts(times: pl.Series) -> list[bytes]:
    """Numbers and text as bytes without spaces around them."""
    return [text.encode() for text in times.cast(pl.String).str.strip_chars()]
