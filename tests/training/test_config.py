from pathlib import Path

import pytest
import tyro

from bptt.errors import UserError
from bptt.training.config import TASK_DEFAULTS, TrainConfig, arguments_of, check, configured, task_of

DATA = Path("data.csv")


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"data": DATA}, r"--target COLUMN is needed with data\.csv: the column to forecast$"),
        ({"target": "y"}, "no DATA was given"),
        ({"input": (("a",),)}, "no DATA was given"),
        ({"test": 0.5}, "sunspots' test years are fixed"),
        ({"horizon": 0}, "--horizon must be at least 1, got 0"),
        ({"horizon": (1, 0)}, "--horizon must be at least 1"),
        ({"horizon": (6, 6)}, "--horizon 6 6 names one twice"),
        ({"season": 0}, "--season must be at least 1"),
        ({"coverage": 1.0}, "--coverage must be between 0 and 1"),
        ({"data": DATA, "target": ("y", "z"), "calendar": True}, "--calendar reads the dates of --time COLUMN"),
        (
            {"data": DATA, "series": "who", "label": "k", "missing": "mask"},
            "--missing mask is a choice of --task forecast",
        ),
        ({"task": "text", "calendar": True}, "--calendar is a choice of --task forecast"),
        ({"hidden": -1}, "--hidden"),
        ({"epochs": 0}, "--epochs"),
        ({"leak": 1.5}, "--leak must be above 0 and at most 1"),
        ({"cell": "gru", "leak": 0.5}, "--leak is a choice of the Elman cell; a GRU has none"),
        ({"cell": "lstm", "activation": "relu"}, "--activation is a choice of the Elman cell"),
        ({"lr": 0.0}, "--lr must be above 0"),
        ({"lr": float("nan")}, "--lr"),
        ({"lr": float("inf")}, "--lr"),
        ({"weight_decay": -1e-3}, "--weight-decay"),
        ({"noise": float("nan")}, "--noise"),
        ({"validation": 1.0}, "--validation"),
        ({"data": DATA, "target": "y", "test": 0.0}, "--test"),
        ({"seed": -1}, "--seed"),
        ({"k1": 5}, "--k1 5 is a choice of --reach truncated; this is --reach full"),
        ({"k2": 5, "reach": "checkpointed"}, "--k2 5 is a choice of --reach truncated"),
        ({"batch": 2}, "--batch 2 is a choice"),
        ({"reach": "truncated", "k1": 0}, "--k1 must be at least 1, got 0"),
        ({"reach": "truncated", "k2": 10}, "--k2 10 is less than --k1 20"),
        ({"memory": "64MB"}, "--memory bounds --reach checkpointed"),
        ({"label": "k"}, "--task classify needs DATA"),
        ({"label": "k", "data": DATA}, "--series COLUMN is needed with data.csv"),
        ({"series": "k", "data": DATA}, "--label COLUMN is needed with data.csv"),
        ({"label": "k", "data": Path("d.ts")}, "--label chooses a column of a table, and d.ts is a .ts file"),
        ({"input": (("k",),), "data": Path("d.ts")}, "--input chooses a column"),
        (
            {"data": Path("d.ts"), "horizon": 3},
            "--horizon is a choice of --task forecast; this is --task classify",
        ),
        ({"data": Path("d.ts"), "k1": 3}, "--k1 is a choice of --task forecast and text; this is --task classify"),
        ({"task": "forecast", "readout": "mean"}, "--readout is a choice of --task classify"),
        ({"task": "forecast", "class_weights": "balanced"}, "--class-weights is a choice of --task classify"),
        ({"tokens": "bytes"}, "--tokens is a choice of --task text; this is --task forecast"),
        ({"task": "text", "noise": 0.1}, "--noise is a choice of --task forecast and classify"),
        ({"task": "text", "reach": "checkpointed"}, "--task text supports only --reach truncated"),
        ({"clip": 0.0}, r"--clip must be above 0 and below 1e\+37, or auto"),
        ({"lr": 1e39}, r"--lr must be above 0 and below 1e\+37, got 1e\+39"),
        ({"dropout": 1.0}, "--dropout must be at least 0 and below 1"),
        ({"dropout": 0.1}, "--dropout 0.1 acts between layers, and there is one"),
        ({"patience": 3}, "--patience 3 waits for a better validation loss, and --validation is 0"),
        ({"patience": 0, "validation": 0.1}, "--patience must be at least 1"),
        ({"data": Path("d.ts"), "batch": 0}, "--batch must be at least 1"),
    ],
)
def test_choices_that_cannot_work(choices, words):
    with pytest.raises(UserError, match=words):
        check(TrainConfig(**choices))


def test_arguments_stand_for_the_choices():
    for config in (
        TrainConfig(),
        TrainConfig(
            data=DATA, target="a b", input=(("x", "y"), ("z",)), reach="truncated", k1=5, lr=1e-5, out=DATA
        ),
        TrainConfig(seed=3, snapshot=0.0, leak=1.0, memory=None, tensorboard=True),
    ):
        assert tyro.cli(TrainConfig, args=arguments_of(config)) == config
    text = configured("text", data=Path("d.txt"), hidden=3)
    assert arguments_of(text) == ["d.txt", "--task", "text", "--hidden", "3"]


@pytest.mark.parametrize(
    ("choices", "task"),
    [
        ({}, "forecast"),
        ({"data": DATA}, "forecast"),
        ({"data": DATA, "label": "k"}, "classify"),
        ({"data": Path("d.TS")}, "classify"),
        ({"data": Path("d.txt")}, "text"),
        ({"data": Path("d.txt"), "task": "forecast"}, "forecast"),
    ],
)
def test_the_task_is_seen_from_the_data(choices, task):
    assert task_of(TrainConfig(**choices)) == task


def test_each_task_has_defaults_of_its_own():
    assert configured("forecast") == TrainConfig(task="forecast")
    assert (configured("text").hidden, configured("text", hidden=3).hidden) == (128, 3)
    for task in TASK_DEFAULTS:
        check(configured(task, data=Path("d.ts") if task == "classify" else None))


def test_choices_that_can():
    check(TrainConfig())
    config = TrainConfig(data=DATA, target="y", input=(("a", "b"), ("c",)), test=0.5)
    check(config)
    assert config.inputs == ("a", "b", "c")


def test_targets_and_horizons_are_one_or_several():
    one, several = TrainConfig(target="y", horizon=3), TrainConfig(target=("y", "z"), horizon=(1, 24))
    assert (one.targets, one.horizons) == (("y",), (3,))
    assert (several.targets, several.horizons) == (("y", "z"), (1, 24))
    assert TrainConfig().targets == ()
    read = tyro.cli(TrainConfig, args=["d.csv", "--target", "y", "z", "--horizon", "1", "24", "--calendar"])
    assert (read.target, read.horizon, read.calendar) == (("y", "z"), (1, 24), True)
    again = tyro.cli(TrainConfig, args=arguments_of(read))
    assert (again.target, again.horizon, again.calendar) == (("y", "z"), (1, 24), True)
    alone = tyro.cli(TrainConfig, args=["d.csv", "--target", "y"])
    assert (alone.target, alone.horizon) == ("y", 1)


def test_series_with_a_target_are_forecast_and_others_classified():
    assert task_of(TrainConfig(data=DATA, series="who", target="y")) == "forecast"
    assert task_of(TrainConfig(data=DATA, series="who")) == "classify"
