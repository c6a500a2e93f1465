"""The seasons of a series, and which rows before the present one its forecast reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ...errors import UserError
from ..data.gaps import carried_on
from ..data.scaling import Moments
from ..options.forecast import ForecastOptions

AR_ORDER = 9
LONGEST_SEASON = 2000  # rows
RISE = 0.1  # of the autocorrelation from its lowest value to a peak, below which the peak is no season
NEAR = 0.02  # of a season of the dates: a peak so close to it is its own

# Seasons of the times, by the rows' spacing: a day, a week or a year of them.
SEASONS = {
    timedelta(minutes=15): (96, 672),
    timedelta(minutes=30): (48, 336),
    timedelta(hours=1): (24, 168),
    timedelta(days=1): (7, 365),
    timedelta(days=7): (52,),
}
MONTHLY, QUARTERLY = (28, 31), (90, 92)  # days

DENSE = 24  # rows: up to so long a season all lags of it are read, and one more
RECENT = 10  # lags that are read without a season, or with a longer one
PER_LAG = 8  # training rows for each of these lags
LEAST_STEPS = 10  # training steps that are left beside the lags
MOST_RIDGE = 200  # rows that the ridge baseline reads at most
REPEATED = 2.5  # how many times the training rows hold a season whose lags are read


class Lookback(NamedTuple):
    """The rows before the present one that a forecast and its baselines read."""

    lags: list[int]  # those that are input, by how far they lie back, 0 for the present one
    dense: int  # how many of them, the first ones, follow each other
    seasons: list[int]  # in rows, the most usual first
    order: int  # that the regression reads which is a baseline: ridge beside a linear part, else AR


def found_lookback(
    name: str, values: np.ndarray, times: list[Any], train_rows: int, config: ForecastOptions
) -> Lookback:
    """By the options, and the seasons of the training rows.

    Args:
        name: of the table.
        values, times: of training rows, the first of them at least, as `seasons_of` takes them.
    """
    if config.season is not None and config.season > train_rows:
        raise UserError(f"--season {config.season} is longer than the {train_rows} training rows of {name}")
    return lookback_of([config.season] if config.season else seasons_of(values, times), train_rows, config)


def lookback_of(seasons: list[int], train_rows: int, config: ForecastOptions) -> Lookback:
    """By the options and these seasons."""
    if config.lags is None:
        lags, dense = lags_of(seasons, config.horizons, train_rows)
    else:
        lags, dense = list(range(config.lags)), config.lags
    rows = min(seasons[0] if seasons else AR_ORDER, MOST_RIDGE, train_rows // 4) + 1
    return Lookback(lags, dense, seasons, rows if config.linear else ar_order(train_rows, max(config.horizons)))


def ar_order(train_rows: int, horizon: int) -> int:
    """Of the linear AR: 9, as in the sunspot literature, or less to have ten training rows for each weight."""
    return max(1, min(AR_ORDER, (train_rows - horizon) // 10 - 1))


def seasons_of(values: np.ndarray, times: list[Any]) -> list[int]:
    """The seasons of a series in rows, the most usual of them first; none where it shows none.

    Those of its dates (half-hourly 48 and 336, hourly 24 and 168, daily 7 and 365, weekly 52, monthly 12,
    quarterly 4) where the autocorrelation has a peak there; without any, the lag of the highest peak.

    Args:
        values: the training rows of a target, (N).
        times: their labels.
    """
    r = _autocorrelation(carried_on(values))
    lags = np.arange(2, len(r) - 1)
    lowest = np.minimum.accumulate(r)
    is_peak = (r[lags] >= r[lags - 1]) & (r[lags] > r[lags + 1])
    rises = is_peak & (r[lags] - lowest[lags] > RISE)
    n = len(values)
    significant = lags[rises & (r[lags] > 2 / np.sqrt(n))]
    dated = [own for own in _seasons_of_dates(times) if (np.abs(significant - own) <= NEAR * own).any()]
    if dated:
        return dated
    peaks = lags[rises & (r[lags] > 2 * np.sqrt(np.log(n) / n))]  # noise has some peak among so many lags
    return [int(peaks[r[peaks].argmax()])] if len(peaks) else []


def lags_of(seasons: Sequence[int], horizons: Sequence[int], train_rows: int) -> tuple[list[int], int]:
    """The rows that a forecast reads, by how far they lie back, and how many of them follow each other.

    The last ones, as many as a short season has and one more; and of each season the row that lies whole seasons
    before the one to forecast, and before the present one, with its neighbours.
    """
    most = max(1, min((train_rows - max(horizons)) // 2, train_rows - max(horizons) - LEAST_STEPS + 1))
    seasons = [season for season in seasons if REPEATED * season <= train_rows]
    short = [season for season in seasons if season <= DENSE]
    dense = min(most, max(2, min(max(short) + 1 if short else RECENT, train_rows // PER_LAG)))
    ahead = {0: 1} | dict.fromkeys(horizons, 0)
    back = {-(-max(h, least) // season) * season - h for season in seasons for h, least in ahead.items()}
    near = {lag + by for lag in back for by in (-1, 0, 1)}
    longest = max(dense, min(most, train_rows // 3))
    return sorted({*range(dense), *(lag for lag in near if 0 <= lag < longest)}), dense


def _autocorrelation(values: np.ndarray) -> np.ndarray:
    """Of the residuals of a straight line, at lags 0 to a third of the rows; empty where there are none."""
    n, moments = len(values), Moments.of(values[:, None])
    values = (values - moments.mean) / moments.unit
    line = np.stack([np.ones(n), np.linspace(-1, 1, n)], 1)
    rest = values - line @ np.linalg.lstsq(line, values, rcond=None)[0]
    power = np.square(np.abs(np.fft.rfft(rest, 2 * n)))
    r = np.fft.irfft(power)[: min(n // 3, LONGEST_SEASON) + 2]
    return r / r[0] if n > 2 and r[0] > 1e-12 * n else np.empty(0)


def _seasons_of_dates(times: list[Any]) -> tuple[int, ...]:
    steps = [after - before for before, after in pairwise(times)]
    if not steps or not isinstance(steps[0], timedelta):
        return ()
    usual = sorted(steps)[len(steps) // 2]
    for season, (least, most) in ((12, MONTHLY), (4, QUARTERLY)):
        if least <= usual.days <= most:
            return (season,)
    return SEASONS.get(usual, ())
