import math

import polars as pl
import pytest
import torch

from bptt.commands.check import check
from bptt.commands.options import CheckOptions
from bptt.commands.train import train
from bptt.equations import GRUEquations
from bptt.errors import UserError
from bptt.runs.run import load
from bptt.training.options.forecast import ForecastOptions
from bptt.training.tensors import write_tensors


@pytest.mark.parametrize(
    "options",
    [
        {"model": "elman", "leak": 0.5},
        {"model": "rnn", "activation": "softplus", "layers": 2},
        {"model": "gru", "bidirectional": True},
        {"model": "lstm", "projection": 2},
    ],
)
def test_the_models_pass(options, capsys):
    random = torch.get_rng_state()
    assert check(CheckOptions(**options, size=(5, 2, 2, 3))) == 0
    assert torch.equal(torch.get_rng_state(), random)
    out = capsys.readouterr().out
    assert "seed 0" in out
    assert "passed: " in out.splitlines()[-1]


def test_a_wrong_adjoint_ends_with_1(monkeypatch, capsys):
    right = GRUEquations.step_adjoint
    monkeypatch.setattr(
        GRUEquations, "step_adjoint", lambda self, d, kept, w: right(self, (1.01 * d[0],), kept, w)
    )
    assert check(CheckOptions("gru", size=(5, 2, 2, 3))) == 1
    out = capsys.readouterr().out
    assert "WRONG" in out
    assert "failed: reference disagrees" in out


@pytest.fixture
def run(tmp_path, monkeypatch, unreported):
    monkeypatch.chdir(tmp_path)
    pl.DataFrame({"y": [math.sin(i / 3) for i in range(60)]}).write_csv("d.csv")
    choices = {"target": "y", "lags": 2, "validation": 0.0, "epochs": 2, "hidden": 3}
    train(ForecastOptions(data=tmp_path / "d.csv", **choices, out=tmp_path / "run"))
    return tmp_path


def test_a_run_on_its_own_data_or_on_random_ones(run, capsys):
    capsys.readouterr()
    assert check(CheckOptions("run", steps=6)) == 0
    assert "run, on the last 6 steps of rows 1-47 of the 48 training rows of d.csv" in capsys.readouterr().out
    (run / "d.csv").unlink()
    assert check(CheckOptions("run", steps=6)) == 0
    out = capsys.readouterr().out
    assert "6 random steps" in out
    assert "there is no such file" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "nowhere"}, "neither elman, rnn, gru, lstm nor a run folder"),
        ({"model": "d.csv"}, "d.csv is a file; pass a run folder"),
        ({"model": "gru", "size": (1, 0, 1, 1)}, "T, B, I, H must be at least 1"),
        ({"model": "gru", "looks": 2}, "--looks must be at least 3, got 2"),
        ({"model": "gru", "layers": 0}, "--layers must be at least 1"),
        ({"model": "gru", "seed": -1}, "--seed must be at least 0"),
        ({"model": "rnn", "leak": 0.0}, r"--leak must lie in \(0, 1\]"),
        ({"model": "lstm", "projection": 8}, "below the hidden size, 8"),
        ({"model": "elman", "layers": 2}, "--layers is no choice of elman, which takes --size"),
        ({"model": "run", "layers": 2}, "--layers is no choice of a run, which takes --steps"),
        ({"model": "gru", "steps": 5}, "--steps is no choice of gru"),
    ],
)
def test_bad_use(options, words, run):
    with pytest.raises(UserError, match=words):
        check(CheckOptions(**options))


def test_a_run_whose_weights_are_not_finite(run):
    model = load(run / "run").model
    torch.nn.init.constant_(model.network.readout.bias, math.nan)
    write_tensors(run / "run" / "model.safetensors", dict(model.state_dict()))
    with pytest.raises(UserError, match=r"readout\.bias is not finite"):
        check(CheckOptions("run"))
