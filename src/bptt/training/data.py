"""Tables from CSV and Parquet, checked cell by cell before anything is computed from them."""

from __future__ import annotations

import csv
import io
import itertools
from dataclasses import dataclass
from datetime import date, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from .config import Missing
from .errors import UserError

SUNSPOTS = "the embedded yearly sunspot numbers"


@dataclass(frozen=True)
class Table:
    """Numeric columns over time.

    Attributes:
        name: where it came from, for messages and file names.
        times: a label for each row: a number, a date, or the row's number from 1.
        columns: the columns' names, the targets first.
        values: (N, columns), float64, finite, or NaN where a missing value is masked.
        targets: how many of the columns are targets.
    """

    name: str
    times: list[Any]
    columns: list[str]
    values: np.ndarray
    targets: int = 1


def sunspots() -> Table:
    """The embedded yearly sunspot numbers, 1700-2008 (309 rows, public domain)."""
    file = resources.files("bptt").joinpath("data", "sunspots.csv")
    frame = _parse_csv(file.read_text(encoding="utf-8"), SUNSPOTS)
    return select(frame, SUNSPOTS, "sunspots", (), "year", "error")


def read_table(
    path: Path, target: str | tuple[str, ...], inputs: tuple[str, ...], time: str | None, missing: Missing
) -> Table:
    """Read the columns asked for from a CSV, Parquet or .npy file.

    Args:
        path: a file ending in .csv, .parquet, .pq or .npy.
        target: the column to forecast, or several.
        inputs: further columns that are known at each step.
        time: the column that labels the rows; None numbers them from 1.
        missing: what to do with missing values: "error", "interpolate" linearly between neighbours, or "mask",
            which leaves NaN.

    Raises:
        UserError: the file cannot be read, or a cell in these columns is not a finite number.
    """
    return select(read_frame(path), path.name, target, inputs, time, missing)


def read_frame(path: Path) -> pl.DataFrame:
    """A CSV's cells as text; a Parquet or .npy file's as they are typed, the latter in columns "0", "1", ..."""
    if not path.exists():
        raise UserError(f"{path}: there is no such file")
    if not path.is_file():
        raise UserError(f"{path} is not a file; a CSV, Parquet or .npy file is needed")
    if path.suffix.lower() == ".npy":
        array = read_npy(path)
        return pl.DataFrame(np.array(array), schema=[str(number) for number in range(array.shape[1])])
    if path.suffix.lower() in (".parquet", ".pq"):
        try:
            return pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise UserError(f"{path} could not be read as Parquet: {first_line(error)}") from error
    return _parse_csv(text_of(path), str(path))


def read_npy(path: Path) -> np.ndarray:
    """A .npy file of numbers as a memory map (rows, columns)."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path} could not be read as .npy: {error}") from error
    if array.ndim not in (1, 2) or array.dtype.kind not in "fiub":
        raise UserError(f"{path} is {array.dtype} {array.shape}; numbers (rows,) or (rows, columns) are needed")
    return array if array.ndim == 2 else array[:, None]


def lagged(rows: np.ndarray, lags: int) -> np.ndarray:
    """Each row (..., C) beside the lags - 1 before it, the present one first: (N - lags + 1, ..., lags·C)."""
    steps = len(rows) - lags + 1
    return np.concatenate([rows[lags - 1 - lag : lags - 1 - lag + steps] for lag in range(lags)], axis=-1)


def select(
    frame: pl.DataFrame,
    name: str,
    target: str | tuple[str, ...],
    inputs: tuple[str, ...],
    time: str | None,
    missing: Missing,
) -> Table:
    """The columns asked for, as numbers."""
    targets = (target,) if isinstance(target, str) else target
    columns = [*targets, *inputs]
    for wanted in [*columns, *([time] if time else [])]:
        if wanted not in frame.columns:
            raise UserError(f"{name} has no column {wanted!r}; its columns are {listed(frame.columns)}")
    check_once(columns)
    if time in columns:
        raise UserError(f"column {time!r} labels the rows in time and cannot be a target or input as well")
    if len(frame) == 0:
        raise UserError(f"{name} holds a header and no rows")
    values = np.stack([numbers(frame[column], name, missing) for column in columns], axis=1)
    return Table(name, times_of(frame, time, name), columns, np.ascontiguousarray(values), len(targets))


def select_series(
    frame: pl.DataFrame,
    name: str,
    series: str,
    target: str | tuple[str, ...],
    inputs: tuple[str, ...],
    time: str | None,
    missing: Missing,
) -> dict[str, Table]:
    """The same of each of many series, by its name; their rows may stand between each other's."""
    if series not in frame.columns:
        raise UserError(f"{name} has no column {series!r}; its columns are {listed(frame.columns)}")
    if series in (*((target,) if isinstance(target, str) else target), *inputs, time):
        raise UserError(
            f"column {series!r} says which series a row belongs to and cannot be anything else as well"
        )
    if len(frame) == 0:
        raise UserError(f"{name} holds a header and no rows")
    found = {}
    for part in frame.with_columns(words(frame[series], name)).partition_by(series, maintain_order=True):
        own = part[series][0]
        found[own] = select(part, f"{name}, series {own!r}", target, inputs, time, missing)
    return found


