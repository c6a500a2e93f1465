from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from bptt.insight.diagnosis.result import Diagnosis
from bptt.report.run import Lags
from bptt.runs.result import LOOKS, Result, described, time_left
from bptt.training.loop import Epoch, Fitted
from bptt.training.options.forecast import ForecastOptions, SunspotOptions
from bptt.training.tasks.forecast import sunspot_forecast
from bptt.training.tasks.task import Judged


def result(config, interrupted=False):
    rows = pl.DataFrame(
        {"time": ["1921"], "target": ["y"], "truth": [1.0], "forecast": [2.0], "lower": [1.5], "upper": [2.5]}
    ).with_columns(split=pl.lit("test"))
    judged = Judged(
        {"ours": {"all": 0.5}, "persistence": {"all": 1.0}},
        rmse={"all": 3.0},
        rows=rows,
        spans=[("all", "1", "2")],
    )
    fitted = Fitted([Epoch(1, 0.5, None, 0.1, 2.0, 1.0)], 1, interrupted)
    return Result(config, sunspot_forecast(config), fitted, judged, {"start": [1.0], "end": [2.0]}, 1.25)


def test_the_line_of_metrics_has_ours_apart_from_the_baselines():
    line = result(SunspotOptions(epochs=1)).test_line()
    assert line["arv"] == {"all": 0.5}
    assert line["baselines"] == {"persistence": {"all": 1.0}}
    assert (line["epochs"], line["best_epoch"], line["interrupted"], line["seconds"]) == (1, 1, False, 1.25)
    assert line["gradient_by_lag"] == {"start": [1.0], "end": [2.0]}


@pytest.mark.parametrize(
    ("choices", "interrupted", "words"),
    [
        ({"epochs": 1}, False, "Trained 1 epoch."),
        ({"epochs": 9}, True, "Stopped after 1 of 9 epochs."),
        ({"epochs": 1, "validation": 0.1}, False, "Trained 1 epoch; kept the weights of epoch 1, the best"),
    ],
)
def test_how_it_ended(choices, interrupted, words):
    found = result(SunspotOptions(**choices), interrupted)
    assert found.ending().startswith(words)
    assert found.report().losses == [0.5]


def test_the_report_has_the_gradient_before_training_while_it_went_on_and_at_its_end():
    looks = [Epoch(n, 0.5, None, 0.1, 2.0, 1.0, {"l0": [float(n)]} if n % 2 else None) for n in range(1, 101)]
    found = replace(result(SunspotOptions(epochs=100)), fitted=Fitted(looks, 100, False)).report().lags
    assert found[0] == Lags(0, [1.0])
    assert found[-1] == Lags(100, [2.0])
    assert 10 < len(found) <= LOOKS + 2
    assert all(lags.norms == [lags.epoch] for lags in found[1:-1])


@pytest.mark.parametrize("severity", ["fine", "note", "warning"])
def test_only_a_warning_is_said_with_the_place_it_was_taken_from(severity):
    found = Diagnosis("vanishing", "It vanishes.", severity, None, 9, 6, [], None, None, [], "rows 1-9")
    said = replace(result(SunspotOptions()), diagnosis=found).warning(Path("runs/a"))
    if severity != "warning":
        assert said is None
    else:
        assert said == "It vanishes. (on rows 1-9) What to do: bptt diagnose runs/a"
    assert result(SunspotOptions()).warning(Path("runs/a")) is None


def test_a_run_is_described_with_its_method():
    options = SunspotOptions()
    assert "by full backpropagation through time" in described(options, sunspot_forecast(options))


def test_the_time_left_is_said_where_it_is_long():
    config = ForecastOptions(data=Path("d.csv"), target="y")
    assert time_left(config, 199, 3.0) is None
    assert time_left(config, 199, 9.0) == (
        "199 more epochs will take about 30 min; to end sooner pass fewer --epochs, or --patience 5, which stops "
        "5 epochs after the best on validation, or --reach truncated --batch 32, whose epoch has many updates, so "
        "that few epochs do"
    )
    choices = {"reach": "truncated", "validation": 0.0}
    said = time_left(replace(config, **choices), 199, 90.0)
    assert said == "199 more epochs will take about 5 h; to end sooner pass fewer --epochs"
