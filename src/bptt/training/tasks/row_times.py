"""The times of a table's rows and of the rows to come."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...errors import UserError
from ..data.spacing import Spacing
from ..data.tables import Rows
from ..data.timestamps import Timestamps


def times_of(table: Rows, spacing: Spacing | None, rows: np.ndarray) -> list[str]:
    """The times of rows that follow each other; those beyond the end are dated by the spacing."""
    if not len(rows):
        return []
    first, stop, end = int(rows[0]), int(rows[-1]) + 1, len(table)
    known = table.timestamps_at(first, min(stop, end) - first).texts if first < end else []
    if stop <= end:
        return known
    last = table.timestamps_at(end - 1, 1)
    return [*known, *(_later(last, spacing, row - end + 1) for row in range(max(first, end), stop))]


def _later(last: Timestamps, spacing: Spacing | None, steps: int) -> str:
    """The time so many rows after the last one."""
    if spacing is None:
        return f"{last.texts[-1]} + {steps}"
    return last.write(spacing.after(last.moments[-1], steps))


def check_rows_to_come(table: Rows, spacings: Iterable[Spacing | None], steps: int) -> None:
    """Refuse a table of which so many rows to come, by one of these spacings, lie after the year 9999."""
    last = table.timestamps_at(len(table) - 1, 1)
    for spacing in spacings:
        try:
            if spacing is not None:
                spacing.after(last.moments[-1], steps)
        except (OverflowError, ValueError) as error:
            raise UserError(
                f"{table.name}: rows to come would be dated after the year 9999, where dates end; the last row "
                f"is of {last.texts[-1]}"
            ) from error
