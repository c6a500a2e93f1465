"""Labelled sequences: what a classification learns from, and a table in long format as such."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ...errors import UserError
from ..config import Missing
from .cells import number_of
from .tables import check_columns, check_once, columns_of, listed, names_in, read_frame, repaired
from .time_column import read_timestamps

SURE = 20  # rows, in fewer of which a column may count or rise by chance


@dataclass(frozen=True)
class Labelled:
    """Sequences of several lengths, with a label each.

    Attributes:
        name: where they came from.
        columns: what is read at each step.
        names: what each sequence is called.
        sequences: each (T, columns), float64, finite, T at least 1.
        labels: of each sequence; None where it is not known.
        classes: the labels there are, in the order of the outputs.
    """

    name: str
    columns: list[str]
    names: list[str]
    sequences: list[np.ndarray]
    labels: list[str | None]
    classes: list[str]


def read_long(
    path: Path,
    series: str,
    label: str | None,
    inputs: tuple[str, ...] = (),
    time: str | None = None,
    missing: Missing = "error",
) -> Labelled:
    """A table in long format: one row a step, with a column that says which sequence it belongs to.

    Args:
        path: a CSV, Parquet or .npy file.
        series: the column of the sequences' names.
        label: the column of their classes, the same in all rows of one; None where there is none.
        inputs: the columns that are read; none for all that are left but those without a name, as an index has
            none, and those that number the rows, which are left out with a warning.
        time: a column that must increase within each sequence; None takes the rows as they stand.
        missing: what to do with missing values: "error", or "interpolate" within their sequence.

    Raises:
        UserError: the file cannot be read, or a column or cell is not what it must be.
    """
    frame, name = read_frame(path), path.name
    named = [column for column in (series, label, time) if column is not None]
    check_columns([*named, *inputs], frame.columns, name)
    columns = list(inputs) or [column for column in frame.columns if column not in named and column.strip()]
    if not columns:
        raise UserError(f"{name} has no column left to be input beside {listed(named)}")
    check_once([*named, *columns])
    if len(frame) == 0:
        raise UserError(f"{name} holds a header and no rows")
    frame = frame.with_columns(names_in(frame[column], name) for column in (series, label) if column is not None)
    values = columns_of(frame, columns, name, "mask" if missing == "interpolate" else missing)
    if not inputs:
        if any(not column.strip() for column in frame.columns):
            warnings.warn(f"{name}: the column without a name is no input; name it to have it read", stacklevel=2)
        values = {column: values[column] for column in _inputs(values, name)}
    if not values:
        raise UserError(f"{name} has no column left to be input beside {listed(named)}")
    whole, names, sequences, labels = np.column_stack(list(values.values())), [], [], []
    places = _rows_of(frame[series])
    stamps = None if time is None else read_timestamps(frame[time], name, parts=places.values())
    for own, rows in places.items():
        part, where = frame[named][rows], f"{name}, series {own!r}"
        if time is not None and stamps is not None:
            stamps.take(rows).check_increasing(where, time)
        if label is not None and part[label].n_unique() > 1:
            raise UserError(
                f"{where} has several labels: {listed(part[label].unique(maintain_order=True).to_list())}"
            )
        names.append(own)
        labels.append(None if label is None else part[label][0])
        sequences.append(_repaired(whole[rows], list(values), where, missing))
    classes = sorted({found for found in labels if found is not None}, key=_in_order)
    return Labelled(name, list(values), names, sequences, labels, classes)


def _rows_of(series: pl.Series) -> dict[str, list[int]]:
    """The rows of each series, by its name."""
    found: dict[str, list[int]] = {}
    for row, name in enumerate(series):
        found.setdefault(name, []).append(row)
    return found


def _repaired(values: np.ndarray, columns: list[str], where: str, missing: Missing) -> np.ndarray:
    """A sequence (T, C) whose missing values are filled where that is asked for."""
    for place in np.flatnonzero(np.isnan(values).any(0)):
        values[:, place] = repaired(values[:, place], columns[place], where, missing)
    return values


def _inputs(values: dict[str, np.ndarray], name: str) -> list[str]:
    """The columns that are input when none are named: all but those that number the rows of the whole table.

    In a table that stands class by class a row's number gives the class away.
    """
    number = [column for column, cells in values.items() if _counts(cells)]
    if number:
        warnings.warn(f"{name}: {listed(number)} numbers the rows and is no input; --input reads it", stacklevel=3)
    rising = [column for column, cells in values.items() if column not in number and _rises(cells)]
    if rising:
        warnings.warn(
            f"{name}: {listed(rising)} rises from the first row of the table to the last, as a time does; as an "
            "input it may give the classes away; name it by --time, or name the inputs by --input",
            stacklevel=3,
        )
    return [column for column in values if column not in number]


def _counts(cells: np.ndarray) -> bool:
    """Whether they are the numbers of the rows, from 0 or from 1, in whatever order."""
    in_order = np.sort(cells)
    return len(cells) >= SURE and in_order[0] in (0, 1) and bool((np.diff(in_order) == 1).all())


def _rises(cells: np.ndarray) -> bool:
    return len(cells) >= SURE and bool((np.diff(cells) > 0).all())


def _in_order(label: str) -> tuple[bool, float, str]:
    """Numbers by their value, then words."""
    value = number_of(label)
    return (True, 0.0, label) if value is None else (False, value, label)
