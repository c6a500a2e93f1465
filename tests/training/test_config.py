from pathlib import Path

import pytest
import tyro

from bptt.training.config import TrainConfig, arguments_of, check
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
        TrainConfig(seed=3, snapshot=0.0, leak=1.0, memory=None),
    ):
        assert tyro.cli(TrainConfig, args=arguments_of(config)) == config


def test_choices_that_can():
    check(TrainConfig())
    config = TrainConfig(data=DATA, target="y", input=(("a", "b"), ("c",)), test=0.5)
    check(config)
    assert config.inputs == ("a", "b", "c")
