import numpy as np
import polars as pl
import pytest

from bptt.training.data.tables import Table
from bptt.training.network import build
from bptt.training.options.forecast import ForecastOptions
from bptt.training.tasks.forecast import table_forecast
from bptt.training.tasks.scores import MEAN, calibrated, forecast_rows


def task(**choices):
    rng = np.random.default_rng(0)
    values = rng.normal(5, [1.0, 10.0], (200, 2))
    table = Table("t.csv", list(range(1, 201)), ["y", "z"], values, targets=2)
    return table_forecast(table, ForecastOptions(lags=1, horizon=(1, 4), **choices))


def test_intervals_hold_what_was_not_learned_from_as_often_as_asked():
    forecast = task(validation=0.5, coverage=0.8)
    found = np.where(np.isnan(forecast.truth()), np.nan, 5.0)
    intervals = calibrated([forecast], [found])
    assert (intervals.source, intervals.errors) == ("validation", forecast.train_steps - forecast.learned_steps)
    rows = forecast_rows(forecast, found, intervals)
    assert rows.columns == ["time", "target", "horizon", "truth", "forecast", "lower", "upper"]
    for target, spread in (("y", 1.0), ("z", 10.0)):
        own = rows.filter((pl.col("target") == target) & (pl.col("horizon") == 4)).drop_nulls()
        later = own.tail(40)
        assert own["upper"][0] - own["forecast"][0] == pytest.approx(1.28 * spread, rel=0.25)
        assert 0.65 < later["truth"].is_between(later["lower"], later["upper"]).mean() < 0.95


def test_the_calibration_rows_are_those_of_the_validation_and_no_others():
    forecast = task(validation=0.25)
    found = forecast.truth() + 1000.0
    for output, (_, ahead) in enumerate(forecast.outputs):
        first = forecast.first_step + ahead
        found[first + forecast.learned_steps : first + forecast.train_steps, output] -= 999.0
    intervals = calibrated([forecast], [found])
    widths = [intervals.widths[0] * forecast.scaling.std[0], intervals.widths[-1] * forecast.scaling.std[1]]
    assert widths == pytest.approx([1.0, 1.0])


def test_each_target_and_horizon_is_judged_and_so_is_their_mean(tmp_path):
    forecast = task()
    model = build(forecast.config, 2, 4)
    judged = forecast.judge(model, "ours", tmp_path / "f.csv")
    names = ["y, 1 ahead", "y, 4 ahead", "z, 1 ahead", "z, 4 ahead", MEAN]
    assert judged.judged_on == names
    assert list(judged.covered) == names[:-1]
    for scores in judged.scores.values():
        assert scores[MEAN] == pytest.approx(np.mean([scores[name] for name in names[:-1]]))
    written = pl.read_csv(tmp_path / "f.csv")
    own = written.filter(
        (pl.col("target") == "z") & (pl.col("horizon") == 4) & pl.col("time").is_between(161, 200)
    )
    errors = (own["truth"] - own["forecast"]).pow(2).mean()
    assert judged.scores["ours"]["z, 4 ahead"] == pytest.approx(errors / forecast.variances[1])
    assert judged.rmse["z, 4 ahead"] == pytest.approx(errors**0.5)
    assert judged.rows is not None
    assert judged.rows.select("target", "horizon").unique().rows() == [("y", 1)]
