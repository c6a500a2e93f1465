"""Tables in CSV, Parquet and .npy files that can be read from any row on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect
from collections.abc import Iterator, Sequence, Sized
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import polars as pl
import polars.selectors as cs

from ...errors import UserError
from .columns import check_columns
from .csv_files import CsvPiece, CsvRows, frame_of
from .npy_files import native, read_npy
from .tables import PARQUET, as_floats, reading_parquet
from .text_files import check_file


class Source(Protocol):
    """A table that can be read from any row."""

    rows: int
    columns: list[str]

    def cells(self, first: int, rows: int, columns: list[str]) -> pl.DataFrame:
        """Rows of some columns, as the file has them."""
        ...

    def read(self, first: int, rows: int, columns: list[str]) -> np.ndarray:
        """The same as float64, (rows, columns), NaN where a value is missing."""
        ...


class _File(ABC):
    """A `Source` on disk; a cell that is neither a number nor missing is a UserError."""

    path: Path

    def read(self, first: int, rows: int, columns: list[str]) -> np.ndarray:
        return as_floats(self.cells(first, rows, columns), self.path.name, first)

    @abstractmethod
    def cells(self, first: int, rows: int, columns: list[str]) -> pl.DataFrame: ...


class _Npy(_File):
    """A .npy file, mapped for each read alone, so that rows do not stay in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows, columns = read_npy(path).shape
        self.columns = [str(number) for number in range(columns)]

    def cells(self, first: int, rows: int, columns: list[str]) -> pl.DataFrame:
        piece = read_npy(self.path)[first : first + rows, [int(name) for name in columns]]
        return pl.DataFrame(native(piece), schema=columns, orient="row")


class _Parquet(_File):
    """A Parquet file, of which polars reads the row groups it needs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading_parquet(path):
            self.frame = pl.scan_parquet(path.absolute(), glob=False)
            self.columns = list(self.frame.collect_schema())
            self.rows = int(self.frame.select(pl.len()).collect().item())

    def cells(self, first: int, rows: int, columns: list[str]) -> pl.DataFrame:
        with reading_parquet(self.path):
            return self.frame.select(cs.by_name(*columns)).slice(first, rows).collect()


class _Mark(NamedTuple):
    """Where a piece of a CSV file begins."""

    row: int  # the number of its first row, from 0
    line: int
    place: int  # in bytes


class _Csv(_File):
    """A CSV file, with marks where its pieces begin."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, 0
        self.marks: list[_Mark] = []
        with path.open("rb") as file:
            there = CsvRows(file, path)
            self.columns = there.header()
            for piece in there.pieces(self.columns):
                self.marks.append(_Mark(self.rows, piece.line, piece.place))
                self.rows += piece.rows

    def cells(self, first: int, rows: int, columns: list[str]) -> pl.DataFrame:
        if first >= self.rows:
            return frame_of([], self.columns, columns)
        mark = self.marks[bisect(self.marks, first, key=attrgetter("row")) - 1]
        with self.path.open("rb") as file:
            file.seek(mark.place)
            there = CsvRows(file, self.path, mark.line, mark.place).pieces(self.columns)
            skipped = first - mark.row
            return frame_of(_enough(there, skipped + rows), self.columns, columns)[skipped:][:rows]


def _enough(pieces: Iterator[CsvPiece], rows: int) -> Iterator[CsvPiece]:
    """As many pieces as hold so many rows."""
    while rows > 0 and (piece := next(pieces, None)) is not None:
        yield piece
        rows -= piece.rows


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
    check_length(piece, rows, first, source, name)
    return piece


def check_length(found: Sized, rows: int, first: int, source: Source, name: str) -> None:
    """Refuse fewer rows than there were when the file was opened."""
    if len(found) != rows:
        raise UserError(
            f"{name} ends after row {first + len(found)}, but had {source.rows} rows when it was opened; open it "
            "again"
        )


def read_finite(
    source: Source, name: str, first: int, rows: int, columns: list[str], advice: str = "fill it first"
) -> np.ndarray:
    """Rows of some columns; a UserError, with what to do, where a row or a value is missing."""
    piece = read_there(source, name, first, rows, columns)
    absent = np.isnan(piece)
    if absent.any():
        row, column = np.argwhere(absent)[0]
        raise UserError(
            f"{name}: row {first + row + 1}, column {columns[column]!r}: the value is missing; {advice}"
        )
    return piece
