"""One long series from a file, read piece by piece and cut into parallel streams."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
import polars.selectors as cs
import torch
from torch import Tensor

from ...checks import check_sizes
from ...errors import UserError
from ...reach.plan import bytes_in, shown
from ..config import TrainConfig
from .csv_files import CsvRow, CsvRows, check_fields, frame_of, header_of
from .npy_files import read_npy
from .tables import PARQUET, as_floats, check_columns, lagged, reading_parquet
from .text_files import check_file

PIECE = 2**18  # rows of all streams together that are read at a time
MARK = 2**16  # rows between two marks in a CSV's index
# What a table takes in memory beside its size on disk: a CSV's cells are read as text, Parquet is compressed.
FOOTPRINT = {".csv": 20, ".parquet": 12, ".pq": 12, ".npy": 4}


class Source(Protocol):
    """A table that can be read from any row."""

    rows: int
    columns: list[str]

    def read(self, first: int, rows: int, columns: list[str]) -> np.ndarray:
        """Rows of some columns, (rows, columns), as float64; NaN where a value is missing.

        Raises:
            UserError: a cell is neither a number nor missing.
        """
        ...


class Stream:
    """What `stream` opens: an iterable of pairs (x, d), once through the series each time it is iterated.

    Attributes:
        steps: T, the steps of each of the B parallel streams.
        position: the step the next window begins with.
    """

    batch_first = False  # x and d are (T, B, ·)

    def __init__(
        self,
        source: Source,
        name: str,
        x: list[str],
        d: list[str],
        aheads: Sequence[int],
        batch: int,
        window: int,
        dtype: Any,
        lags: int = 1,
    ) -> None:
        self.source, self.name, self.x, self.d = source, name, x, d
        self.aheads, self.batch, self.window, self.dtype, self.lags = aheads, batch, window, dtype, lags
        self.beyond = lags - 1 + max(aheads)  # rows that belong to a step beside its own
        self.steps = (source.rows - self.beyond) // batch
        self.position = 0
        if self.steps < 1:
            raise UserError(
                f"{name} has {source.rows} rows; {batch} streams and targets {max(aheads)} rows ahead"
                + (f" of {lags} lags" if lags > 1 else "")
                + f" need at least {batch + self.beyond}"
            )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        columns = list(dict.fromkeys([*self.x, *self.d]))
        of_x, of_d = ([columns.index(name) for name in names] for names in (self.x, self.d))
        rows, beyond = max(self.window, PIECE // self.batch), self.beyond
        held, first = np.empty((0, 0, 0)), 0  # (rows, B, columns), the first one the earliest of step `first`
        while self.position < self.steps:
            start, stop = self.position, min(self.position + self.window, self.steps)
            if not len(held) or start < first or stop + beyond > first + len(held):
                held, first = self._read(start, min(start + rows, self.steps) + beyond, columns), start
            piece = held[start - first : stop - first + beyond]
            steps = stop - start
            x = lagged(piece[: steps + self.lags - 1, :, of_x], self.lags)
            first_d = [self.lags - 1 + ahead for ahead in self.aheads]
            d = np.stack([piece[row : row + steps, :, place] for place in of_d for row in first_d], -1)
            self.position = stop
            yield torch.from_numpy(x).to(self.dtype), torch.from_numpy(d).to(self.dtype)
        self.position = 0

    def _read(self, start: int, stop: int, columns: list[str]) -> np.ndarray:
        """Steps start to stop of each stream, (steps, B, columns), finite."""
        pieces = []
        for stream in range(self.batch):
            first = stream * self.steps + start
            pieces.append(read_finite(self.source, self.name, first, stop - start, columns))
        return np.stack(pieces, axis=1)

    def state_dict(self) -> dict[str, Any]:
        """The position, and what it is a position in."""
        return {"position": self.position, "rows": self.source.rows, "batch": self.batch, "window": self.window}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at a saved position.

        Raises:
            ValueError: it was saved from another series, batch or window.
        """
        own = self.state_dict()
        if set(state) != set(own):
            raise ValueError(f"the state of a stream has {sorted(own)}, got {sorted(state)}")
        for name in ("rows", "batch", "window"):
            if state[name] != own[name]:
                raise ValueError(f"the state was saved with {name}={state[name]}, but this stream has {own[name]}")
        self.seek(state["position"])

    def seek(self, step: int) -> None:
        """Let the next window begin at a step.

        Raises:
            ValueError: there is no such step.
        """
        if not 0 <= step <= self.steps:
            raise ValueError(f"position must lie between 0 and {self.steps}, got {step}")
        self.position = step


