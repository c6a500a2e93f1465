"""Tables from CSV, Parquet and .npy files, every cell checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from ...errors import NothingThere, UserError, warn
from ...printable import shortened
from ..options.forecast import ForecastOptions
from ..options.shared import Missing
from .columns import check_roles, check_series, listed
from .csv_files import read_csv
from .find_spacing import spacing_of
from .gaps import interpolated
from .npy_files import native, read_npy
from .scaling import Moments
from .spacing import Spacing
from .table_cells import as_numbers, is_number_like, text_in
from .text_files import check_file
from .time_column import read_timestamps
from .timestamps import Clock, Timestamps

SUNSPOTS = "the embedded yearly sunspot numbers"
PARQUET = (".parquet", ".pq")
NAMES = (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Date, pl.Datetime)  # types of columns that name series


class Rows(Protocol):
    """Numeric columns over time, in memory or on disk, that can be read from any row."""

    @property
    def name(self) -> str: ...  # of the source, for messages and file names
    @property
    def columns(self) -> list[str]: ...  # their names, the targets first
    @property
    def piece(self) -> int: ...  # how many rows are read at a time
    @property
    def warm_up(self) -> int: ...  # steps that a model is walked before those that count

    def __len__(self) -> int: ...
    def read(self, first: int, rows: int) -> np.ndarray: ...  # (rows, columns), NaN where a value is missing
    def moments(self, first: int, stop: int, places: slice = slice(None)) -> Moments: ...  # of rows first to stop
    def timestamps_at(self, first: int, rows: int) -> Timestamps: ...
    def interpolated(self, stop: int) -> Rows: ...  # with gaps in the rows before `stop` filled from these alone
    def spacing(self) -> Spacing | None: ...  # the rule that leads from one row's time to the next's
    @property
    def clock(self) -> Clock: ...


@dataclass(frozen=True)
class Table:
    """Numeric columns over time."""

    name: str  # of its source, for messages and file names
    times: list[Any]  # a label for each row: a number, a date, or the row's number from 1
    columns: list[str]  # their names, the targets first
    values: np.ndarray  # (N, columns), float64, finite, or NaN where a missing value is masked
    targets: int = 1  # how many of the columns are targets
    written: Timestamps | None = None  # the times as they were written; None where that is as they print
    walked: int | None = None  # how many rows are walked at a time; None for all

    @property
    def piece(self) -> int:
        return self.walked or max(1, len(self.values))

    @property
    def warm_up(self) -> int:
        return len(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def read(self, first: int, rows: int) -> np.ndarray:
        return self.values[first : first + rows]

    def moments(self, first: int, stop: int, places: slice = slice(None)) -> Moments:
        return Moments.of(self.values[first:stop, places])

    def timestamps_at(self, first: int, rows: int) -> Timestamps:
        return self.timestamps.take(range(first, first + rows))

    def interpolated(self, stop: int) -> Table:
        known = np.apply_along_axis(interpolated, 0, self.values[:stop])
        return replace(self, values=np.concatenate([known, self.values[stop:]]))

    def spacing(self) -> Spacing | None:
        return spacing_of(self.times)

    @property
    def clock(self) -> Clock:
        return self.timestamps.clock

    @cached_property
    def timestamps(self) -> Timestamps:
        """The times and how they are written."""
        return self.written or Timestamps.of(self.times)


@dataclass(frozen=True)
class Selection:
    """The columns of a table that are read, and how."""

    targets: tuple[str, ...]  # to forecast
    inputs: tuple[str, ...] = ()  # further columns that are known at each step
    time: str | None = None  # labels the rows; None numbers them from 1
    # refuse missing values ("error"), interpolate linearly between neighbours, or "mask": leave NaN
    missing: Missing = "error"
    series: str | None = None  # says which of several series a row belongs to; None where there is but one
    clock: Clock | None = None  # of the training rows' dates, where these are further ones

    @property
    def columns(self) -> list[str]:
        """The targets, then the inputs."""
        return [*self.targets, *self.inputs]


def sunspots() -> Table:
    """The embedded yearly sunspot numbers, 1700-2008 (309 rows, public domain)."""
    with resources.as_file(resources.files("bptt").joinpath("data", "sunspots.csv")) as path:
        return select(read_csv(path), SUNSPOTS, Selection(("sunspots",), time="year"))


def read_frame(path: Path) -> pl.DataFrame:
    """A CSV's cells as text, a Parquet or .npy file's as they are typed; an array's columns are "0", "1", ..."""
    check_file(path, "a CSV, Parquet or .npy file")
    if path.suffix.lower() == ".npy":
        array = native(read_npy(path))
        return pl.DataFrame(array, schema=[str(number) for number in range(array.shape[1])], orient="row")
    if path.suffix.lower() in PARQUET:
        with reading_parquet(path):
            frame = pl.read_parquet(path.absolute(), glob=False)  # a name, never a pattern or an address
    else:
        frame = read_csv(path)
    if len(frame) == 0 and frame.columns:
        raise UserError(f"{path.name} holds a header and no rows")
    return frame


@contextmanager
def reading_parquet(path: Path) -> Iterator[None]:
    """Turn errors of polars into a UserError that names the file."""
    try:
        yield
    except (pl.exceptions.PanicException, pl.exceptions.PolarsError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} could not be read as Parquet: {reason}") from error


