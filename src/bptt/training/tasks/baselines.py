"""Baselines of a forecast: persistence, seasonal persistence, and a linear autoregression."""

from __future__ import annotations

import numpy as np

from ..data.scaling import Moments
from ..data.tables import lagged

AR_ORDER = 9


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
