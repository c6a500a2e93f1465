"""The names of a table's columns: checks of those that are asked for, and lists of them in messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from ...errors import UserError
from ...printable import shortened
from .table_cells import number_of


def check_columns(wanted: Iterable[str | None], there: Sequence[str], name: str) -> None:
    """Refuse a column that a table has not, by naming those it has and the nearest."""
    if not there:
        raise UserError(f"{name} has no columns")
    known = set(there)
    for column in wanted:
        if column is None or column in known:
            continue
        near = difflib.get_close_matches(column, there[:1000], 1)
        hint = f"; is {shortened(near[0])!r} meant?" if near else ""
        if len(there) == 1 and column in there[0].split():
            hint = "; are its columns separated by spaces? separate them by commas"
        elif there[0] != "0" and all(number_of(other) is not None for other in there[:20]):  # as of a .npy file
            hint = "; is its header missing? it must come first"
        raise UserError(f"{name} has no column {column!r}; its columns are {listed(there)}{hint}")


def check_roles(columns: Sequence[str], time: str | None, there: Sequence[str], name: str) -> None:
    """Refuse columns that a table has not, or that are asked for twice."""
    check_columns([*columns, time], there, name)
    check_once(columns)
    if time in columns:
        raise UserError(f"column {time!r} labels the rows in time and cannot be a target or input as well")


def check_series(series: str, columns: Sequence[str], time: str | None, there: Sequence[str], name: str) -> None:
    """Refuse a column of names that a table has not, or that is asked for as another as well."""
    check_columns([series, time], there, name)
    if series in (*columns, time):
        raise UserError(
            f"column {series!r} says which series a row belongs to and cannot be anything else as well"
        )


def check_once(columns: Sequence[str]) -> None:
    """Refuse a column that is asked for twice."""
    seen: set[str] = set()
    for wanted in columns:
        if wanted in seen:
            raise UserError(f"column {wanted!r} was asked for twice; a target is an input already")
        seen.add(wanted)


def listed(names: Sequence[str]) -> str:
    """Names for a message; those beyond the twentieth are only counted."""
    shown = ", ".join(repr(shortened(name)) for name in names[:20])
    return shown + (f" and {len(names) - 20} more" if len(names) > 20 else "")
