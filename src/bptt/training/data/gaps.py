"""Missing values filled: between their neighbours, or by the last value before them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

NEAR = 256  # rows that are first looked through for the nearest value

Read = Callable[[int, int], np.ndarray]  # (first, rows) -> (rows, columns)


def interpolated(values: np.ndarray) -> np.ndarray:
    """Values (N,) with NaN interpolated linearly between neighbours, at the ends by the nearest value."""
    absent, rows = np.isnan(values), np.arange(len(values))
    return np.where(absent, np.interp(rows, rows[~absent], values[~absent]), values)


def interpolated_piece(values: np.ndarray, first: int, stop: int, read: Read, most: int) -> np.ndarray:
    """Rows of a table (N, C) from `first` on, as `interpolated` fills each column of the rows before `stop`.

    Args:
        read: the table's rows, with their gaps.
        most: how many it reads at a time.
    """
    last = min(stop - first, len(values)) - 1
    if last < 0 or not np.isnan(values[: last + 1]).any():
        return values
    ends = _at(values[0], first), _at(values[last], first + last)
    before = _nearest(ends[0], read, _back(first, most), place=-1)
    after = _nearest(ends[1], read, _on(first + last + 1, stop, most), place=0)
    filled = values.copy()
    for column, found in enumerate(filled[: last + 1].T):
        rows = np.array([before.rows[column], *range(first, first + last + 1), after.rows[column]])
        known = np.array([before.values[column], *found, after.values[column]])
        there = ~np.isnan(known)
        found[:] = np.where(there[1:-1], found, np.interp(rows[1:-1], rows[there], known[there]))
    return filled


def carried_on(values: np.ndarray) -> np.ndarray:
    """Values (N) with each gap filled by the last one before it, a gap at the start by the first one there is."""
    there = ~np.isnan(values)
    if there.all():
        return values
    last = np.maximum.accumulate(np.where(there, np.arange(len(values)), there.argmax()))
    return values[last]


def last_values(read: Read, columns: int, row: int, most: int) -> np.ndarray:
    """Each column's last value before a row, (C); NaN where there is none.

    Args:
        read: the table's rows.
        columns: C.
        most: how many rows it reads at a time.
    """
    return _nearest(_at(np.full(columns, np.nan), row), read, _back(row, most), place=-1).values


def first_values(read: Read, columns: int, rows: int, most: int) -> np.ndarray:
    """Each column's first value in so many rows, (C); NaN where there is none.

    Args:
        read, columns, most: as `last_values` has them.
    """
    return _nearest(_at(np.full(columns, np.nan), 0), read, _on(0, rows, most), place=0).values


class _Nearest(NamedTuple):
    """Of each column the value that lies nearest to some row, NaN where there is none, and its row, (C) each."""

    rows: np.ndarray
    values: np.ndarray


def _at(values: np.ndarray, row: int) -> _Nearest:
    return _Nearest(np.full(len(values), row), values.copy())


def _nearest(found: _Nearest, read: Read, blocks: Iterator[tuple[int, int]], place: int) -> _Nearest:
    """The columns without a value filled by the first (place 0) or last (-1) one of the first block with one."""
    for first, stop in blocks:
        if not np.isnan(found.values).any():
            break
        rows = read(first, stop - first)
        for column in np.flatnonzero(np.isnan(found.values)):
            there = np.flatnonzero(~np.isnan(rows[:, column]))
            if len(there):
                found.rows[column] = first + there[place]
                found.values[column] = rows[there[place], column]
    return found


def _back(row: int, most: int) -> Iterator[tuple[int, int]]:
    """Blocks of rows before a row, the nearest and shortest first."""
    size = min(NEAR, most)
    while row > 0:
        yield max(0, row - size), row
        row, size = max(0, row - size), min(2 * size, most)


def _on(row: int, stop: int, most: int) -> Iterator[tuple[int, int]]:
    """Blocks of rows from a row on, the nearest and shortest first."""
    size = min(NEAR, most)
    while row < stop:
        yield row, min(row + size, stop)
        row, size = row + size, min(2 * size, most)
