from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import tyro

from bptt.errors import UserError
from bptt.training.options.base import first_given
from bptt.training.options.choosing import GROUPS, OPTIONS, check_own, named_in, task_of
from bptt.training.options.classify import ClassifyOptions
from bptt.training.options.forecast import ForecastOptions, SunspotOptions
from bptt.training.options.text import TextOptions

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
        ({"hidden": -1}, "--hidden"),
        ({"epochs": 0}, "--epochs"),
        ({"leak": 1.5}, "--leak must be above 0 and at most 1"),
        ({"cell": "gru", "leak": 0.5}, "--leak is an option of the Elman cell; a GRU has none"),
        ({"cell": "lstm", "activation": "relu"}, "--activation is an option of the Elman cell"),
        ({"lr": 0.0}, "--lr must be above 0"),
        ({"lr": float("nan")}, "--lr"),
        ({"lr": float("inf")}, "--lr"),
        ({"weight_decay": -1e-3}, "--weight-decay"),
        ({"noise": float("nan")}, "--noise"),
        ({"validation": 1.0}, "--validation"),
        ({"data": DATA, "target": "y", "test": 0.0}, "--test"),
        ({"seed": -1}, "--seed"),
        ({"k1": 5}, "--k1 5 is an option of --reach truncated; this is --reach full"),
        ({"k2": 5, "reach": "checkpointed"}, "--k2 5 is an option of --reach truncated"),
        ({"batch": 2}, "--batch 2 is an option"),
        ({"reach": "truncated", "k1": 0}, "--k1 must be at least 1, got 0"),
        ({"reach": "truncated", "k2": 10}, "--k2 10 is less than --k1 20"),
        ({"memory": "64MB"}, "--memory bounds --reach checkpointed"),
        ({"label": "k"}, "--task classify needs DATA"),
        ({"label": "k", "data": DATA}, "--series COLUMN is needed with data.csv"),
        ({"series": "k", "data": DATA}, "--label COLUMN is needed with data.csv"),
        ({"label": "k", "data": Path("d.ts")}, "--label chooses a column of a table, and d.ts is a .ts file"),
        ({"input": (("k",),), "data": Path("d.ts")}, "--input chooses a column"),
        ({"clip": 0.0}, r"--clip must be above 0 and below 1e\+37, or auto"),
        ({"lr": 1e39}, r"--lr must be above 0 and below 1e\+37, got 1e\+39"),
        ({"dropout": 1.0}, "--dropout must be at least 0 and below 1"),
        ({"dropout": 0.1}, "--dropout 0.1 acts between layers, and there is one"),
        (
            {"patience": 3, "validation": 0.0},
            "--patience 3 waits for a better validation loss, and --validation is",
        ),
        ({"patience": 0, "validation": 0.1}, "--patience must be at least 1"),
        ({"data": Path("d.ts"), "batch": 0}, "--batch must be at least 1"),
    ],
)
def test_choices_that_cannot_work(choices, words):
    with pytest.raises(UserError, match=words):
        OPTIONS[task_of(choices)](**choices).check()


@pytest.mark.parametrize(
    ("task", "name", "tasks"),
    [
        ("text", "calendar", "forecast"),
        ("classify", "horizon", "forecast"),
        ("classify", "k1", "forecast and text"),
        ("forecast", "readout", "classify"),
        ("forecast", "class_weights", "classify"),
        ("forecast", "tokens", "text"),
        ("text", "noise", "forecast and classify"),
    ],
)
def test_options_of_other_tasks_are_refused(task, name, tasks):
    option = f"--{name.replace('_', '-')}"
    with pytest.raises(UserError, match=f"^{option} is an option of --task {tasks}; this is --task {task}$"):
        check_own({"epochs": "3", name: "3"}, task)


@pytest.mark.parametrize(
    ("task", "name", "value", "takes"),
    [
        ("classify", "missing", "mask", "--missing error or interpolate"),
        ("text", "reach", "checkpointed", "--reach truncated"),
    ],
)
def test_values_of_other_tasks_are_refused_and_not_offered(task, name, value, takes):
    words = f"^--{name} {value} is an option of --task forecast; --task {task} takes {takes}$"
    with pytest.raises(UserError, match=words):
        check_own({name: value}, task)
    assert value not in get_args(get_type_hints(OPTIONS[task])[name])


