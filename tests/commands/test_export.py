import json

import numpy as np
import onnxruntime
import polars as pl
import pytest

import bptt
from bptt.commands.export import export
from bptt.commands.options import ExportOptions
from bptt.commands.train import train
from bptt.errors import UserError
from bptt.training.data.tables import sunspots
from bptt.training.options.classify import ClassifyOptions
from bptt.training.options.forecast import SunspotOptions


@pytest.fixture
def run(tmp_path, unreported):
    train(SunspotOptions(epochs=2, lags=3, out=tmp_path / "run"))
    return tmp_path / "run"


def test_the_file_forecasts_what_the_run_forecast(run, capsys):
    """By onnxruntime and numpy alone, from the file and its metadata."""
    capsys.readouterr()
    assert export(ExportOptions(run)) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{run / 'model.onnx'}: x -> y\n{run / 'model.json'}: ")
    assert f"python {run / 'predict.py'} DATA\n" in said
    assert "at most" in said
    session = onnxruntime.InferenceSession(str(run / "model.onnx"))
    facts = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    assert (facts["columns"], facts["lags"], facts["horizons"]) == (["sunspots"], [0, 1, 2], [1])
    scaled = (sunspots().values - facts["mean"]) / facts["std"]
    x = np.concatenate([scaled[2 - lag : len(scaled) - lag] for lag in range(3)], axis=1)
    y = session.run(None, {"x": x[:, None].astype(np.float32)})[0]
    found = y[:, 0, 0] * facts["std"][0] + facts["mean"][0]
    wanted = pl.read_csv(run / "forecast.csv")["forecast"].to_numpy()
    assert np.abs(found - wanted).max() < 1e-3


def test_the_file_classifies_as_the_run_did(tmp_path):
    """By onnxruntime and numpy alone: steps side by side, and both read-outs."""
    (tmp_path / "p.ts").write_text(
        "@classLabel true a b\n@data\n"
        + "".join(f"{i % 2},{i % 5},3,{i % 3},2:{'ab'[i % 2]}\n" for i in range(12))
    )
    choices = {"epochs": 3, "hidden": 4, "batch": 4, "stride": 2, "readout": "both"}
    train(ClassifyOptions(data=tmp_path / "p.ts", out=tmp_path / "run", **choices))
    assert export(ExportOptions(tmp_path / "run")) == 0
    session = onnxruntime.InferenceSession(str(tmp_path / "run" / "model.onnx"))
    facts = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    assert (facts["stride"], facts["readout"]) == (2, "both")
    found = bptt.load(tmp_path / "run").predict(tmp_path / "p.ts")
    for i, wanted in enumerate(found["probability of a"]):
        scaled = (np.array([i % 2, i % 5, 3, i % 3, 2]) - facts["mean"]) / facts["std"]
        x = np.concatenate([scaled[:1], scaled]).reshape(3, 1, 2).astype(np.float32)
        y = session.run(["y"], {"x": x})[0][:, 0]
        a, b = (y[-1] + y.mean(0)) / 2
        assert 1 / (1 + np.exp(b - a)) == pytest.approx(wanted, abs=1e-5)


def test_a_stream_has_the_state_beside_x_and_y(run, capsys):
    capsys.readouterr()
    assert export(ExportOptions(run, state=True)) == 0
    said = capsys.readouterr().out
    assert "x, h_0 -> y, h_n\n" in said
    assert "no script that predicts: " in said


def test_nothing_is_overwritten(run, tmp_path):
    assert export(ExportOptions(run, out=tmp_path / "m.onnx")) == 0
    with pytest.raises(UserError, match="exists already"):
        export(ExportOptions(run, out=tmp_path / "m.onnx"))
    (tmp_path / "n.json").touch()
    with pytest.raises(UserError, match=r"n\.json exists already"):
        export(ExportOptions(run, out=tmp_path / "n.onnx"))
    with pytest.raises(UserError, match="no folder"):
        export(ExportOptions(run, out=tmp_path / "nowhere" / "m.onnx"))


def test_what_is_missing_is_said(run, monkeypatch, tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        export(ExportOptions(tmp_path / "nowhere"))

    def missing():
        raise ModuleNotFoundError('pip install "bptt[onnx]"')

    monkeypatch.setattr("bptt.export.file.onnx", missing)
    with pytest.raises(UserError, match="pip install"):
        export(ExportOptions(run))
    assert not (run / "model.onnx").exists()
