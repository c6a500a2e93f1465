"""Tables on disk that are read piece by piece, from any row on."""

from __future__ import annotations

import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise, starmap
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
import polars.selectors as cs

from ...errors import UserError
from ...reach.byte_sizes import format_bytes, parse_bytes
from ..options.forecast import ForecastOptions
from ..options.shared import Missing
from .csv_files import CsvRow, CsvRows, check_fields, frame_of, header_of
from .npy_files import read_npy
from .scaling import Moments
from .spacing import Fixed, Spacing
from .tables import PARQUET, as_floats, check_columns, check_once, reading_parquet
from .text_files import check_file
from .timestamps import Clock, Timestamps

PIECE = 2**18  # rows that are read at a time
ROWS = 2**15  # that are walked and judged at a time
WARM_UP = 1000  # steps walked before the first one that counts
MARK = 2**16  # rows between two marks in a CSV's index
# The memory of a table as a multiple of its size on disk: a CSV's cells are read as text, Parquet is compressed.
FOOTPRINT = {".csv": 20, ".parquet": 12, ".pq": 12, ".npy": 4}


class Source(Protocol):
    """A table that can be read from any row."""

    rows: int
    columns: list[str]

    def read(self, first: int, rows: int, columns: list[str]) -> np.ndarray:
        """Rows of some columns, (rows, columns), as float64; NaN where a value is missing."""
        ...


class _File(ABC):
    """A `Source` on disk; a cell that is neither a number nor missing is a UserError."""

    path: Path

    def read(self, first: int, rows: int, columns: list[str]) -> np.ndarray:
        return as_floats(self._frame(first, rows, columns), self.path.name, first)

    @abstractmethod
    def _frame(self, first: int, rows: int, columns: list[str]) -> pl.DataFrame:
        """The same cells as the file has them."""


class _Npy(_File):
    """A .npy file, mapped for each read alone, so that rows do not stay in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows, columns = read_npy(path).shape
        self.columns = [str(number) for number in range(columns)]

    def _frame(self, first: int, rows: int, columns: list[str]) -> pl.DataFrame:
        piece = read_npy(self.path)[first : first + rows, [int(name) for name in columns]].astype(np.float64)
        return pl.DataFrame(piece, schema=columns, orient="row")


class _Parquet(_File):
    """A Parquet file, of which polars reads the row groups it needs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading_parquet(path):
            self.frame = pl.scan_parquet(path.absolute(), glob=False)
            self.columns = list(self.frame.collect_schema())
            self.rows = int(self.frame.select(pl.len()).collect().item())

    def _frame(self, first: int, rows: int, columns: list[str]) -> pl.DataFrame:
        with reading_parquet(self.path):
            return self.frame.select(cs.by_name(*columns)).slice(first, rows).collect()


