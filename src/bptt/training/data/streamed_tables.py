"""Tables on disk that are read piece by piece, from any row on."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import pairwise, starmap
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ...reach.byte_sizes import format_bytes, parse_bytes
from ..options.forecast import ForecastOptions
from ..options.shared import Missing
from .columns import check_roles
from .gaps import interpolated_piece
from .scaling import Moments
from .sources import Source, read_finite, read_there
from .spacing import Fixed, Spacing
from .streamed_times import StreamedTimes
from .tables import Selection
from .timestamps import Clock, Timestamps

PIECE = 2**18  # rows that are read at a time
ROWS = 2**15  # that are walked and judged at a time
WARM_UP = 1000  # steps walked before the first one that counts
# The memory of a table as a multiple of its size on disk: a CSV's cells are read as text, Parquet is compressed.
FOOTPRINT = {".csv": 20, ".parquet": 12, ".pq": 12, ".npy": 4}


@dataclass(frozen=True)
class FileTable:
    """Some columns of a table on disk, of which the block of rows that was read last is held."""

    source: Source
    name: str  # of the file
    columns: list[str]  # those read, the targets first
    missing: Missing = "error"  # refuse missing values; otherwise they are NaN
    filled: int = 0  # the row before which gaps are interpolated, between rows before it
    times: StreamedTimes | None = None  # of the rows; None numbers them from 1
    # how many share the rows that are held, PIECE in all; a copy holds its own, and with 0 none are held
    readers: int = 1
    stop: int | None = None  # the row before which they end; None for the last one
    _moments: dict[tuple[int, int], Moments] = field(default_factory=dict, init=False, repr=False, compare=False)
    _held: dict[str, tuple[int, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def piece(self) -> int:
        return ROWS

    @property
    def warm_up(self) -> int:
        return WARM_UP

    def __len__(self) -> int:
        return self.source.rows

    def read(self, first: int, rows: int) -> np.ndarray:
        return self._ahead("values", self._read, first, rows)

    def _read(self, first: int, rows: int) -> np.ndarray:
        values = self._read_gaps(first, rows)
        return interpolated_piece(values, first, self.filled, self._read_gaps, PIECE)

    def _read_gaps(self, first: int, rows: int) -> np.ndarray:
        where = self.source, self.name, first, rows, self.columns
        if self.missing == "error":
            return read_finite(*where, advice="fill it, or pass --missing interpolate")
        return read_there(*where)

    def interpolated(self, stop: int) -> FileTable:
        return replace(self, filled=stop)

    def _ahead(self, what: str, read: Callable[[int, int], Any], first: int, rows: int) -> Any:
        """Some rows by `read`, which is asked for more of them, where they are not held."""
        if not self.readers:
            return read(first, rows)
        start, held = self._held.get(what, (0, ()))
        if not start <= first <= first + rows <= start + len(held):
            ahead = min(PIECE // self.readers, (self.stop or len(self)) - first)
            start, held = first, read(first, min(max(rows, ahead), len(self) - first))
            self._held[what] = start, held
        return held[first - start : first - start + rows]

    def moments(self, first: int, stop: int, places: slice = slice(None)) -> Moments:
        """Of rows first to stop; of those that were read before, nothing is read again but at the ends."""
        ends = [first, *range(first - first % PIECE + PIECE, stop, PIECE), stop]
        nothing = Moments.of(np.empty((0, len(self.columns))))
        return reduce(Moments.joined, starmap(self._moments_between, pairwise(ends)), nothing).of_columns(places)

    def _moments_between(self, first: int, stop: int) -> Moments:
        if (first, stop) not in self._moments:
            self._moments[first, stop] = Moments.of(self.read(first, stop - first))
        return self._moments[first, stop]

    def timestamps_at(self, first: int, rows: int) -> Timestamps:
        if self.times is None:
            return Timestamps.of(list(range(first + 1, first + rows + 1)))
        return self.times.read(self._ahead("times", self.times.cells, first, rows))

    def spacing(self) -> Spacing | None:
        return Fixed("1", dated=False) if self.times is None else self.times.spacing

    @property
    def clock(self) -> Clock:
        return Clock() if self.times is None else self.times.clock


def open_table(source: Source, name: str, selection: Selection) -> FileTable:
    """Some columns of a table on disk; nothing of them is read yet but the times."""
    columns, times = selection.columns, None
    check_roles(columns, selection.time, source.columns, name)
    if selection.time is not None:
        times = StreamedTimes(source, name, selection.time, ROWS, selection.clock)
    return FileTable(source, name, columns, selection.missing, times=times)


def is_streamed(config: ForecastOptions) -> bool:
    """Whether a table is too large to be read as a whole; a UserError where the reach needs all of it."""
    if config.data is None or not config.data.is_file():
        return False
    half = machine_memory() // 2
    allowed = parse_bytes(config.memory) if config.reach == "truncated" and config.memory is not None else half
    takes = table_memory(config.data)
    if takes <= allowed:
        return False
    if config.reach != "truncated":
        raise UserError(
            f"{config.data} would take about {format_bytes(takes)} of memory, more than {format_bytes(half)}, "
            f"half of this machine's; --reach {config.reach} needs all of it: pass --reach truncated, which reads "
            "it piece by piece"
        )
    return True


def table_memory(path: Path) -> int:
    """About how many bytes a table on disk takes when it is read as a whole."""
    return path.stat().st_size * FOOTPRINT.get(path.suffix.lower(), 1)


def machine_memory() -> int:
    """The machine's memory in bytes; 8 GiB where it cannot be asked."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 8 * 2**30
