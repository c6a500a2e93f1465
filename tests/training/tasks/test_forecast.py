from datetime import datetime

import numpy as np
import pytest
import torch

from bptt.training.config import TrainConfig
from bptt.training.data import Table
from bptt.training.errors import UserError
from bptt.training.tasks.forecast import (
    autoregression,
    forecast_rows,
    persistence,
    sunspot_forecast,
    table_forecast,
)


def table(rows=60, columns=("y", "a"), times=None):
    values = np.random.default_rng(0).normal(5, 2, (rows, len(columns)))
    return Table("t.csv", times or list(range(1, rows + 1)), list(columns), values)


def test_ar9_on_the_sunspots_has_the_known_scores():
    task = sunspot_forecast(TrainConfig())
    name, found = autoregression(task)
    assert name == "linear AR(9)"
    arv = task.arv(found)
    assert round(arv["1921-1955"], 3) == 0.123
    assert round(arv["1956-1979"], 3) == 0.342


@pytest.mark.parametrize(("lags", "horizon"), [(1, 1), (3, 1), (2, 4)])
def test_each_step_sees_its_lags_and_not_its_target(lags, horizon):
    task = table_forecast(table(), TrainConfig(lags=lags, horizon=horizon))
    scaled = task.scaling.apply(task.table.values)
    x, d = task.inputs().double().numpy(), task.targets().double().numpy()
    for step in range(len(d)):
        row = step + lags - 1
        assert np.allclose(x[step], np.concatenate([scaled[row - lag] for lag in range(lags)]), atol=1e-6)
        assert np.allclose(d[step], scaled[row + horizon, 0], atol=1e-6)
    assert len(x) == len(d) + horizon


def test_nothing_of_the_test_rows_is_learned_from():
    whole = table()
    changed = Table(whole.name, whole.times, whole.columns, whole.values.copy())
    changed.values[48:] = 1e6
    one, two = (table_forecast(t, TrainConfig()) for t in (whole, changed))
    assert one.train_rows == 48
    assert one.scaling == two.scaling
    assert one.variance == two.variance
    n = one.train_steps
    assert torch.equal(one.inputs()[:n], two.inputs()[:n])
    assert torch.equal(one.targets()[:n], two.targets()[:n])
    assert np.allclose(autoregression(one)[1][:49], autoregression(two)[1][:49], equal_nan=True)


def test_forecasts_go_back_into_the_targets_unit():
    task = table_forecast(table(), TrainConfig(lags=2))
    perfect = torch.full((59, 1), 0.0)
    perfect[:58] = task.targets()
    found = task.forecasts(perfect)
    assert np.allclose(found[2:60], task.truth()[2:], atol=1e-5)
    assert np.isnan(found[:2]).all()
    assert task.arv(found)[task.spans[0].name] < 1e-10


def test_persistence_of_a_constant_series_is_right():
    task = table_forecast(table(times=None), TrainConfig(horizon=3))
    assert persistence(task)[10] == task.truth()[7]


def test_too_few_rows_name_the_minimum():
    with pytest.raises(UserError, match=r"has 12 rows.*at least 16 rows are needed"):
        table_forecast(table(12), TrainConfig(lags=3))
    assert table_forecast(table(16), TrainConfig(lags=3)).train_steps == 10
    with pytest.raises(UserError, match=r"lags=300.*at least 10 are needed"):
        sunspot_forecast(TrainConfig(lags=300))


def test_rows_beyond_the_record_continue_its_times():
    dates = [datetime(2020, 1, day) for day in range(1, 31)]
    task = table_forecast(table(30, times=dates), TrainConfig(horizon=2, lags=1))
    rows = forecast_rows(task, task.forecasts(torch.zeros(30, 1)))
    assert rows.columns == ["time", "target", "truth", "forecast"]
    assert rows["time"].to_list()[-2:] == ["2020-01-31", "2020-02-01"]
    assert rows["truth"].to_list()[-2:] == [None, None]
    assert rows["forecast"].null_count() == 0
