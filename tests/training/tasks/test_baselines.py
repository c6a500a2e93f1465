import numpy as np
import pytest

from bptt.training.tasks.baselines import ar_order, autoregression, carried_on, persistence


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
