"""Baselines of a forecast: persistence, seasonal persistence, and a linear autoregression."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np

from ..data.scaling import Moments
from ..data.tables import lagged

AR_ORDER = 9
LONGEST_SEASON = 2000  # rows
RISE = 0.1  # of the autocorrelation from its lowest value to a peak, below which the peak is no season

# Seasons of the times, by the rows' spacing: a day, a week or a year of them.
SEASONS = {
    timedelta(minutes=15): 96,
    timedelta(minutes=30): 48,
    timedelta(hours=1): 24,
    timedelta(days=1): 7,
    timedelta(days=7): 52,
}
MONTHLY, QUARTERLY = (28, 31), (90, 92)  # days


def carried_on(values: np.ndarray) -> np.ndarray:
    """Values (N) with each gap filled by the last one before it, a gap at the start by the first one there is."""
    there = ~np.isnan(values)
    if there.all():
        return values
    last = np.maximum.accumulate(np.where(there, np.arange(len(values)), there.argmax()))
    return values[last]


def persistence(values: np.ndarray, horizon: int, season: int = 1) -> np.ndarray:
    """The forecast that each value repeats the one a season before, by target row.

    Args:
        values: the target by row, (N).
        horizon: how many rows ahead.
        season: rows of a season; 1 repeats the last row.

    Returns:
        (N + horizon), NaN where there is no earlier value.
    """
    back = -(-horizon // season) * season
    found = np.full(len(values) + horizon, np.nan)
    found[back:] = carried_on(values)[: len(found) - back]
    return found


def ar_order(train_rows: int, horizon: int) -> int:
    """Of the linear AR: 9, as in the sunspot literature, or less to have ten training rows for each weight."""
    return max(1, min(AR_ORDER, (train_rows - horizon) // 10 - 1))


def autoregression(values: np.ndarray, horizon: int, train_rows: int, order: int) -> np.ndarray:
    """The forecasts of a linear AR with intercept, fitted by least squares to the training rows, (N + horizon)."""
    moments = Moments.of(values[:train_rows, None])
    mean, unit = moments.mean[0], moments.unit[0]
    values = (values - mean) / unit  # against rounding at a large level
    past = lagged(carried_on(values)[:, None], order)
    design = np.concatenate([np.ones((len(past), 1)), past], axis=1)
    first = order - 1 + horizon
    wanted = values[first:train_rows]
    there = ~np.isnan(wanted)
    weights, *_ = np.linalg.lstsq(design[: len(wanted)][there], wanted[there], rcond=None)
    found = np.full(len(values) + horizon, np.nan)
    found[first:] = design @ weights * unit + mean
    return found


def season_of(values: np.ndarray, times: list[Any]) -> int | None:
    """The season of a series in rows; None if it shows none.

    The season of its dates (hourly 24, daily 7, weekly 52, monthly 12, quarterly 4) where the autocorrelation has
    a peak there, else the highest peak's lag.

    Args:
        values: the training rows of a target, (N).
        times: their labels.
    """
    r = _autocorrelation(carried_on(values))
    lags = np.arange(2, len(r) - 1)
    lowest = np.minimum.accumulate(r)
    is_peak = (r[lags] >= r[lags - 1]) & (r[lags] > r[lags + 1])
    rises = is_peak & (r[lags] - lowest[lags] > RISE)
    n, dated = len(values), _season_of_dates(times)
    if dated in lags[rises & (r[lags] > 2 / np.sqrt(n))]:
        return dated
    peaks = lags[rises & (r[lags] > 2 * np.sqrt(np.log(n) / n))]  # noise has some peak among so many lags
    return int(peaks[r[peaks].argmax()]) if len(peaks) else None


def _autocorrelation(values: np.ndarray) -> np.ndarray:
    """Of the residuals of a straight line, at lags 0 to a third of the rows; empty where there are none."""
    n, moments = len(values), Moments.of(values[:, None])
    values = (values - moments.mean) / moments.unit
    line = np.stack([np.ones(n), np.linspace(-1, 1, n)], 1)
    rest = values - line @ np.linalg.lstsq(line, values, rcond=None)[0]
    power = np.square(np.abs(np.fft.rfft(rest, 2 * n)))
    r = np.fft.irfft(power)[: min(n // 3, LONGEST_SEASON) + 2]
    return r / r[0] if n > 2 and r[0] > 1e-12 * n else np.empty(0)


def _season_of_dates(times: list[Any]) -> int | None:
    steps = [after - before for before, after in pairwise(times)]
    if not steps or not isinstance(steps[0], timedelta):
        return None
    usual = sorted(steps)[len(steps) // 2]
    for season, (least, most) in ((12, MONTHLY), (4, QUARTERLY)):
        if least <= usual.days <= most:
            return season
    return SEASONS.get(usual)
