import re
from datetime import datetime

import numpy as np
import pytest
import torch

from bptt import squared_error
from bptt.errors import UserError
from bptt.training.data.tables import Table
from bptt.training.network import network_of
from bptt.training.options.forecast import SunspotOptions
from bptt.training.tasks.baselines import Baselines
from bptt.training.tasks.forecast import SUNSPOT_VARIANCE, check_rows, sunspot_forecast, table_forecast
from bptt.training.tasks.forecast_rows import predicted_rows
from forecasting import baselines_by_row, steps_of


def table(rows=60, columns=("y", "a"), times=None):
    values = np.random.default_rng(0).normal(5, 2, (rows, len(columns)))
    return Table("t.csv", times or list(range(1, rows + 1)), list(columns), values)


def test_ar9_on_the_sunspots_has_the_known_scores():
    task = sunspot_forecast(SunspotOptions())
    found = np.square(task.table.values - baselines_by_row(task)["linear AR(9)"]) / SUNSPOT_VARIANCE
    arv = {span.name: float(found[span.first : span.stop].mean()) for span in task.spans}
    assert round(arv["1921-1955"], 3) == 0.123
    assert round(arv["1956-1979"], 3) == 0.342


def test_nothing_of_the_test_rows_is_learned_from():
    whole = table()
    changed = Table(whole.name, whole.times, whole.columns, whole.values.copy())
    changed.values[48:] = 1e6
    one, two = (table_forecast(t, SunspotOptions()) for t in (whole, changed))
    assert one.train_rows == 48
    assert one.scaling == two.scaling
    assert one.variances == two.variances
    assert all(map(torch.equal, one.training_steps(), two.training_steps()))
    assert (one.seasons, one.lags) == (two.seasons, two.lags)
    for name, found in baselines_by_row(one).items():
        assert np.allclose(found[:49], baselines_by_row(two)[name][:49], equal_nan=True)


def test_only_training_rows_are_interpolated_and_none_from_a_later_one():
    gappy = table()
    gappy.values[[0, 5, 46, 47, 48, 59], 0] = np.nan
    gappy.values[[6, 50], 1] = np.nan
    y, a = gappy.values.T.copy()
    task = table_forecast(gappy, SunspotOptions(missing="interpolate"))
    found = task.table.values
    assert found[[0, 5], 0] == pytest.approx([y[1], (y[4] + y[6]) / 2])
    assert found[[46, 47], 0].tolist() == [y[45]] * 2
    assert found[6, 1] == pytest.approx((a[5] + a[7]) / 2)
    assert np.isnan(found).sum() == np.isnan(found[[48, 59, 50], [0, 0, 1]]).sum() == 3
    x, d = steps_of(task)
    inputs = x[[47, 58, 49], [0, 0, 1]].double().numpy()  # of rows 48, 59 and 50
    repeated = task.scaling.apply(np.array([[y[45], a[49]], [y[58], 0]]))
    assert inputs == pytest.approx([repeated[0, 0], repeated[1, 0], repeated[0, 1]], rel=1e-6)
    assert d[[46, 57], 0].isnan().all()  # of rows 48 and 59
    assert np.isnan(gappy.values).sum() == 8


def test_no_validation_step_reads_a_value_interpolated_from_a_later_row():
    gappy = table()
    gappy.values[[3, 37, 40, 41], 0] = np.nan
    y, _ = gappy.values.T.copy()
    task = table_forecast(gappy, SunspotOptions(missing="interpolate", validation=0.25))
    first = task.first_step + task.learned_steps  # row of the first validation step
    assert 35 <= first < 40
    found = task.table.values[:, 0]
    assert found[3] == pytest.approx((y[2] + y[4]) / 2)
    assert np.isnan(found[[40, 41]]).all()
    x, _ = steps_of(task)
    assert (x[41 - task.first_step, 0] - task.scaling.apply(y[39, None])[0]).abs() < 1e-6


def test_intervals_without_a_validation_step_come_from_training_errors(tmp_path):
    config = SunspotOptions(linear=True, validation=0.01, hidden=2)
    task = table_forecast(table(), config)
    assert task.learned_steps == task.train_steps
    judged = task.judge(task.whole(network_of(config, task)), "ours", tmp_path / "f.csv")
    assert judged.intervals.source == "training"
    assert "validation" not in judged.verdict


def test_its_representation_is_short():
    shown = repr(table_forecast(table(), SunspotOptions()))
    assert shown == "<Forecast: y of t.csv, forecast one step ahead; 46 training steps of y>"


@pytest.mark.parametrize(("column", "needed"), [(0, 10), (1, 1)])
def test_a_column_that_begins_after_the_training_rows_is_not_interpolated(column, needed):
    gappy = table()
    gappy.values[:48, column] = np.nan
    words = rf"column '{'ya'[column]}' has 0 values in the 48 training rows; at least {needed} are needed"
    with pytest.raises(UserError, match=words):
        table_forecast(gappy, SunspotOptions(missing="interpolate"))


def test_too_few_rows_name_the_minimum():
    with pytest.raises(UserError, match=r"has 12 rows.*at least 16 rows are needed"):
        table_forecast(table(12), SunspotOptions(lags=3))
    assert table_forecast(table(16), SunspotOptions(lags=3)).train_steps == 10
    with pytest.raises(UserError, match=r"lags=300.*at least 10 are needed"):
        sunspot_forecast(SunspotOptions(lags=300))


def test_rows_beyond_the_record_continue_its_times():
    dates = [datetime(2020, 1, day) for day in range(1, 31)]
    task = table_forecast(table(30, times=dates), SunspotOptions(horizon=2, lags=1))
    (rows,) = predicted_rows(task, network_of(task.config, task), None)
    assert rows.columns == ["time", "target", "truth", "forecast", "lower", "upper"]
    assert rows["lower"].null_count() == rows["upper"].null_count() == len(rows)
    assert rows["time"].to_list()[-2:] == ["2020-01-31", "2020-02-01"]
    assert rows["truth"].to_list()[-2:] == [None, None]
    assert rows["forecast"].null_count() == 0


def test_a_season_that_is_too_long_is_refused():
    with pytest.raises(UserError, match="--season 49 is longer than the 48 training rows"):
        table_forecast(table(), SunspotOptions(season=49))
    assert "seasonal persistence (5)" in Baselines(table_forecast(table(), SunspotOptions(season=5))).names


@pytest.mark.parametrize(("test", "rows"), [(0.2, 2**31 * 5 // 4), (0.999999, 2**31 * 10**6)])
def test_the_rows_that_are_needed_are_said_at_once_however_many(test, rows):
    with pytest.raises(UserError, match=r"at least (\d+) rows are needed") as caught:
        check_rows("d.csv", 100, 80, SunspotOptions(lags=2**31 - 1, test=test))
    assert int(re.search(r"at least (\d+) rows", str(caught.value))[1]) == pytest.approx(rows, rel=1e-3)


@pytest.mark.parametrize(("horizon", "ahead"), [(1, "one step"), (4, "4 steps"), ((1, 3, 6), "1, 3 and 6 steps")])
def test_it_says_what_is_learned(horizon, ahead):
    task = sunspot_forecast(SunspotOptions(horizon=horizon))
    assert task.aim == f"sunspots of the embedded yearly sunspot numbers, forecast {ahead} ahead"
    assert task.amount == f"{task.train_steps} training steps of sunspots"
    assert (task.labels, task.loss, task.output) == ([], squared_error, "forecast.csv")
