"""Labels of rows in time: how they are written, and how they go on beyond the last."""

from __future__ import annotations

from datetime import datetime
from typing import Any


def label(moment: Any) -> str:
    """A row's label as text; a date at midnight as the day."""
    if isinstance(moment, datetime):
        return moment.date().isoformat() if moment.time() == datetime.min.time() else moment.isoformat()
    return str(moment)


def continued(times: list[Any], count: int) -> list[Any]:
    """The labels after the last, as far apart as the last two: by months where these are on the same day of it."""
    if len(times) < 2:
        return [f"{label(times[-1])} + {i}" for i in range(1, count + 1)]
    before, last = times[-2:]
    if isinstance(last, datetime) and last.day == before.day <= 28 and last.time() == before.time():
        months = 12 * (last.year - before.year) + last.month - before.month
        if months:
            return [_months_later(last, i * months) for i in range(1, count + 1)]
    return [last + i * (last - before) for i in range(1, count + 1)]


def _months_later(moment: datetime, months: int) -> datetime:
    years, month = divmod(moment.month - 1 + months, 12)
    return moment.replace(year=moment.year + years, month=month + 1)
