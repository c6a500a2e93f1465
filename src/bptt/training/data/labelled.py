"""Labelled sequences, for classification, and those of a table in long format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from ...errors import UserError, warn
from ..options.shared import Missing
from .columns import check_columns, check_once, listed
from .table_cells import number_of
from .tables import as_floats, gaps_kept, names_in, repaired, rows_by
from .time_column import read_timestamps

SURE = 20  # in fewer rows a column may count or rise by chance


@dataclass(frozen=True)
class Labelled:
    """Sequences of several lengths, with a label each."""

    name: str  # of their source
    columns: list[str]  # the inputs of a step
    names: list[str]  # one for each sequence
    sequences: list[np.ndarray]  # each (T, columns), float64, finite, T at least 1
    labels: list[str | None]  # one for each sequence; None where it is not known
    classes: list[str]  # the different labels, in the order of the outputs


def read_long(
    frame: pl.DataFrame,
    name: str,
    series: str,
    label: str | None,
    inputs: tuple[str, ...] = (),
    time: str | None = None,
    missing: Missing = "error",
) -> Labelled:
    """A table in long format: one row a step, with a column that says which sequence it belongs to.

    Args:
        frame: its cells, as text or as they are typed.
        name: of its source, for messages.
        series: the column of the sequences' names.
        label: the column of their classes, the same in all rows of a sequence; None where there is none.
        inputs: the columns that are read; none for all others but those that number the rows or have no
            name, which are left out with a warning.
        time: a column that must increase within each sequence; None takes the rows as they stand.
        missing: refuse missing values ("error"), or "interpolate" them within their sequence.

    Raises:
        UserError: a column or cell in it cannot be used.
    """
    named = [column for column in (series, label, time) if column is not None]
    check_columns([*named, *inputs], frame.columns, name)
    columns = list(inputs) or [column for column in frame.columns if column not in named and column.strip()]
    if not columns:
        raise UserError(f"{name} has no column left to be input beside {listed(named)}")
    check_once([*named, *columns])
    frame = frame.with_columns(names_in(frame[column], name) for column in (series, label) if column is not None)
    values = repaired(as_floats(frame[columns], name), columns, name, gaps_kept(missing))
    if not inputs:
        if any(not column.strip() for column in frame.columns):
            warn(f"{name}: the column without a name is no input; name it to have it read")
        kept = _inputs(values, columns, name)
        values, columns = values[:, kept], [columns[place] for place in kept]
    if not columns:
        raise UserError(f"{name} has no column left to be input beside {listed(named)}")
    names, sequences, labels = [], [], []
    rows_of = rows_by(frame[series])
    timestamps = None if time is None else read_timestamps(frame[time], name, parts=rows_of.values())
    for own, rows in rows_of.items():
        part, where = frame[named][rows], f"{name}, series {own!r}"
        if time is not None and timestamps is not None:
            timestamps.take(rows).check_increasing(where, time)
        if label is not None and part[label].n_unique() > 1:
            raise UserError(
                f"{where} has several labels: {listed(part[label].unique(maintain_order=True).to_list())}"
            )
        names.append(own)
        labels.append(None if label is None else part[label][0])
        sequences.append(repaired(values[rows], columns, where, missing))
    classes = sorted({found for found in labels if found is not None}, key=_in_order)
    return Labelled(name, columns, names, sequences, labels, classes)


def _inputs(values: np.ndarray, columns: list[str], name: str) -> list[int]:
    """The places of the inputs where none are named: all but those that number the rows of the whole table.

    In a table ordered by class, the row number reveals the class.
    """
    number = [column for column, cells in zip(columns, values.T, strict=True) if _counts(cells)]
    if number:
        warn(f"{name}: {listed(number)} numbers the rows and is no input; name it as one to have it read")
    others = [place for place, column in enumerate(columns) if column not in number]
    rising = [columns[place] for place in others if (np.diff(values[:, place]) > 0).all()]
    if rising and len(values) >= SURE:
        warn(
            f"{name}: {listed(rising)} rises from the first row of the table to the last, as a time does; as an "
            "input it may give the classes away; name it as the time, or name the inputs"
        )
    return others


def _counts(cells: np.ndarray) -> bool:
    """Whether they are the row numbers, from 0 or from 1, in any order."""
    in_order = np.sort(cells)
    return len(cells) >= SURE and in_order[0] in (0, 1) and bool((np.diff(in_order) == 1).all())


def _in_order(label: str) -> tuple[bool, float, str]:
    """Numbers by their value, then words."""
    value = number_of(label)
    return (True, 0.0, label) if value is None else (False, value, label)