def stream(
    path: str | Path,
    columns: str | Sequence[str] | None = None,
    targets: str | Sequence[str] | None = None,
    ahead: int | Sequence[int] = 1,
    batch: int = 1,
    window: int = 20,
    dtype: torch.dtype = torch.float32,
    lags: int = 1,
) -> Stream:
    """A long series as windows for `bptt.truncated`, a few megabytes of it in memory at a time.

        for window in bptt.truncated(model, bptt.stream("series.parquet", "load", batch=8), None, criterion):

    The series is cut into B stretches of T = (rows - max(ahead) - lags + 1) // B steps that are read side by side,
    each in order, so that a state carried from window to window is that of its own stretch. Rows left over are not
    read.

    Args:
        path: a .parquet or .pq file, a .npy file of (rows,) or (rows, columns), whose columns are named "0", "1",
            ..., or else a CSV file (UTF-8, a header, commas).
        columns: of x; default all.
        targets: columns of d. Default those of x.
        ahead: how many rows after that of x the row of d stands; 0 for the same row; several for a column of d
            each, target by target. Default 1: forecast.
        batch: B. Default 1.
        window: steps of a chunk; make it the k1 of `bptt.truncated`. Default 20.
        dtype: of x and d. Default torch.float32.
        lags: how many rows, the present one and those just before it, are x of a step. Default 1.

    Returns:
        a `Stream` of pairs x (window, B, lags·columns), the present row first, and d (window, B, targets), or
        (window, B, targets·len(ahead)); the last pair of a pass may be shorter. Its `state_dict` and
        `load_state_dict` save and restore the position.

    Raises:
        UserError: no such file, column or enough rows; while reading, a number that is not finite, with its row
            and column.
    """
    check_sizes(batch=batch, window=window, lags=lags)
    aheads = [ahead] if isinstance(ahead, int) else list(ahead)
    if not aheads or any(isinstance(one, bool) or not isinstance(one, int) or one < 0 for one in aheads):
        raise ValueError(f"ahead must be an int of at least 0, or several, got {ahead!r}")
    path = Path(path)
    source = open_source(path)
    x = checked_columns(columns, source, path) if columns is not None else list(source.columns)
    d = checked_columns(targets, source, path) if targets is not None else x
    return Stream(source, path.name, x, d, aheads, batch, window, dtype, lags)


def open_source(path: Path) -> Source:
    """A table on disk, of which no more than its index is read yet.

    Raises:
        UserError: there is no such file, or it is none that can be read.
    """
    check_file(path, "a CSV, Parquet or .npy file")
    kinds = {**dict.fromkeys(PARQUET, _Parquet), ".npy": _Npy}
    return kinds.get(path.suffix.lower(), _Csv)(path)


def is_streamed(config: TrainConfig) -> bool:
    """Whether a table is too large to be read as a whole.

    Raises:
        UserError: it is, and its errors are to go back to the first row; or --memory makes no sense.
    """
    if config.data is None or not config.data.is_file():
        return False
    half = machine_memory() // 2
    allowed = half
    if config.reach == "truncated" and config.memory is not None:
        allowed = bytes_in(config.memory)
    takes = config.data.stat().st_size * FOOTPRINT.get(config.data.suffix.lower(), 1)
    if takes <= allowed:
        return False
    if config.reach != "truncated":
        raise UserError(
            f"{config.data} would take about {shown(takes)} of memory, more than {shown(half)}, half of this "
            f"machine's; --reach {config.reach} needs all of it: pass --reach truncated, which reads it piece by "
            "piece"
        )
    return True


def machine_memory() -> int:
    """The machine's memory in bytes; 8 GiB where it cannot be asked."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 8 * 2**30


def checked_columns(wanted: str | Sequence[str], source: Source, path: Path) -> list[str]:
    """The columns asked for, all of them there."""
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    check_columns(names, source.columns, path.name)
    if not names:
        raise ValueError("columns are empty; name at least one")
    return names


def read_finite(source: Source, name: str, first: int, rows: int, columns: list[str]) -> np.ndarray:
    """Rows of some columns, all of them there and finite.

    Raises:
        UserError: a row is missing, or a number is not finite.
    """
    piece = source.read(first, rows, columns)
    if len(piece) != rows:
        raise UserError(
            f"{name} ends after row {first + len(piece)}, but had {source.rows} rows when it was opened; open it "
            "again"
        )
    absent = np.isnan(piece)
    if absent.any():
        row, column = np.argwhere(absent)[0]
        raise UserError(
            f"{name}: row {first + row + 1}, column {columns[column]!r}: the value is missing, which is not "
            "repaired in a table read piece by piece; fill or drop such rows first"
        )
    return piece


def _as_rows(frame: pl.DataFrame, name: str, first: int) -> np.ndarray:
    """A part of a table that begins with row `first`, as `Source.read` has it."""
    return np.column_stack(list(as_floats(frame, name, first).values()))


class _Npy:
    """A .npy file, mapped anew for each read, so that what was read does not stay in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows, columns = read_npy(path).shape
        self.columns = [str(number) for number in range(columns)]

    def read(self, first: int, rows: int, columns: list[str]) -> np.ndarray:
        piece = read_npy(self.path)[first : first + rows, [int(name) for name in columns]].astype(np.float64)
        return _as_rows(pl.DataFrame(piece, schema=columns, orient="row"), self.path.name, first)


class _Parquet:
    """A Parquet file, of which polars reads the row groups it needs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading_parquet(path):
            self.frame = pl.scan_parquet(path.absolute(), glob=False)
            self.columns = list(self.frame.collect_schema())
            self.rows = int(self.frame.select(pl.len()).collect().item())

    def read(self, first: int, rows: int, columns: list[str]) -> np.ndarray:
        with reading_parquet(self.path):
            piece = self.frame.select(cs.by_name(*columns)).slice(first, rows).collect()
        return _as_rows(piece, self.path.name, first)


class _Csv:
    """A CSV file and where every so many of its rows begin."""

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

    def read(self, first: int, rows: int, columns: list[str]) -> np.ndarray:
        if first >= self.rows:
            return np.empty((0, len(columns)))
        with self.path.open("rb") as file:
            line, place = self.marks[first // MARK]
            file.seek(place)
            there = check_fields(iter(CsvRows(file, self.path, line, place)), self.columns, self.path.name)
            taken: Iterator[CsvRow] = itertools.islice(there, first % MARK, first % MARK + rows)
            frame = frame_of(taken, self.columns, columns)
        return _as_rows(frame, self.path.name, first)