def lagged(rows: np.ndarray, lags: int | Sequence[int]) -> np.ndarray:
    """Each row (..., C) beside rows before it, from the first row on that has all of them.

    Args:
        rows: (N, ..., C).
        lags: how many rows before each are read, in rising order, 0 for the row itself; a number n stands for 0 to
            n - 1.

    Returns:
        (N - last lag, ..., lags·C).
    """
    lags = range(lags) if isinstance(lags, int) else lags
    steps = len(rows) - lags[-1]
    return np.concatenate([rows[lags[-1] - lag : lags[-1] - lag + steps] for lag in lags], axis=-1)


def select(frame: pl.DataFrame, name: str, selection: Selection, timestamps: Timestamps | None = None) -> Table:
    """Some of a table's columns, as finite numbers; `timestamps` are the rows' labels if they are read already."""
    columns, time = selection.columns, selection.time
    check_roles(columns, time, frame.columns, name)
    values = repaired(as_floats(frame[columns], name), columns, name, selection.missing)
    if time is None:
        return Table(name, list(range(1, len(frame) + 1)), columns, values, len(selection.targets))
    timestamps = timestamps or read_timestamps(frame[time], name, selection.clock)
    timestamps.check_increasing(name, time)
    return Table(name, timestamps.moments, columns, values, len(selection.targets), timestamps)


def select_series(frame: pl.DataFrame, name: str, selection: Selection) -> dict[str, Table]:
    """A table for each series by its name, "" where there is but one; the rows of several may be mixed.

    A series without a value in one of the columns is left out, with a warning.
    """
    series, time = selection.series, selection.time
    if series is None:
        return {"": select(frame, name, selection)}
    check_series(series, selection.columns, time, frame.columns, name)
    found, rows_of = {}, rows_by(names_in(frame[series], name))
    whole = None if time is None else read_timestamps(frame[time], name, selection.clock, rows_of.values())
    for own, rows in rows_of.items():
        with leaving_out(f"series {own!r} is left out"):
            found[own] = select(frame[rows], f"{name}, series {own!r}", selection, whole and whole.take(rows))
    if not found:
        raise UserError(f"{name} has no series with values in every column asked for")
    return found


@contextmanager
def leaving_out(what: str) -> Iterator[None]:
    """Pass over a series with too few values, with a warning."""
    try:
        yield
    except NothingThere as error:
        warn(f"{what}: {error}")


def names_in(column: pl.Series, name: str, first: int = 0) -> pl.Series:
    """A column of names or labels as text; a UserError where one is missing; `first` rows stand before these."""
    if column.dtype.base_type() not in NAMES and not column.dtype.is_numeric():
        raise UserError(f"{name}: column {column.name!r} is {column.dtype}, but names or labels are needed")
    if column.dtype.is_float():
        column = column.fill_nan(None)
    found = column.cast(pl.String).str.strip_chars()
    absent = (found.is_null() | (found == "")).fill_null(True).to_numpy()
    if absent.any():
        among = f"{len(found)} values" + (f" from row {first + 1} on" if first else "")
        raise UserError(
            f"{name}: column {column.name!r} has {int(absent.sum())} missing of {among}, the first in "
            f"row {first + int(absent.argmax()) + 1}; each row needs one"
        )
    return found


def rows_by(names: pl.Series) -> dict[str, list[int]]:
    """The rows in which each name stands, in order."""
    found: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        found.setdefault(name, []).append(row)
    return found


def as_floats(frame: pl.DataFrame, name: str, first: int = 0) -> np.ndarray:
    """A table, or its rows from `first` on, as float64 (rows, columns), NaN where a value is missing.

    A UserError names the first other cell, or all columns that hold text.
    """
    columns = frame.get_columns()
    for column in columns:
        if not is_number_like(column):
            hint = "; dates can only label the rows: --time COLUMN" if column.dtype.is_temporal() else ""
            raise UserError(f"{name}: column {column.name!r} is {column.dtype}, but numbers are needed{hint}")

    def numbers(column: pl.Series) -> np.ndarray:
        return as_numbers(column, lambda row: f"{name}: row {first + row + 1}, column {column.name!r}")

    try:
        return np.column_stack(list(map(numbers, columns)))
    except UserError:
        _refuse_text(columns, name)
        raise


def _refuse_text(columns: list[pl.Series], name: str) -> None:
    """Refuse all columns that hold text and no numbers in one error."""
    texts = {column.name: text for column in columns if (text := text_in(column)) is not None}
    if texts:
        first, text = next(iter(texts.items()))
        hold = f"columns {listed(list(texts))} hold" if len(texts) > 1 else f"column {first!r} holds"
        raise UserError(
            f"{name}: {hold} text, for example {shortened(text)!r}, but numbers are needed; leave such "
            "columns out, or write numbers for their words"
        )


def repaired(values: np.ndarray, columns: Sequence[str], name: str, missing: Missing) -> np.ndarray:
    """Rows of columns (N, C) with the missing values refused, interpolated, or left as NaN."""
    for absent, column in zip(np.isnan(values).T, columns, strict=True):
        if absent.all():
            raise NothingThere(f"{name}: column {column!r} has no values at all")
        if absent.any() and missing == "error":
            raise UserError(
                f"{name}: column {column!r} has {int(absent.sum())} missing of {len(values)} values, the first in "
                f"row {int(absent.argmax()) + 1}; fill them, or pass --missing interpolate"
            )
    return np.apply_along_axis(interpolated, 0, values) if missing == "interpolate" else values


def gaps_kept(missing: Missing) -> Missing:
    """How to read a table that is interpolated later: masked."""
    return "mask" if missing == "interpolate" else missing


def selection_of(config: ForecastOptions) -> Selection:
    """The columns that a run trains on; missing values are interpolated later, after the split."""
    return Selection(config.targets, config.inputs, config.time, gaps_kept(config.missing), config.series)