def words(column: pl.Series, name: str) -> pl.Series:
    """Names or labels as text, none of them missing."""
    found = column.cast(pl.String).str.strip_chars()
    absent = (found.is_null() | (found == "")).to_numpy()
    if absent.any():
        raise UserError(
            f"{name}: column {column.name!r} has {int(absent.sum())} missing of {len(found)} values, the first in "
            f"row {int(absent.argmax()) + 1}; each row needs one"
        )
    return found


def check_once(columns: list[str]) -> None:
    """No column is asked for twice."""
    for place, wanted in enumerate(columns):
        if wanted in columns[:place]:
            raise UserError(f"column {wanted!r} was asked for twice; a target is an input already")


def bytes_of(path: Path) -> bytes:
    """A file's content."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror}") from error


def text_of(path: Path, otherwise: str = "") -> str:
    """A file's text, UTF-8 with or without a byte order mark; what else can be done with one that is not."""
    raw = bytes_of(path)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        guess = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1"
        raise UserError(
            f"{path} is not UTF-8: byte {raw[error.start]:#04x} at offset {error.start}; if it is {guess}, "
            f"convert it with: iconv -f {guess} -t utf-8 {path.name} > converted{path.suffix}{otherwise}"
        ) from error


def _parse_csv(text: str, name: str) -> pl.DataFrame:
    """Cells as text, every row as long as the header; blank lines are passed over."""
    if "\0" in text:
        raise UserError(f"{name} holds NUL characters: it is not a text file")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    rows: list[list[str]] = []
    try:
        for row in reader:
            if not row:
                continue
            if header is None:
                header = checked_header(row, name)
            elif len(row) != len(header):
                hint = "; is the comma a decimal comma? write 1.5" if len(row) > len(header) else ""
                raise UserError(
                    f"{name}, line {reader.line_num}: {len(row)} fields where the header has {len(header)}{hint}"
                )
            else:
                rows.append(row)
    except csv.Error as error:
        raise UserError(f"{name}, line {reader.line_num}: {error}") from error
    if header is None:
        raise UserError(f"{name} is empty; a header and rows are needed")
    return pl.DataFrame(rows, schema=dict.fromkeys(header, pl.String), orient="row")


def checked_header(row: list[str], name: str) -> list[str]:
    """The columns of a CSV's first row, each there once."""
    header = [cell.strip() for cell in row]
    for place, column in enumerate(header):
        if column in header[:place]:
            raise UserError(
                f"{name}: column {column!r} stands twice in the header, at positions "
                f"{header.index(column) + 1} and {place + 1}; rename one"
            )
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        mark = "semicolons" if ";" in header[0] else "tabs"
        raise UserError(f"{name} is separated by {mark}; separate its columns by commas")
    return header


