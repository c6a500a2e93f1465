from datetime import datetime, timedelta

import numpy as np
import pytest

from bptt.training.data.tables import sunspots
from bptt.training.tasks.baselines import ar_order, autoregression, carried_on, persistence, season_of


def test_persistence_repeats_the_last_row():
    assert persistence(np.array([1.0, 2.0, 3.0]), 2).tolist()[2:] == [1, 2, 3]
    assert np.isnan(persistence(np.array([1.0, 2.0, 3.0]), 2)[:2]).all()


@pytest.mark.parametrize("horizon", [1, 3, 4, 5, 9])
def test_seasonal_persistence_is_exact_on_what_comes_again_and_looks_at_no_later_row(horizon):
    values = np.tile([3.0, 1.0, 4.0, 1.5], 10)
    found = persistence(values, horizon, 4)
    back = -(-horizon // 4) * 4
    assert len(found) == len(values) + horizon
    assert found[back:].tolist() == np.tile([3.0, 1.0, 4.0, 1.5], 20)[: len(found) - back].tolist()
    changed = values.copy()
    changed[30 - horizon + 1 :] = 99
    assert persistence(changed, horizon, 4)[30] == found[30]


def test_gaps_are_filled_by_what_was_before():
    values = np.array([np.nan, 1.0, np.nan, np.nan, 2.0])
    assert carried_on(values).tolist() == [1, 1, 1, 1, 2]


def test_an_autoregression_finds_its_own_kind():
    values = np.empty(200)
    values[:2] = 1, 2
    for i in range(2, 200):
        values[i] = 1 + 0.5 * values[i - 1] - 0.8 * values[i - 2]
    values[50:] += np.random.default_rng(0).normal(0, 1e-9, 150)
    found = autoregression(values, 1, 150, 2)
    assert np.allclose(found[2:40], values[2:40], atol=1e-6)
    gappy = values.copy()
    gappy[60] = np.nan
    assert np.isfinite(autoregression(gappy, 1, 150, 2)[2:]).all()
    assert (ar_order(1000, 1), ar_order(41, 1), ar_order(5, 1)) == (9, 3, 1)


def test_seasons():
    t, noise = np.arange(400), np.random.default_rng(0).normal(0, 0.3, 400)
    assert season_of(sunspots().values[:221, 0], list(range(221))) == 11
    assert season_of(np.sin(2 * np.pi * t / 12) + 0.05 * t + noise, []) == 12
    for nothing in (noise, 3.0 * t, np.ones(400), np.ones(2)):
        assert season_of(nothing, list(range(len(nothing)))) is None


@pytest.mark.parametrize(
    ("step", "season"), [(timedelta(hours=1), 24), (timedelta(days=1), 7), (timedelta(minutes=30), 48)]
)
def test_dates_tell_the_season_where_the_rows_show_it(step, season):
    times = [datetime(2020, 1, 1) + i * step for i in range(10 * season)]
    rows, noise = np.arange(len(times)), np.random.default_rng(0).normal(0, 0.1, len(times))
    assert season_of(np.sin(2 * np.pi * rows / season) + noise, times) == season
    assert season_of(noise, times) is None


def test_months_have_a_season_of_twelve():
    times = [datetime(2000 + i // 12, i % 12 + 1, 1) for i in range(120)]
    assert season_of(np.cos(2 * np.pi * np.arange(120) / 12), times) == 12
