"""Every command on every kind of run: each reads the run, its data and its loss alike."""

import io
import json
import math
import sys

import polars as pl
import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

import bptt
from bptt.commands.check import check
from bptt.commands.diagnose import diagnose
from bptt.commands.explain import explain
from bptt.commands.export import export
from bptt.commands.opening import explorer_of
from bptt.commands.options import (
    CheckOptions,
    DiagnoseOptions,
    ExplainOptions,
    ExportOptions,
    PredictOptions,
    SampleOptions,
)
from bptt.commands.predict import predict
from bptt.commands.sample import sample
from bptt.commands.streams import open_all
from bptt.commands.train import train
from bptt.errors import UserError
from bptt.page.html import page_html
from bptt.runs.run import load
from bptt.training.options.choosing import options_of
from support import leave_out_reports

ROWS = 60


def _series(path, gaps=False):
    y = [math.sin(i / 3) if not gaps or i % 7 else None for i in range(ROWS)]
    pl.DataFrame({"y": y, "a": [i % 5 for i in range(ROWS)], "t": list(range(ROWS))}).write_csv(path)


def _panel(path):
    rows = [(name, math.sin(i / 3 + len(name))) for name, n in (("a", 40), ("bb", 55)) for i in range(n)]
    pl.DataFrame(rows, schema=["name", "y"], orient="row").write_csv(path)


def _labelled(path):
    rows = [
        (number, step, math.sin(step / (2 + number % 2)), "ud"[number % 2])
        for number in range(12)
        for step in range(10 + number % 3)
    ]
    pl.DataFrame(rows, schema=["s", "t", "x", "l"], orient="row").write_csv(path)


def _ts(path):
    lines = [
        ",".join(f"{math.sin(step / (2 + number % 2)):.3f}" for step in range(17 + number % 4))
        + f":{'ud'[number % 2]}"
        for number in range(12)
    ]
    path.write_text("\n".join(["@classLabel true u d", "@data", *lines]) + "\n")


