"""The labels of rows on disk, checked once as a whole and read again where they are needed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

from .dates import DateForm
from .find_spacing import SpacingFinder
from .sources import Source, check_length
from .time_column import OpenOrder, read_timestamps
from .timestamps import OFFSETS, Clock, Timestamps


class StreamedTimes:
    """A column of times on disk.

    Attributes:
        spacing: the rule that leads from one row's time to the next's; None of a single row.
        clock: how further dates are read.

    Args:
        source: the table on disk.
        name: of the table, for errors.
        column: the name of the column.
        piece: how many rows are read at a time.
        clock: of the training rows' dates, where these are further ones.
        as_in: the times of rows that decide how all of these are read; None for the first piece, and for the order
            of day and month the first piece that shows it.

    Raises:
        UserError: as `read_timestamps`; or a time does not come after the one before it.
    """

    def __init__(
        self,
        source: Source,
        name: str,
        column: str,
        piece: int,
        clock: Clock | None = None,
        as_in: Timestamps | None = None,
    ) -> None:
        self._source, self._name, self._column, rows = source, name, column, source.rows
        finder, zones = SpacingFinder(rows), set()
        self._form: Any = None if as_in is None else as_in.form
        self._clock = clock if as_in is None else Clock(as_in.clock.day_first)
        for first in range(0, rows, piece):
            start = max(0, first - 1)  # with the last row before, which these go on from
            cells = self.cells(start, min(piece, rows - first) + first - start)
            try:
                stamps = read_timestamps(cells, name, self._clock, form=self._form, first=start)
            except OpenOrder as error:
                self._clock = self._order_after(first, piece, error)
                stamps = read_timestamps(cells, name, self._clock, form=self._form, first=start)
            stamps.check_increasing(name, column, start)
            finder.add(stamps.moments[first - start :])
            zones.add(stamps.clock.zone)
            self._clock = Clock(stamps.clock.day_first)
            form = stamps.form if self._form is None else self._form.joined(stamps.form)
            if cells.dtype.is_temporal() and isinstance(form, DateForm):
                form = DateForm((max(form.templates, key=len),))  # midnight is a date alone, among dates
            self._form = form
        self.spacing = finder.found()
        self.clock = replace(self._clock or Clock(), zone=zones.pop() if len(zones) == 1 else OFFSETS)

    def _order_after(self, before: int, piece: int, error: OpenOrder) -> Clock:
        """The order of day and month, by the first piece after an undecided one that shows it."""
        for first in range(before + piece, self._source.rows, piece):
            cells = self.cells(first - 1, min(piece, self._source.rows - first) + 1)  # with the row before
            try:
                return Clock(read_timestamps(cells, self._name, first=first - 1).clock.day_first)
            except OpenOrder as later:
                error = later
        raise error

    def cells(self, first: int, rows: int) -> pl.Series:
        """The cells of some rows, unread."""
        found = self._source.cells(first, rows, [self._column])[self._column]
        check_length(found, rows, first, self._source, self._name)
        return found

    def read(self, cells: pl.Series) -> Timestamps:
        """The labels in some cells."""
        stamps = read_timestamps(cells, self._name, self._clock, form=self._form)
        if stamps.form != self._form and cells.dtype.is_temporal():
            stamps = replace(stamps, texts=list(map(self._form.write, stamps.moments)))
        return replace(stamps, form=self._form)
