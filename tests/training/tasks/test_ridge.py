import numpy as np
import pytest

from bptt.training.tasks.ridge import (
    FOLDS,
    Inputs,
    Products,
    fit_linear,
)

LAYOUT = Inputs(2, [0, 1, 2, 7], False, 4, 3)


def steps(n, layout=LAYOUT, seed=0):
    return np.random.default_rng(seed).normal(size=(n, layout.size))


def products_of(x, d, pieces=1):
    found = Products(x.shape[1], d.shape[1])
    for part in np.array_split(np.arange(len(x)), pieces):
        if len(part):
            found.add(x[part], d[part], part[0], len(x))
    return found


def test_changes_are_since_each_earlier_row():
    x = steps(5)
    z = x @ LAYOUT.changes()
    assert np.allclose(z[:, :2], x[:, :2])
    for lag in (1, 2, 3):
        assert np.allclose(z[:, 2 * lag : 2 * lag + 2], x[:, :2] - x[:, 2 * lag : 2 * lag + 2])
    assert np.allclose(z[:, 8:], x[:, 8:])


def test_products_are_the_same_in_pieces_and_pass_over_missing_targets():
    x, d = steps(100), np.random.default_rng(1).normal(size=(100, 2))
    d[[3, 50, 99], 1] = np.nan
    whole, pieces = products_of(x, d), products_of(x, d, pieces=7)
    assert np.allclose(whole.sums, pieces.sums)
    assert whole.sums[:, 0, 0, 0].tolist() == [40] + [15] * FOLDS
    assert whole.sums[:, 1, 0, 0].sum() == 97


def test_a_linear_rule_is_found():
    x = steps(400)
    rule = np.zeros((2, LAYOUT.size))
    rule[0, [0, 2, 7]], rule[1, [1, 9]] = (0.5, -0.3, 0.8), (1.0, 0.4)
    d = x @ rule.T + [2.0, -1.0]
    found = fit_linear(products_of(x, d), LAYOUT, [(0, 1), (1, 3)])
    assert np.allclose(found(x), d, atol=2e-3)


def test_where_nothing_can_be_forecast_the_last_value_is():
    walk = np.random.default_rng(0).normal(size=2000).cumsum()
    layout = Inputs(1, range(5), False, 0, 5)
    x = np.stack([walk[4 - lag : 1990 - lag] for lag in range(5)], 1)
    d = walk[9 : 9 + len(x), None]
    found = fit_linear(products_of(x[:1500], d[:1500]), layout, [(0, 5)])
    ratio = np.square(found(x[1500:]) - d[1500:]).mean() / np.square(x[1500:, :1] - d[1500:]).mean()
    assert ratio == pytest.approx(1, abs=0.03)


def test_a_seasonal_series_whose_level_walks_is_forecast_from_the_change_a_season_ago():
    rng = np.random.default_rng(0)
    season = 12
    values = rng.normal(size=400).cumsum() + np.tile(rng.normal(0, 20, season), 34)[:400]
    layout = Inputs(1, [0, 1, 8, 9, 10, 12], False, 0, 2)
    x = np.stack([values[12 - lag : 397 - lag] for lag in layout.lags], 1)
    d = values[15:, None]
    last, due, both = layout.anchors(0, 3, [season])
    assert [(x @ one)[0] for one in (last, due)] == [values[12], values[3]]
    assert (x @ both)[0] == pytest.approx(values[12] + values[3] - values[0])
    found = fit_linear(products_of(x[:60], d[:60]), layout, [(0, 3)], [season])
    error = np.square(found(x[60:]) - d[60:]).mean()
    assert error < 1.1 * np.square(x[60:] @ both[:, None] - d[60:]).mean()
    assert layout.anchors(0, 3, [5])[1:] == []  # that season's lags are not read


def test_persistence_remains_where_a_series_has_come_to_rest():
    values = np.r_[np.random.default_rng(0).poisson(3.0, 100), np.zeros(100)]
    x = np.stack([values[4 - lag : 199 - lag] for lag in range(5)], 1)
    found = fit_linear(products_of(x, values[5:, None]), Inputs(1, range(5), False, 0, 5), [(0, 1)])
    assert abs(found(np.zeros((1, 5)))[0, 0]) < 0.05


def test_earlier_steps_are_forgotten_where_a_rule_drifts():
    x = steps(400)
    d = (x[:, 0] + np.linspace(0, 2, 400) * x[:, 3])[:, None]
    found, alike = (fit_linear(products_of(x, d), LAYOUT, [(0, 1)], weighs_all=all_) for all_ in (True, False))
    assert alike.weight[0, 3] == pytest.approx(1, abs=0.15)
    assert found.weight[0, 3] > 1.4


@pytest.mark.parametrize("count", [0, 4, 12])
def test_few_steps_give_a_forecast_that_is_finite(count):
    x = steps(count)
    found = fit_linear(products_of(x, x[:, :1]), LAYOUT, [(0, 1)])
    assert np.isfinite(found(steps(3))).all()


def test_inputs_that_never_change_and_repeat_each_other_are_no_trouble():
    x = steps(60)
    x[:, 3], x[:, 5] = 2.0, x[:, 1]
    found = fit_linear(products_of(x, x[:, :1] + x[:, 1:2]), LAYOUT, [(0, 1)])
    assert np.allclose(found(x), x[:, :1] + x[:, 1:2], atol=0.02)