def test_arguments_stand_for_the_options():
    for options in (
        ForecastOptions(),
        ForecastOptions(
            data=DATA, target="a b", input=(("x", "y"), ("z",)), reach="truncated", k1=5, lr=1e-5, out=DATA
        ),
        ForecastOptions(seed=3, snapshot=0.0, leak=1.0, memory=None, tensorboard=True),
        ClassifyOptions(data=Path("d.ts"), class_weights="balanced", batch=3),
    ):
        arguments = options.arguments()
        assert tyro.cli(type(options), args=arguments) == options
        assert task_of(named_in(arguments)) == options.task
    text = TextOptions(data=Path("d.txt"), hidden=3)
    assert text.arguments() == ["d.txt", "--task", "text", "--hidden", "3"]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("", {}),
        ("d.csv --target a b --horizon 1 24", {"data": "d.csv", "target": "a", "horizon": "1"}),
        ("--calendar d.csv --no-tensorboard", {"calendar": "", "data": "d.csv", "tensorboard": ""}),
        ("--epochs 3 d.ts --lr -1", {"epochs": "3", "data": "d.ts", "lr": "-1"}),
        (
            "--class_weights=none --task=classify d.csv",
            {"class_weights": "none", "task": "classify", "data": "d.csv"},
        ),
        ("--unknown 3 d.ts -h", {"data": "d.ts"}),
    ],
)
def test_the_options_that_a_command_line_names(line, named):
    assert named_in(line.split()) == named


@pytest.mark.parametrize(
    ("choices", "task"),
    [
        ({}, "forecast"),
        ({"data": DATA}, "forecast"),
        ({"data": DATA, "label": "k"}, "classify"),
        ({"data": Path("d.TS")}, "classify"),
        ({"data": Path("d.txt")}, "text"),
        ({"data": Path("d.txt"), "task": "forecast"}, "forecast"),
        ({"data": DATA, "series": "who", "target": "y"}, "forecast"),
        ({"data": DATA, "series": "who"}, "classify"),
        ({"task": ["text"]}, "forecast"),
    ],
)
def test_the_task_is_seen_from_the_data(choices, task):
    assert task_of(choices) == task


def test_each_task_has_defaults_of_its_own():
    assert (TextOptions().hidden, TextOptions(hidden=3).hidden) == (128, 3)
    for task, kind in OPTIONS.items():
        options = kind(data=Path("d.ts") if task == "classify" else None)
        options.check()
        assert options.task == task


def test_every_option_stands_in_one_group_of_the_help():
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted({field.name for kind in OPTIONS.values() for field in fields(kind)})


def test_the_first_option_given():
    assert first_given(ForecastOptions(resume=DATA), besides=("resume",)) is None
    assert first_given(TextOptions(hidden=3, seed=1)) == "hidden"


def test_options_that_can_work():
    options = ForecastOptions(data=DATA, target="y", input=(("a", "b"), ("c",)), test=0.5)
    options.check()
    assert options.inputs == ("a", "b", "c")


def test_targets_and_horizons_are_one_or_several():
    one, several = ForecastOptions(target="y", horizon=3), ForecastOptions(target=("y", "z"), horizon=(1, 24))
    assert (one.targets, one.horizons) == (("y",), (3,))
    assert (several.targets, several.horizons) == (("y", "z"), (1, 24))
    assert ForecastOptions().targets == ()
    read = tyro.cli(ForecastOptions, args=["d.csv", "--target", "y", "z", "--horizon", "1", "24", "--no-calendar"])
    assert (read.target, read.horizon, read.calendar) == (("y", "z"), (1, 24), False)
    again = tyro.cli(ForecastOptions, args=read.arguments())
    assert (again.target, again.horizon, again.calendar) == (("y", "z"), (1, 24), False)
    alone = tyro.cli(ForecastOptions, args=["d.csv", "--target", "y"])
    assert (alone.target, alone.horizon) == ("y", 1)


def test_the_method_in_words():
    assert (ForecastOptions().method, ClassifyOptions().method) == ("full BPTT", "full BPTT")
    assert ForecastOptions(reach="truncated", k2=40).method == "truncated BPTT, k1=20, k2=40"
    assert TextOptions().method == "truncated BPTT, k1=64, k2=64"


def test_a_cell_without_leak_takes_the_plain_one_whatever_the_default():
    SunspotOptions(cell="gru", leak=1.0).check()
    SunspotOptions(cell="gru").check()
    with pytest.raises(UserError, match="--leak is an option of the Elman cell"):
        SunspotOptions(cell="gru", leak=0.5).check()