MISSING_WORDS = ("", "na", "n/a", "nan", "null", "none", "-", "?")


def numbers(column: pl.Series, name: str, missing: Missing) -> np.ndarray:
    """The column as finite float64; missing values refused, interpolated, or left as NaN."""
    if column.dtype == pl.String:
        texts = column.str.strip_chars()
        absent = (texts.is_null() | texts.str.to_lowercase().is_in(MISSING_WORDS)).to_numpy()
        numbers = texts.cast(pl.Float64, strict=False)
        unreadable = numbers.is_null().to_numpy() & ~absent
        if unreadable.any():
            _refuse(column.name, int(unreadable.argmax()), texts[int(unreadable.argmax())], name)
        values = numbers.to_numpy().astype(np.float64)
        values[absent] = np.nan
    elif column.dtype.is_numeric() or column.dtype == pl.Boolean:
        values = column.cast(pl.Float64).to_numpy().astype(np.float64)
        absent = np.isnan(values)
    else:
        raise UserError(f"{name}: column {column.name!r} is {column.dtype}, but numbers are needed")
    infinite = np.isinf(values)
    if infinite.any():
        _refuse(column.name, int(infinite.argmax()), column[int(infinite.argmax())], name)
    return _repaired(values, absent, column.name, name, missing) if absent.any() else values


def _refuse(column: str, row: int, cell: Any, name: str) -> None:
    hint = ""
    text = str(cell)
    if text.replace(",", "", 1).replace("-", "", 1).isdigit() and "," in text:
        hint = "; write the decimal point as '.'"
    elif any(character.isdigit() for character in text) or "inf" in text.lower():
        hint = "; only finite numbers can be learned from"
    raise UserError(f"{name}: row {row + 1}, column {column!r}: {text!r} is not a finite number{hint}")


def _repaired(values: np.ndarray, absent: np.ndarray, column: str, name: str, missing: Missing) -> np.ndarray:
    if missing == "error":
        raise UserError(
            f"{name}: column {column!r} has {int(absent.sum())} missing of {len(values)} values, the first in "
            f"row {int(absent.argmax()) + 1}; fill them, or pass --missing interpolate"
        )
    if absent.all():
        raise UserError(f"{name}: column {column!r} has no values at all")
    if missing == "mask":
        return values
    rows = np.arange(len(values))
    return np.where(absent, np.interp(rows, rows[~absent], values[~absent]), values)


def times_of(frame: pl.DataFrame, time: str | None, name: str) -> list[Any]:
    """Labels of the rows: numbers or dates that increase, or row numbers."""
    if time is None:
        return list(range(1, len(frame) + 1))
    times = [moment_of(cell) for cell in frame[time].to_list()]
    for row, (before, after) in enumerate(itertools.pairwise(times), start=2):
        if type(before) is not type(after) or isinstance(before, str):
            bad = before if isinstance(before, str) else after
            raise UserError(f"{name}: column {time!r} is neither numbers nor ISO dates throughout: {bad!r}")
        if after <= before:
            what = "there twice" if after == before else "out of order"
            raise UserError(f"{name}: row {row}, column {time!r}: {after} is {what}; sort the rows by time")
    return times


def moment_of(cell: Any) -> Any:
    """A number, a datetime, or the text itself where it is neither."""
    if not isinstance(cell, str):
        return datetime(cell.year, cell.month, cell.day) if type(cell) is date else cell
    for read in (int, float, datetime.fromisoformat):
        try:
            return read(cell.strip())
        except ValueError:
            continue
    return cell


def listed(names: list[str]) -> str:
    """Names in words, those beyond the twentieth counted."""
    shown = ", ".join(repr(name) for name in names[:20])
    return shown + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def first_line(error: Exception) -> str:
    """What an error says first."""
    return (str(error).splitlines() or [type(error).__name__])[0]
