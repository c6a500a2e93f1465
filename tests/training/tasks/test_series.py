from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from bptt.errors import UserError
from bptt.training.data.calendar import features
from bptt.training.data.tables import Table
from bptt.training.options.forecast import SunspotOptions
from bptt.training.tasks.forecast import table_forecast
from forecasting import baselines_by_row, steps_of


def table(rows=60, columns=("y", "a"), times=None):
    values = np.random.default_rng(0).normal(5, 2, (rows, len(columns)))
    return Table("t.csv", times or list(range(1, rows + 1)), list(columns), values)


@pytest.mark.parametrize(("lags", "horizon"), [(1, 1), (3, 1), (2, 4)])
def test_each_step_sees_its_lags_and_not_its_target(lags, horizon):
    task = table_forecast(table(), SunspotOptions(lags=lags, horizon=horizon))
    scaled = task.scaling.apply(task.table.values)
    x, d = (part.double().numpy() for part in steps_of(task))
    for step in range(len(d) - horizon):
        row = step + lags - 1
        assert np.allclose(x[step], np.concatenate([scaled[row - lag] for lag in range(lags)]), atol=1e-6)
        assert np.allclose(d[step], scaled[row + horizon, 0], atol=1e-6)
    assert np.isnan(d).tolist() == [[False]] * (len(x) - horizon) + [[True]] * horizon


def test_forecasts_go_back_into_the_targets_unit():
    task = table_forecast(table(), SunspotOptions(lags=2))
    _, d = steps_of(task)
    assert np.allclose(task.in_units(d)[:58, 0], task.table.values[2:, 0], atol=1e-5)


def test_targets_and_horizons_stand_side_by_side():
    config = SunspotOptions(target=("a", "b"), lags=2, horizon=(1, 3))
    task = table_forecast(replace(table(), targets=2), config)
    scaled = task.scaling.apply(task.table.values)
    x, standardised = steps_of(task)
    d = standardised.double().numpy()
    assert task.outputs == [(0, 1), (0, 3), (1, 1), (1, 3)]
    assert d.shape == (len(x), 4)
    assert (~np.isnan(d)).sum(0).tolist() == [58, 56, 58, 56]
    for step in range(56):
        wanted = [scaled[step + 1 + ahead, place] for place, ahead in task.outputs]
        assert np.allclose(d[step], wanted, atol=1e-6)
    for output, (place, ahead) in enumerate(task.outputs):
        found = task.in_units(standardised)[:56, output]
        assert np.allclose(found, task.table.values[1 + ahead :, place][:56], atol=1e-5)


def test_masked_values_are_zero_beside_a_mark_and_weigh_nothing():
    gappy = table(120)
    gappy.values[[5, 50, 110], 0] = np.nan
    gappy.values[[7, 51], 1] = np.nan
    task = table_forecast(gappy, SunspotOptions(lags=1, missing="mask"))
    x, d = (part.numpy() for part in steps_of(task))
    assert x.shape == (120, 4)
    assert x[5].tolist() == [0, pytest.approx(x[5, 1]), 1, 0]
    assert x[7, 1:].tolist() == [0, 0, 1]
    assert np.isnan(d[[4, 49, 109], 0]).all()
    assert np.isnan(d[:-1]).sum() == 3
    baselines = baselines_by_row(task)
    found = baselines["persistence"]
    assert found[6, 0] == task.table.values[4, 0]
    assert all(np.isfinite(one[96:120]).all() for one in baselines.values())
    gappy.values[:95, 1] = np.nan
    gappy.values[95:, 0] = np.nan
    with pytest.raises(UserError, match="column 'y' has no value to test on"):
        table_forecast(gappy, SunspotOptions(missing="mask"))


def test_the_calendar_is_of_the_row_that_is_forecast():
    dates = [datetime(2020, 1, 1) + timedelta(days=i) for i in range(60)]
    task = table_forecast(table(60, times=dates), SunspotOptions(lags=2, horizon=3, calendar=True, time="t"))
    assert task.calendar == ["day of week"]
    x, _ = steps_of(task)
    assert x.shape == (59, 8)
    first = features([dates[4]], task.calendar)[0]
    last = features([dates[-1] + timedelta(days=3)], task.calendar)[0]
    assert np.allclose(x[0, 4:], first, atol=1e-6)
    assert np.allclose(x[-1, 4:], last, atol=1e-6)