class _Csv(_File):
    """A CSV file, with marks where every so many of its rows begin."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, 0
        self.marks: list[tuple[int, int]] = []  # line and place in bytes
        with path.open("rb") as file:
            rows = iter(CsvRows(file, path))
            self.columns = header_of(rows, path)
            for row in check_fields(rows, self.columns, path.name):
                if self.rows % MARK == 0:
                    self.marks.append((row.line, row.place))
                self.rows += 1

    def _frame(self, first: int, rows: int, columns: list[str]) -> pl.DataFrame:
        if first >= self.rows:
            return frame_of([], self.columns, columns)
        with self.path.open("rb") as file:
            line, place = self.marks[first // MARK]
            file.seek(place)
            there = check_fields(iter(CsvRows(file, self.path, line, place)), self.columns, self.path.name)
            taken: Iterator[CsvRow] = itertools.islice(there, first % MARK, first % MARK + rows)
            return frame_of(taken, self.columns, columns)


@dataclass(frozen=True)
class FileTable:
    """Some columns of a table on disk, of which the block of rows that was read last is held."""

    source: Source
    name: str  # of the file
    columns: list[str]  # those read, the targets first
    missing: Missing = "error"  # refuse missing values, or "mask": leave NaN
    readers: int = 1  # how many share the rows that are held, PIECE in all; a copy holds its own
    stop: int | None = None  # the row before which they end; None for the last one
    _moments: dict[tuple[int, int], Moments] = field(default_factory=dict, init=False, repr=False, compare=False)
    _held: list[tuple[int, np.ndarray]] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def piece(self) -> int:
        return ROWS

    @property
    def warm_up(self) -> int:
        return WARM_UP

    def __len__(self) -> int:
        return self.source.rows

    def read(self, first: int, rows: int) -> np.ndarray:
        start, held = self._held[0] if self._held else (0, np.empty((0, len(self.columns))))
        if not start <= first <= first + rows <= start + len(held):
            read = read_finite if self.missing == "error" else read_there
            ahead = min(PIECE // self.readers, (self.stop or len(self)) - first)
            there = min(max(rows, ahead), len(self) - first)
            start, held = first, read(self.source, self.name, first, there, self.columns)
            self._held[:] = [(start, held)]
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
        return Timestamps.of(list(range(first + 1, first + rows + 1)))

    def spacing(self) -> Spacing | None:
        return Fixed("1", dated=False)

    @property
    def clock(self) -> Clock:
        return Clock()


def open_table(config: ForecastOptions) -> FileTable:
    """The columns of a table on disk that a run trains on; nothing of them is read yet."""
    assert config.data is not None
    check_streamable(config)
    source = open_source(config.data)
    columns = checked_columns((*config.targets, *config.inputs), source, config.data)
    check_once(columns)
    return FileTable(source, config.data.name, columns, config.missing)


def open_source(path: Path) -> Source:
    """A table on disk, of which only the index is read yet."""
    check_file(path, "a CSV, Parquet or .npy file")
    kinds = {**dict.fromkeys(PARQUET, _Parquet), ".npy": _Npy}
    return kinds.get(path.suffix.lower(), _Csv)(path)


def checked_columns(wanted: str | Sequence[str], source: Source, path: Path) -> list[str]:
    """The names of columns asked for, each of them there."""
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    check_columns(names, source.columns, path.name)
    if not names:
        raise ValueError("columns are empty; name at least one")
    return names


def read_there(source: Source, name: str, first: int, rows: int, columns: list[str]) -> np.ndarray:
    """Rows of some columns; a UserError where a row is missing."""
    piece = source.read(first, rows, columns)
    if len(piece) != rows:
        raise UserError(
            f"{name} ends after row {first + len(piece)}, but had {source.rows} rows when it was opened; open it "
            "again"
        )
    return piece


def read_finite(source: Source, name: str, first: int, rows: int, columns: list[str]) -> np.ndarray:
    """Rows of some columns; a UserError where a row or a value is missing."""
    piece = read_there(source, name, first, rows, columns)
    absent = np.isnan(piece)
    if absent.any():
        row, column = np.argwhere(absent)[0]
        raise UserError(
            f"{name}: row {first + row + 1}, column {columns[column]!r}: the value is missing; pass --missing "
            "mask, or fill or drop such rows first"
        )
    return piece


def is_streamed(config: ForecastOptions) -> bool:
    """Whether a table is too large to be read as a whole; a UserError where the reach needs all of it."""
    if config.data is None or not config.data.is_file():
        return False
    half = machine_memory() // 2
    allowed = parse_bytes(config.memory) if config.reach == "truncated" and config.memory is not None else half
    takes = config.data.stat().st_size * FOOTPRINT.get(config.data.suffix.lower(), 1)
    if takes <= allowed:
        return False
    if config.reach != "truncated":
        raise UserError(
            f"{config.data} would take about {format_bytes(takes)} of memory, more than {format_bytes(half)}, "
            f"half of this machine's; --reach {config.reach} needs all of it: pass --reach truncated, which reads "
            "it piece by piece"
        )
    return True


def check_streamable(config: ForecastOptions) -> None:
    """Refuse options that need the whole table in memory (UserError)."""
    plain = ForecastOptions()
    for name in ("time", "missing", "series"):
        value = getattr(config, name)
        if value not in (getattr(plain, name), "mask"):
            said = f"--{name}" if value is True else f"--{name} {value}"
            raise UserError(
                f"{config.data} is read piece by piece, where {said} is not supported: rows are numbered"
                " and missing values are masked or filled before; or pass a larger --memory"
            )


def machine_memory() -> int:
    """The machine's memory in bytes; 8 GiB where it cannot be asked."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 8 * 2**30
