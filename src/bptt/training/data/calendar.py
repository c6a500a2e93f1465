"""Calendar features: a date's place in the day, the week and the year, as sine and cosine."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np

FEATURES = 4  # of a date for each period
DAY, WEEK, YEAR = timedelta(days=1), timedelta(days=7), timedelta(days=365.2425)
PERIODS = {"hour of day": DAY, "day of week": WEEK, "day of year": YEAR}


def periods_of(first: Any, last: Any, rows: int) -> list[str]:
    """The periods that give a forecast features: those longer than two steps that the rows hold at least twice.

    Args:
        first, last: the labels of the first and the last training row; numbers have no periods.
        rows: how many there are.
    """
    if not isinstance(first, datetime):
        return []
    step, whole = (last - first) / max(1, rows - 1), last - first
    return [period for period, length in PERIODS.items() if 2 * step < length and 2 * length <= whole]


def features(times: list[datetime], periods: list[str]) -> np.ndarray:
    """Sine and cosine of the place of each date in each period, once and twice around, (N, FEATURES·periods)."""
    angles = 2 * np.pi * np.array([[_place(time, period) for period in periods] for time in times])
    waves = [wave(around * angles) for around in (1, 2) for wave in (np.sin, np.cos)]
    return np.stack(waves, -1).reshape(len(times), -1)


def _place(time: datetime, period: str) -> float:
    """From 0 at the begin of the period to 1 at its end."""
    day = (time - time.replace(hour=0, minute=0, second=0, microsecond=0)) / DAY
    if period == "hour of day":
        return day
    if period == "day of week":
        return (time.weekday() + day) / 7
    return (time.timetuple().tm_yday - 1 + day) * DAY / YEAR