CLASSIFY = {"hidden": 4, "batch": 4, "readout": "both"}
KINDS = {
    "sunspots": (None, None, {}),
    "one": (_series, "d.csv", {"target": "y", "validation": 0.2}),
    "many": (_series, "d.csv", {"target": ("y", "a"), "horizon": (1, 3), "layers": 2}),
    "panel": (_panel, "d.csv", {"target": "y", "series": "name", "cell": "lstm"}),
    "masked": (lambda path: _series(path, gaps=True), "d.csv", {"target": "y", "missing": "mask"}),
    "streamed": (_series, "d.csv", {"target": "y", "reach": "truncated", "memory": "1kB"}),
    "ragged": (_ts, "p.ts", {**CLASSIFY, "class_weights": "balanced", "readout": "mean", "stride": 2}),
    "labelled": (_labelled, "d.csv", {**CLASSIFY, "series": "s", "label": "l", "time": "t"}),
    "text": (lambda path: path.write_text("so it goes, and so it went. " * 8), "t.txt", {"hidden": 4, "batch": 2}),
}
TASKS = {"ragged": "classify", "labelled": "classify", "text": "text"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder of each kind of run, trained for an epoch."""
    place = tmp_path_factory.mktemp("runs")
    for name, (write, file, choices) in KINDS.items():
        (place / name).mkdir()
        data = None if file is None else place / name / file
        if data is not None:
            write(data)
        choices = {"task": TASKS.get(name, "forecast"), "hidden": 3, "epochs": 1, **choices}
        with pytest.MonkeyPatch.context() as patched:
            leave_out_reports(patched)
            options = options_of(choices.pop("task"), {"data": data})
            train(options(data=data, out=place / name / "run", **choices))
    return place


@pytest.mark.parametrize("name", list(KINDS))
def test_every_command_reads_it(runs, name, capsys, tmp_path):
    run, kind = runs / name / "run", TASKS.get(name, "forecast")
    capsys.readouterr()
    assert check(CheckOptions(str(run), steps=8, looks=3)) == 0
    assert f", on {load(run).training_excerpt().last(8).what}" in capsys.readouterr().out
    assert explain(ExplainOptions(run, steps=3)) == 0
    assert f"\n{load(run).training_excerpt().first().last(3).what}" in capsys.readouterr().out
    assert diagnose(DiagnoseOptions(run, json=tmp_path / "n.json")) == 0
    opened = bptt.load(run)
    what = opened.training_excerpt().what
    assert (opened.folder, opened.task_name, opened.model.training) == (run, kind, False)
    assert [line["loss"] for line in opened.metrics[:-1]] == opened.losses
    assert (len(opened.losses), opened.metrics[-1]["event"]) == (1, "test")
    assert what in capsys.readouterr().out
    numbers = json.loads((tmp_path / "n.json").read_text())
    page = page_html(explorer_of(opened, None).page())
    shown = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert shown["diagnosis"] == numbers
    assert numbers["where"] == what
    assert explain(ExplainOptions(run, json=tmp_path / "e.json")) == 0
    errors = json.loads((tmp_path / "e.json").read_text())
    weights = {weight["name"]: weight["values"] for weight in shown["network"]["weights"]}
    assert torch.tensor(weights["readout.weight"]).mT.flatten().tolist() == pytest.approx(
        torch.tensor(errors["readout.weight"]).flatten().tolist()
    )
    x = torch.tensor(shown["x"][-shown["steps"] :])
    if kind == "text":
        x = one_hot(x, len(shown["labels"]))
    assert x.flatten().tolist() == pytest.approx(torch.tensor(errors["x"]).flatten().tolist())
    if kind == "text":
        assert sample(SampleOptions(run, length=5)) == 0
        with pytest.raises(UserError, match="let it write with: bptt sample"):
            opened.predict(runs / name / "t.txt")
        with pytest.raises(UserError, match="was trained on text"):
            predict(PredictOptions(run, runs / name / "t.txt"))
    elif opened.config.data is not None:
        assert predict(PredictOptions(run, opened.config.data, out=tmp_path / "p.csv")) == 0
        assert opened.predict(opened.config.data).write_csv() == (tmp_path / "p.csv").read_text()
        with pytest.raises(UserError, match="writes no text"):
            sample(SampleOptions(run))


@pytest.mark.parametrize("name", ["many", "ragged"])
def test_a_narrow_terminal_of_few_letters_shows_it_in_whole_words(runs, name, monkeypatch):
    shown = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setenv("COLUMNS", "40")
    open_all()
    assert explain(ExplainOptions(runs / name / "run", steps=3, derivation=True)) == 0
    assert check(CheckOptions(str(runs / name / "run"), steps=4, looks=3)) == 0
    shown.flush()
    text = shown.buffer.getvalue().decode("ascii")
    assert [line for line in text.splitlines() if len(line) > 40 and len(line.split()) > 1] == []
    assert "?" not in text
    assert "#" in text
    assert "^T" in text


def test_every_run_is_exported(runs, tmp_path):
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    for name in KINDS:
        assert export(ExportOptions(runs / name / "run", out=tmp_path / f"{name}.onnx")) == 0


@pytest.mark.parametrize("name", list(KINDS))
def test_the_loss_is_the_one_it_was_trained_by(runs, name):
    """A whole epoch's first loss, of those runs that take one update from what the excerpt has."""
    opened = load(runs / name / "run")
    model, x = opened.network, opened.training_excerpt().x
    found = opened.training_excerpt().criterion(model(x)[0], opened.training_excerpt().d)
    y, d = model(x)[0], opened.training_excerpt().d
    if name == "text":
        wanted = cross_entropy(y[:, 0], d[:, 0])
    elif name == "ragged":  # the mean of its outputs is read, and every class weighs the same
        wanted = cross_entropy(y.mean(0), d, opened.task.weights())
    elif name == "labelled":  # both
        wanted = cross_entropy((y[-1] + y.mean(0)) / 2, d)
    else:
        wanted = (y - d)[~d.isnan()].square().mean()
        if name == "masked":
            assert d.isnan().any()
    assert torch.allclose(found, wanted)
    numbers = d.numel() - int(d.isnan().sum())
    if name != "ragged":
        assert torch.allclose(opened.training_excerpt().errors(y, d) / numbers, wanted)


@pytest.mark.parametrize("name", ["ragged", "labelled", "text", "many"])
def test_a_run_without_its_data_is_checked_on_random_steps_by_its_own_kind_of_loss(runs, name, capsys):
    data = runs / name / KINDS[name][1]
    aside = data.rename(data.with_suffix(".aside"))
    capsys.readouterr()
    assert check(CheckOptions(str(runs / name / "run"), steps=6, looks=3)) == 0
    assert "on 6 random steps" in capsys.readouterr().out
    with pytest.raises(UserError, match="pass --data FILE"):
        diagnose(DiagnoseOptions(runs / name / "run"))
    aside.rename(data)


def test_other_data_are_read_by_forecasting_runs_alone(runs):
    data = runs / "one" / "d.csv"
    assert load(runs / "one" / "run").training_excerpt(data).what == "rows 1-59 of the 60 rows of d.csv"
    with pytest.raises(UserError, match=r"trained with task=.text."):
        load(runs / "text" / "run").training_excerpt(data)
