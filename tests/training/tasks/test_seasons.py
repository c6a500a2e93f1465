from datetime import datetime, timedelta

import numpy as np
import pytest

from bptt.training.data.tables import sunspots
from bptt.training.tasks.seasons import lags_of, seasons_of


def test_seasons():
    t, noise = np.arange(400), np.random.default_rng(0).normal(0, 0.3, 400)
    assert seasons_of(sunspots().values[:221, 0], list(range(221))) == [11]
    assert seasons_of(np.sin(2 * np.pi * t / 12) + 0.05 * t + noise, []) == [12]
    for nothing in (noise, 3.0 * t, np.ones(400), np.ones(2)):
        assert seasons_of(nothing, list(range(len(nothing)))) == []


@pytest.mark.parametrize(
    ("step", "season"), [(timedelta(hours=1), 24), (timedelta(days=1), 7), (timedelta(minutes=30), 48)]
)
def test_dates_tell_the_season_where_the_rows_show_it(step, season):
    times = [datetime(2020, 1, 1) + i * step for i in range(10 * season)]
    rows, noise = np.arange(len(times)), np.random.default_rng(0).normal(0, 0.1, len(times))
    assert seasons_of(np.sin(2 * np.pi * rows / season) + noise, times)[0] == season
    assert seasons_of(noise, times) == []


def test_months_have_a_season_of_twelve():
    times = [datetime(2000 + i // 12, i % 12 + 1, 1) for i in range(120)]
    assert seasons_of(np.cos(2 * np.pi * np.arange(120) / 12), times) == [12]


def test_half_hours_have_the_season_of_a_day_and_of_a_week():
    times = [datetime(2020, 1, 1) + i * timedelta(minutes=30) for i in range(4 * 336)]
    rows = np.arange(len(times))
    weekend = np.isin(rows // 48 % 7, [5, 6])
    assert seasons_of(np.sin(2 * np.pi * rows / 48) - weekend, times) == [48, 336]


def test_a_year_of_days_is_365_and_not_the_highest_peak_beside_it():
    times = [datetime(2020, 1, 1) + timedelta(days=i) for i in range(1500)]
    rows, noise = np.arange(1500), np.random.default_rng(0).normal(0, 0.5, 1500)
    assert seasons_of(np.sin(2 * np.pi * rows / 365.25) + noise, times) == [365]


def test_lags_hold_the_recent_rows_and_those_whole_seasons_before():
    assert lags_of([12], (1, 12), 200) == ([*range(14)], 13)
    assert lags_of([48, 336], (48,), 3000) == ([*range(10), 47, 48, 49, 287, 288, 289, 335, 336, 337], 10)
    assert lags_of([], (1,), 1000) == ([*range(10)], 10)
    assert lags_of([365], (1,), 500) == ([*range(10)], 10)  # held only once


@pytest.mark.parametrize("horizon", [1, 5, 40])
@pytest.mark.parametrize("beyond", [11, 20, 60, 1000])
def test_lags_leave_ten_training_steps(horizon, beyond):
    rows = horizon + beyond
    for seasons in ([], [4], [12, 52]):
        lags, dense = lags_of(seasons, (1, horizon), rows)
        assert lags[:dense] == list(range(dense))
        assert rows - horizon - lags[-1] >= 10
