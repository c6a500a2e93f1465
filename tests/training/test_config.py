from pathlib import Path

import pytest
import tyro

from bptt.training.config import TASK_DEFAULTS, TrainConfig, arguments_of, check, configured, task_of
from bptt.training.errors import UserError

DATA = Path("data.csv")


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"data": DATA}, "--target COLUMN is needed"),
        ({"target": "y"}, "no DATA was given"),
        ({"input": (("a",),)}, "no DATA was given"),
        ({"test": 0.5}, "sunspots' test years are fixed"),
        ({"horizon": 0}, "--horizon must be at least 1, got 0"),
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
        ({"task": "text", "noise": 0.1}, "--noise is a choice of --task forecast and classify"),
        ({"task": "text", "reach": "checkpointed"}, "--task text is learned by --reach truncated"),
        ({"clip": 0.0}, "--clip must be above 0 and finite, or auto"),
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
