import dataclasses
import math

import pytest
import torch

import bptt
from support import normal


def diagnosed(model=None, T=60, lag=3):
    model = model or bptt.Elman(1, 4, 1, dtype=torch.float64)
    x = normal(T, 1)
    return bptt.diagnose(
        model, x, torch.cat([torch.zeros(lag, 1, dtype=torch.float64), x[:-lag]]), bptt.squared_error
    )


def test_first_the_verdict_then_the_reasons_then_the_remedies():
    found = diagnosed()
    blocks = str(found).split("\n\n")
    assert " ".join(blocks[0].split()) == found.sentence
    assert blocks[1].startswith("l0, Elman: fading, as it may; ")
    assert [block.split()[0] for block in blocks[2:]] == ["data", "gradient", "what"]
    assert [row[2] for row in blocks[-1].splitlines()[1:] if row[3] == "."] == [
        str(number) for number in range(1, len(found.remedies) + 1)
    ]


def test_rows_are_short_enough_to_read():
    assert max(map(len, str(diagnosed(bptt.GRU(1, 1, 2).double(), T=200)).splitlines())) <= 100


def test_the_numbers_are_the_diagnosiss():
    found = diagnosed()
    (layer,) = found.layers
    text = str(found)
    assert f"spectral radius {layer.spectral_radius['W_s']:.3g}, norm {layer.norm['W_s']:.3g}" in text
    assert f"beyond lag {layer.reach}" in " ".join(text.split())
    assert f"falls to 1/e in {layer.efold_lag:.1f} steps" in text
    assert f"Lyapunov {layer.exponents[0].item():.3g}" in text
    assert f"{found.gradient_norms.clip:.3g} at the 90th percentile" in text
    assert "x back to lag 3 predicts d" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"efold_lag": math.inf}, "does not fall to 1/e"),
        ({"reach": None}, "more than 1 % comes from beyond the 39 lags"),
        ({"gradient_by_lag": None}, "not available"),
        ({"exponents": torch.tensor([-math.inf, -math.inf])}, "e^λ_1 = 0 a step"),
        ({"gradient_by_lag": 2.0 ** torch.arange(40)}, "256 x"),
    ],
)
def test_odd_layers(change, words):
    found = diagnosed()
    found = dataclasses.replace(found, layers=[dataclasses.replace(found.layers[0], **change)])
    assert words in " ".join(str(found).split())


def test_lags_are_shown_until_nothing_is_left():
    found = diagnosed()
    fading = dataclasses.replace(found.layers[0], gradient_by_lag=0.1 ** torch.arange(40.0))
    rows = str(dataclasses.replace(found, layers=[fading])).splitlines()
    assert [row.split()[1:3] for row in rows if row.startswith("  lag ")] == [
        ["0", "100.00%"],
        ["1", "10.00%"],
        ["2", "1.00%"],
        ["4", "0.01%"],
        ["8", "<0.01%"],
    ]


def test_odd_data_and_norms():
    found = diagnosed()
    unknown = dataclasses.replace(found, memory=None, unmeasured="pass d")
    assert "what it needs is not measured: pass d" in str(unknown)
    nothing = dataclasses.replace(found.memory, lag=None, r2=[0.01] * len(found.memory.lags))
    assert "no lag of x" in str(dataclasses.replace(found, memory=nothing))
    alone = dataclasses.replace(found.memory, lag=0)
    assert "x_t alone predicts d" in str(dataclasses.replace(found, memory=alone))
    one = dataclasses.replace(found.gradient_norms, norms=torch.ones(1))
    assert "over all 60 steps\n" in str(dataclasses.replace(found, gradient_norms=one))


def test_lines_are_as_wide_as_the_terminal_or_80_characters(monkeypatch):
    x = torch.sin(torch.arange(40.0))[:, None]
    found = bptt.diagnose(bptt.Elman(1, 3, 1), x, x, bptt.squared_error)
    assert max(map(len, str(found).splitlines())) <= 80
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    assert 80 < max(map(len, str(found).splitlines())) <= 120
