"""One long series from a file, read piece by piece and cut into parallel streams."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
import torch
from torch import Tensor

from ..checks import check_sizes
from .data import checked_header, first_line, lagged, read_npy
from .errors import UserError

PIECE = 2**18  # rows of all streams together that are read at a time
MARK = 2**16  # rows between two marks in a CSV's index


class Source(Protocol):
    """A table that can be read from any row."""

    rows: int
    columns: list[str]

    def read(self, first: int, rows: int, columns: list[str]) -> np.ndarray:
        """Rows of some columns, (rows, columns), as float64."""
        ...


class Stream:
    """What `stream` opens: an iterable of pairs (x, d), once through the series each time it is iterated.

    Attributes:
        steps: T, the steps of each of the B parallel streams.
        position: the step the next window begins with.
    """

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
        path: a .csv file (UTF-8, a header, commas), a .parquet or .pq file, or a .npy file of (rows,) or
            (rows, columns), whose columns are named "0", "1", ...
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
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    kinds = {".csv": _Csv, ".parquet": _Parquet, ".pq": _Parquet, ".npy": _Npy}
    if path.suffix.lower() not in kinds:
        raise UserError(f"{path} is none of {', '.join(kinds)}; convert it to one of them")
    return kinds[path.suffix.lower()](path)


def checked_columns(wanted: str | Sequence[str], source: Source, path: Path) -> list[str]:
    """The columns asked for, all of them there."""
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in names:
        if name not in source.columns:
            there = ", ".join(map(repr, source.columns))
            raise UserError(f"{path.name} has no column {name!r}; its columns are {there}")
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
    bad = ~np.isfinite(piece)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise UserError(
            f"{name}: row {first + row + 1}, column {columns[column]!r}: {piece[row, column]} is not a finite "
            "number; fill or drop such rows first"
        )
    return piece


class _Npy:
    """A .npy file, mapped anew for each read, so that what was read does not stay in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows, columns = read_npy(path).shape
        self.columns = [str(number) for number in range(columns)]

    def read(self, first: int, rows: int, columns: list[str]) -> np.ndarray:
        piece = read_npy(self.path)[first : first + rows]
        return piece[:, [int(name) for name in columns]].astype(np.float64)


class _Parquet:
    """A Parquet file, of which polars reads the row groups it needs."""

    def __init__(self, path: Path) -> None:
        self.path, self.frame = path, pl.scan_parquet(path)
        try:
            self.schema = self.frame.collect_schema()
            self.rows = int(self.frame.select(pl.len()).collect().item())
        except (pl.exceptions.PolarsError, OSError) as error:
            raise UserError(f"{path} could not be read as Parquet: {first_line(error)}") from error
        self.columns = list(self.schema)

    def read(self, first: int, rows: int, columns: list[str]) -> np.ndarray:
        for name in columns:
            if not (self.schema[name].is_numeric() or self.schema[name] == pl.Boolean):
                raise UserError(f"{self.path}: column {name!r} is {self.schema[name]}, but numbers are needed")
        piece = self.frame.select(pl.col(columns).cast(pl.Float64)).slice(first, rows).collect()
        return np.column_stack([piece[name].fill_null(float("nan")).to_numpy() for name in columns])


class _Csv:
    """A CSV file and where every so many of its rows begin. A row is a line; blank lines may end the file."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows, self.marks = path, 0, []
        with path.open("rb") as file:
            first = file.readline()
            try:
                header = next(csv.reader([first.decode("utf-8-sig")]), [])
            except UnicodeDecodeError as error:
                raise UserError(f"{path} is not UTF-8: {error}") from error
            if not header:
                raise UserError(f"{path} is empty; a header and rows are needed")
            self.columns = checked_header(header, path.name)
            place = len(first)
            for line in file:
                if not line.strip():
                    if file.read().strip():
                        raise UserError(f"{path.name}: row {self.rows + 1} is blank; remove it")
                    break
                if self.rows % MARK == 0:
                    self.marks.append(place)
                place, self.rows = place + len(line), self.rows + 1

    def read(self, first: int, rows: int, columns: list[str]) -> np.ndarray:
        with self.path.open("rb") as file:
            file.seek(self.marks[first // MARK])
            lines = itertools.islice(file, first % MARK, first % MARK + rows)
            text = b"".join(lines)
        if not text.strip():
            return np.empty((0, len(columns)))
        try:
            frame = pl.read_csv(io.BytesIO(text), has_header=False, new_columns=self.columns, infer_schema=False)
        except pl.exceptions.PolarsError as error:
            raise UserError(
                f"{self.path.name}: rows {first + 1} to {first + rows} could not be read: {first_line(error)}"
            ) from error
        if frame.width != len(self.columns):
            raise UserError(
                f"{self.path.name}: row {first + 1} has {frame.width} fields where the header has "
                f"{len(self.columns)}"
            )
        return np.column_stack([self._numbers(frame[name], first) for name in columns])

    def _numbers(self, texts: pl.Series, first: int) -> np.ndarray:
        numbers = texts.str.strip_chars().cast(pl.Float64, strict=False)
        if numbers.null_count():
            row = int(numbers.is_null().arg_max() or 0)
            raise UserError(
                f"{self.path.name}: row {first + row + 1}, column {texts.name!r}: {texts[row] or ''!r} is not a "
                "finite number; fill or drop such rows first"
            )
        return numbers.to_numpy()
