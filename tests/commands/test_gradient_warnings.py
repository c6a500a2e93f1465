"""Warnings of a gradient that reaches less far than the data need."""

import json
import math

import polars as pl

from bptt.commands.diagnose import diagnose
from bptt.commands.options import DiagnoseOptions
from bptt.commands.train import train
from bptt.runs import gradient_monitor
from bptt.training.options.forecast import SunspotOptions


def test_the_gradient_by_lag_is_recorded_and_said_where_it_vanishes(here, capsys):
    train(SunspotOptions(epochs=30, leak=0.05, out=here / "run"))
    lines = [json.loads(line) for line in (here / "run" / "metrics.jsonl").read_text().splitlines()]
    seen = [line["epoch"] for line in lines[:-1] if line["gradient_by_lag"]]
    assert len(seen) >= 2
    assert seen[0] == 1
    assert all(norm >= 0 for norm in lines[0]["gradient_by_lag"]["l0"])
    assert lines[seen[-1] - 1]["gradient_by_lag"]["l0"] != lines[-1]["gradient_by_lag"]["start"]
    assert "vanishes" not in capsys.readouterr().out


def lagged_by(rows, path):
    """A table whose target is what its input was so many rows ago."""
    a = [math.sin(i * i) for i in range(400)]
    pl.DataFrame({"y": [0.0] * rows + a[:-rows], "a": a}).write_csv(path)


def warned(out):
    return [line for line in out.splitlines() if line.startswith("warning: ") and "gradient" in line]


def test_a_gradient_that_reaches_less_far_than_the_data_need_is_warned_of(here, capsys):
    """In the words of `bptt diagnose` and the page; one that reaches far enough is not."""
    lagged_by(9, here / "far.csv")
    choices = {"data": here / "far.csv", "target": "y", "input": (("a",),), "leak": 1.0}
    train(SunspotOptions(**choices, epochs=3, out=here / "far"))
    (line,) = warned(capsys.readouterr().out)
    page = (here / "far" / "report.html").read_text()
    found = json.loads(page.split('id="data">')[1].split("</script>")[0])["diagnosis"]
    assert found["severity"] == "warning"
    assert "the data needs about " in found["sentence"]
    told = f"warning: {found['sentence']} (on rows 1-319 of the 320 training rows of far.csv)"
    assert line == f"{told} What to do: bptt diagnose {here / 'far'}"
    diagnose(DiagnoseOptions(here / "far"))
    assert found["sentence"] in " ".join(capsys.readouterr().out.split())
    lagged_by(1, here / "near.csv")
    train(SunspotOptions(**choices | {"data": here / "near.csv"}, epochs=3, out=here / "near"))
    assert not warned(capsys.readouterr().out)


def test_a_long_training_is_warned_while_there_is_time_and_not_twice_of_the_same_epochs(here, capsys, monkeypatch):
    monkeypatch.setattr(gradient_monitor, "DIAGNOSIS", 1.0)
    lagged_by(9, here / "far.csv")
    choices = {"data": here / "far.csv", "target": "y", "input": (("a",),), "epochs": 6, "leak": 1.0}
    train(SunspotOptions(**choices, out=here / "far"))
    early, late = warned(capsys.readouterr().out)
    assert early.startswith("warning: epoch 2: The gradient vanishes: ")
    assert late.startswith("warning: The gradient vanishes: ")
