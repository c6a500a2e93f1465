from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from bptt.training.data.tables import Table
from bptt.training.network import build
from bptt.training.options.forecast import ForecastOptions
from bptt.training.tasks.forecast import table_forecast
from bptt.training.tasks.scores import LINEAR, MEAN, forecast_verdict
from bptt.training.tasks.task import Held, Judged


def task(**choices):
    rng = np.random.default_rng(0)
    values = rng.normal(5, [1.0, 10.0], (200, 2))
    table = Table("t.csv", list(range(1, 201)), ["y", "z"], values, targets=2)
    options = {"target": ("y", "z"), "lags": 1, "horizon": (1, 4), "linear": False, "validation": 0.0}
    return table_forecast(table, ForecastOptions(**(options | choices)))


class Mean(torch.nn.Module):
    """Forecasts the mean of what it was trained on."""

    def __init__(self, outputs=4):
        super().__init__()
        self.zero = torch.nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return x.new_zeros(len(x), len(self.zero)), None


def test_intervals_hold_what_was_not_learned_from_as_often_as_asked(tmp_path):
    forecast = task(validation=0.5, coverage=0.8)
    judged = forecast.judge(forecast.whole(Mean()), "mean", tmp_path / "f.csv")
    assert judged.intervals.source == "validation"
    assert judged.intervals.errors == forecast.train_steps - forecast.learned_steps
    rows = pl.read_csv(tmp_path / "f.csv", schema_overrides={"time": pl.String})
    assert rows.columns == ["time", "target", "horizon", "truth", "forecast", "lower", "upper"]
    for target, spread in (("y", 1.0), ("z", 10.0)):
        own = rows.filter((pl.col("target") == target) & (pl.col("horizon") == 4)).drop_nulls()
        later = own.tail(40)
        assert own["upper"][0] - own["forecast"][0] == pytest.approx(1.28 * spread, rel=0.25)
        assert 0.65 < later["truth"].is_between(later["lower"], later["upper"]).mean() < 0.95


def test_the_calibration_rows_are_those_of_the_validation_and_no_others(tmp_path):
    forecast = task(validation=0.25)
    values = forecast.table.values.copy()
    first = forecast.first_step + 1 + forecast.learned_steps
    values[:first] += 1000.0 * (np.arange(first) % 2)[:, None]
    forecast = table_forecast(replace(forecast.table, values=values), forecast.config)
    judged = forecast.judge(forecast.whole(Mean()), "mean", tmp_path / "f.csv")
    assert max(judged.intervals.recent[0]) < 2  # in deviations of the training rows, half of which are 1000 apart
    assert judged.intervals.errors == forecast.train_steps - forecast.learned_steps


def test_each_target_and_horizon_is_judged_and_so_is_their_mean(tmp_path):
    forecast = task()
    model = build(forecast.config, 2, 4)
    judged = forecast.judge(forecast.whole(model), "ours", tmp_path / "f.csv")
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
    outputs = judged.rows.select("target", "horizon").unique(maintain_order=True).rows()
    assert outputs == list(judged.outputs.values())
    assert set(judged.rows["split"]) == {"training", "test", "future"}


def verdict(ours, baseline, held=0.9, shares=(), **choices):
    scores = {"ours": ours, LINEAR: 0.0, "persistence": 1.0, "ridge": baseline}
    by_span = {name: {"test": score} for name, score in scores.items()}
    covered = {"test": Held(round(100 * held), 100), "60 ahead": Held(0, 2)}
    judged = Judged({**by_span, "published": {"1921": 0.0}}, covered=covered)
    return forecast_verdict(judged, ForecastOptions(**choices), list(shares))


def test_the_verdict_is_against_the_best_baseline_and_says_what_to_do():
    found = verdict(0.4, 0.5)
    assert found == "Better than every baseline: average relative variance 0.4 beside 0.5 of ridge, 20% less."
    worse = verdict(0.6, 0.5)
    assert worse.startswith("Worse than a baseline")
    assert "20% more. Use that, or try more inputs or other --lags (untried)." in worse
    assert "try --linear" in verdict(0.6, 0.5, linear=False)


@pytest.mark.parametrize("ours", [0.5, 0.5001, 0.4999, 0.0])
def test_the_verdict_names_a_tie(ours):
    best = 0.5 if ours else 0.0
    wanted = f"As good as the best baseline: average relative variance {ours:.3g} beside {best:.3g} of ridge."
    assert verdict(ours, best) == wanted
    assert verdict(0.1, 0.0).startswith(
        "Worse than a baseline: average relative variance 0.1 beside 0 of ridge. Use"
    )


def test_the_verdict_says_where_the_network_is_left_out_and_intervals_held_too_little():
    assert "The network is left out" in verdict(0.4, 0.5, shares=[0.0, 0.0])
    assert "The network takes part in 1 of 2 forecasts" in verdict(0.4, 0.5, shares=[0.0, 0.3])
    assert "network" not in verdict(0.4, 0.5)
    assert "held only 70%, where 90% were asked for" in verdict(0.4, 0.5, held=0.7)
    assert "held" not in verdict(0.4, 0.5, held=0.85)


def test_errors_in_units_and_beside_persistence(tmp_path):
    forecast = task()
    judged = forecast.judge(forecast.whole(build(forecast.config, 2, 4)), "ours", tmp_path / "f.csv")
    own = pl.read_csv(tmp_path / "f.csv").filter(
        (pl.col("target") == "y") & (pl.col("horizon") == 1) & pl.col("time").is_between(161, 200)
    )
    mae = (own["truth"] - own["forecast"]).abs().mean()
    assert judged.mae["y, 1 ahead"] == pytest.approx(mae)
    steps = np.abs(np.diff(forecast.table.values[:160, 0])).mean()
    assert forecast.seasons == []
    assert judged.mase["y, 1 ahead"] == pytest.approx(mae / steps)


def test_errors_of_a_target_with_gaps_everywhere_are_beside_those_of_persistence(tmp_path):
    values = np.full((200, 1), np.nan)
    values[::7, 0] = 2.0 * np.arange(29) ** 1.5
    table = Table("t.csv", list(range(200)), ["y"], values, targets=1)
    forecast = table_forecast(table, ForecastOptions(missing="mask", lags=1, linear=False))
    judged = forecast.judge(forecast.whole(Mean(1)), "mean", tmp_path / "f.csv")
    known = values[: forecast.train_rows : 7, 0]
    (name,) = judged.mae
    assert judged.mase[name] == pytest.approx(judged.mae[name] / np.abs(np.diff(known)).mean())
