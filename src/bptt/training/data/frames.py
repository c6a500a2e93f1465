"""Tables that are in memory already: polars and pandas DataFrames, dicts of columns, and numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from ...errors import UserError
from .columns import listed
from .csv_files import checked_header
from .npy_files import NATIVE, native
from .tables import read_frame

IN_MEMORY = "the table in memory"  # its name, where a file has its own


class NamedFrame(NamedTuple):
    """A table's cells, and the name of their source for messages."""

    frame: pl.DataFrame
    name: str


def is_in_memory(data: Any) -> bool:
    """Whether something is a table, and not the path of one."""
    return isinstance(data, pl.DataFrame | pl.LazyFrame | np.ndarray | Mapping) or _is_pandas(data)


def named_frame(data: Any, columns: Sequence[str] | None = None) -> NamedFrame:
    """The cells of a file or of a table in memory.

    Args:
        data: the path of a CSV, Parquet or .npy file; or a polars or pandas DataFrame, a dict of columns, or an
            array (rows,) or (rows, columns). The named levels of a pandas index are columns.
        columns: the names of an array's columns. Default "0", "1", and so on, as of a .npy file.

    Raises:
        UserError: it cannot be read.
    """
    if isinstance(data, Path):
        return NamedFrame(read_frame(data), data.name)
    if isinstance(data, np.ndarray):
        frame = _of_array(data, columns)
    elif isinstance(data, pl.DataFrame | pl.LazyFrame):
        try:
            frame = data.lazy().collect()
        except pl.exceptions.PolarsError as error:
            raise UserError(f"{IN_MEMORY} cannot be computed: {str(error).splitlines()[0]}") from error
    elif isinstance(data, Mapping):
        frame = _of_columns(data)
    else:
        frame = _of_pandas(data)
    if len(frame) == 0:
        raise UserError(f"{IN_MEMORY} has no rows")
    return NamedFrame(frame, IN_MEMORY)


def digest_of_column(column: pl.Series) -> str:
    """The SHA-256 of a column's name and cells, as CSV has them."""
    no_csv = column.dtype.is_nested() or column.dtype in (pl.Object, pl.Binary, pl.Duration)
    text = repr(column.to_list()) if no_csv else column.to_frame().write_csv()
    return sha256(text.encode()).hexdigest()


def _of_array(array: np.ndarray, columns: Sequence[str] | None) -> pl.DataFrame:
    if array.ndim not in (1, 2) or array.dtype.kind not in NATIVE:
        raise UserError(
            f"{IN_MEMORY} is an array {array.dtype} {array.shape}; numbers (rows,) or (rows, columns) are needed"
        )
    rows = array if array.ndim == 2 else array[:, None]
    names = [str(place) for place in range(rows.shape[1])] if columns is None else list(columns)
    if len(names) != rows.shape[1]:
        raise UserError(
            f"{IN_MEMORY} has {rows.shape[1]} columns, but these are needed, in order: {listed(names)}"
        )
    return pl.DataFrame(native(rows), schema=names, orient="row")


def _of_columns(columns: Mapping[Any, Any]) -> pl.DataFrame:
    """Columns by name; each an array, a Series or a list."""
    series = [_series(str(name), values) for name, values in columns.items()]
    if len(lengths := {len(one) for one in series}) > 1:
        told = ", ".join(f"{one.name!r} {len(one)}" for one in series[:20])
        raise UserError(f"{IN_MEMORY} has columns of {len(lengths)} lengths: {told} rows; all need as many")
    return pl.DataFrame(series)


def _series(name: str, values: Any) -> pl.Series:
    if isinstance(values, np.ndarray) and values.dtype.kind in NATIVE:
        values = native(values)
    try:
        found = _of_pandas_column(values) if _is_pandas(values) else pl.Series(values)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{IN_MEMORY}: column {name!r} cannot be read: {why}") from error
    return found.alias(name)


def _is_pandas(data: Any) -> bool:
    return type(data).__module__.split(".")[0] == "pandas"


def _of_pandas(frame: Any) -> pl.DataFrame:
    levels = [name for name in frame.index.names if name is not None and name not in frame.columns]
    frame = frame.reset_index(levels) if levels else frame
    names = checked_header([str(name) for name in frame.columns], IN_MEMORY)
    return _of_columns({name: frame.iloc[:, place] for place, name in enumerate(names)})


def _of_pandas_column(column: Any) -> pl.Series:
    """A column's numbers, dates or words; what is missing is null. Local times keep their time zone."""
    zone = getattr(column.dtype, "tz", None)
    if zone is not None:
        utc = pl.Series(column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
        return utc.dt.replace_time_zone("UTC").dt.convert_time_zone(str(zone))
    values = column.to_numpy()
    if values.dtype.kind in (*NATIVE, "M", "m"):
        return pl.Series(values)
    missing = column.isna().tolist()
    return pl.Series([None if absent else cell for absent, cell in zip(missing, column.tolist(), strict=True)])
