import json
import math

import polars as pl
import pytest
import torch

from bptt.commands.diagnose import diagnose
from bptt.commands.explain import explain
from bptt.commands.opening import explorer_of
from bptt.commands.options import DiagnoseOptions, ExplainOptions
from bptt.commands.train import train
from bptt.errors import UserError
from bptt.runs.run import load
from bptt.training.options.forecast import ForecastOptions, SunspotOptions
from bptt.training.tensors import read_tensors, write_tensors


def write(path, rows):
    pl.DataFrame({"y": [math.sin(i / 3) for i in rows], "a": [i % 5 for i in rows]}).write_csv(path)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("d.csv", range(100))
    choices = {"target": "y", "input": (("a",),), "lags": 2, "validation": 0.0, "epochs": 2}
    train(ForecastOptions(data=tmp_path / "d.csv", **choices, out=tmp_path / "run"))
    return tmp_path


def test_the_sunspot_run(tmp_path, capsys):
    train(SunspotOptions(epochs=2, out=tmp_path / "run"))
    capsys.readouterr()
    assert diagnose(DiagnoseOptions(tmp_path / "run")) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(
        f"{tmp_path / 'run'}: elman network, 12 units; rows 1-220 of the 221 training rows of the embedded yearly "
    )
    for words in ("l0, Elman: ", "spectral radius", "Lyapunov", "data", "gradient norm"):
        assert words in shown


def test_a_network_that_the_forecasts_leave_out_is_said(run, capsys):
    path = run / "run" / "model.safetensors"
    weights = read_tensors(path)
    for share, is_said in ((1.0, False), (0.0, True)):
        write_tensors(path, weights | {"share": torch.full_like(weights["share"], share)})
        capsys.readouterr()
        assert diagnose(DiagnoseOptions(run / "run", lags=20)) == 0
        assert ("leave the network out" in capsys.readouterr().out) == is_said
        assert explain(ExplainOptions(run=run / "run", steps=5)) == 0
        shown = capsys.readouterr().out
        assert "not about that part" in shown
        assert ("leave the network out" in shown) == is_said
        assert ("leave the network out" in " ".join(explorer_of(load(run / "run"), 5).lead)) == is_said


def test_the_runs_own_training_rows_and_every_number_as_json(run):
    assert diagnose(DiagnoseOptions(run / "run", lags=20, json=run / "n.json")) == 0
    numbers = json.loads((run / "n.json").read_text())
    assert numbers["steps"] == 78  # 80 rows of 100 learned from, 2 lags, 1 ahead
    assert numbers["lags"] == 20
    assert len(numbers["layers"][0]["gradient_by_lag"]) == 21
    assert all(radius > 0 for radius in numbers["layers"][0]["spectral_radius"].values())
    with pytest.raises(UserError, match=r"exists already.*--json"):
        diagnose(DiagnoseOptions(run / "run", json=run / "n.json"))


def test_other_data(run, capsys):
    write("new.csv", range(30))
    capsys.readouterr()
    assert diagnose(DiagnoseOptions(run / "run", data=run / "new.csv")) == 0
    assert "rows 1-29 of the 30 rows of new.csv" in capsys.readouterr().out
    write("short.csv", range(5))
    with pytest.raises(UserError, match="3 steps with a target; at least 8"):
        diagnose(DiagnoseOptions(run / "run", data=run / "short.csv"))


def test_what_is_odd_about_other_data_is_said_in_a_line(run, capsys):
    frame = pl.DataFrame({"y": [math.sin(i) for i in range(40)], "a": [i % 5 for i in range(40)]})
    frame = pl.concat([frame.with_columns(who=pl.lit(who)) for who in ("b", "c")])
    frame.write_csv(run / "long.csv")
    train(ForecastOptions(data=run / "long.csv", target="y", series="who", epochs=1, out=run / "many"))
    dead = frame.filter(who="b").with_columns(who=pl.lit("dead"), y=None)
    pl.concat([frame, dead]).write_csv(run / "odd\x1b.csv")
    capsys.readouterr()
    assert diagnose(DiagnoseOptions(run / "many", data=run / "odd\x1b.csv")) == 0
    why = r"odd\x1b.csv, series 'dead': column 'y' has no values at all"
    assert capsys.readouterr().err == f"bptt diagnose: warning: series 'dead' is left out: {why}\n"


def test_what_cannot_be_diagnosed(run):
    with pytest.raises(UserError, match="no such folder"):
        diagnose(DiagnoseOptions(run / "nowhere"))
    with pytest.raises(UserError, match="--lags"):
        diagnose(DiagnoseOptions(run / "run", lags=0))
    with pytest.raises(UserError, match="cannot be written"):
        diagnose(DiagnoseOptions(run / "run", json=run / "no" / "n.json"))
    (run / "d.csv").unlink()
    with pytest.raises(UserError, match=r"own data cannot be used.*--data FILE"):
        diagnose(DiagnoseOptions(run / "run"))
