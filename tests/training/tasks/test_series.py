from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
import torch

from bptt.errors import UserError
from bptt.training.data.calendar import features
from bptt.training.data.tables import Table
from bptt.training.options.forecast import SunspotOptions
from bptt.training.tasks.baselines import baseline_forecasts
from bptt.training.tasks.forecast import table_forecast


def table(rows=60, columns=("y", "a"), times=None):
    values = np.random.default_rng(0).normal(5, 2, (rows, len(columns)))
    return Table("t.csv", times or list(range(1, rows + 1)), list(columns), values)


@pytest.mark.parametrize(("lags", "horizon"), [(1, 1), (3, 1), (2, 4)])
def test_each_step_sees_its_lags_and_not_its_target(lags, horizon):
    task = table_forecast(table(), SunspotOptions(lags=lags, horizon=horizon))
    scaled = task.scaling.apply(task.table.values)
    x, d = task.inputs().double().numpy(), task.targets().double().numpy()
    for step in range(len(d)):
        row = step + lags - 1
        assert np.allclose(x[step], np.concatenate([scaled[row - lag] for lag in range(lags)]), atol=1e-6)
        assert np.allclose(d[step], scaled[row + horizon, 0], atol=1e-6)
    assert len(x) == len(d) + horizon


def test_forecasts_go_back_into_the_targets_unit():
    task = table_forecast(table(), SunspotOptions(lags=2))
    perfect = torch.full((59, 1), 0.0)
    perfect[:58] = task.targets()
    found = task.forecasts(perfect)
    assert np.allclose(found[2:60], task.truth()[2:60], atol=1e-5)
    assert np.isnan(found[:2]).all()


def test_targets_and_horizons_stand_side_by_side():
    config = SunspotOptions(target=("a", "b"), lags=2, horizon=(1, 3))
    task = table_forecast(replace(table(), targets=2), config)
    scaled = task.scaling.apply(task.table.values)
    x, d = task.inputs(), task.targets().double().numpy()
    assert task.outputs == [(0, 1), (0, 3), (1, 1), (1, 3)]
    assert d.shape == (len(x) - 3, 4)
    for step in range(len(d)):
        wanted = [scaled[step + 1 + ahead, place] for place, ahead in task.outputs]
        assert np.allclose(d[step], wanted, atol=1e-6)
    perfect = torch.zeros(len(x), 4)
    perfect[: len(d)] = task.targets()
    found = task.forecasts(perfect)
    there = ~np.isnan(found) & ~np.isnan(task.truth())
    assert there.sum(0).tolist() == [58, 56, 58, 56]
    assert np.allclose(found[4:57], task.truth()[4:57], atol=1e-5)


def test_masked_values_are_zero_beside_a_mark_and_weigh_nothing():
    gappy = table(120)
    gappy.values[[5, 50, 110], 0] = np.nan
    gappy.values[[7, 51], 1] = np.nan
    task = table_forecast(gappy, SunspotOptions(lags=1, missing="mask"))
    x, d = task.inputs().numpy(), task.targets().numpy()
    assert x.shape == (120, 4)
    assert x[5].tolist() == [0, pytest.approx(x[5, 1]), 1, 0]
    assert x[7, 1:].tolist() == [0, 0, 1]
    assert np.isnan(d[[4, 49, 109], 0]).all()
    assert np.isnan(d).sum() == 3
    baselines = baseline_forecasts(task)
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
    x = task.inputs()
    assert x.shape == (59, 8)
    first = features([dates[4]], task.calendar)[0]
    last = features([dates[-1] + timedelta(days=3)], task.calendar)[0]
    assert np.allclose(x[0, 4:], first, atol=1e-6)
    assert np.allclose(x[-1, 4:], last, atol=1e-6)
