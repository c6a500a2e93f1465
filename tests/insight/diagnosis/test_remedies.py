"""Remedies, and that the code they name does what they say."""

import math
import re

import pytest
import torch

import bptt
from bptt.equations import ElmanEquations, Weights
from bptt.insight.diagnosis.clipping import GradientNorms
from bptt.insight.diagnosis.remedies import LayerPlace, remedies
from bptt.insight.diagnosis.verdict import Verdict
from support import normal


def diagnosed(model, lag=None, T=200, x=None):
    x = normal(T, 1, dtype=torch.float32) if x is None else x
    y = model(x)[0]
    d = normal(*y.shape, seed=1, dtype=torch.float32)
    if lag is not None:
        d = torch.cat([torch.zeros(lag, 1), x[:-lag]]).expand_as(d)
    return bptt.diagnose(model, x, d, bptt.squared_error), x, d


def run(remedy, model):
    """Run the statement a remedy names."""
    (code,) = re.findall(
        r"(for W in .*?orthogonal_\(W\)|torch\.nn\.init\.\w+\(model\S+\)|model\.\S+\[\S+\] = [\d.]*\d)", remedy
    )
    exec(code, {"torch": torch, "model": model})


def model_of(recurrent):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return bptt.SequenceModel(recurrent(), 1)


def elman(g, activation="tanh", leak=1.0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = bptt.Elman(1, 8, 1, activation, leak=leak)
    model.W_s = g * torch.linalg.qr(normal(8, 8, dtype=torch.float32)).Q
    return model


def test_a_small_w_s_is_initialised_anew_and_then_reaches_further():
    model = elman(0.3)
    before, x, d = diagnosed(model, lag=15)
    assert before.remedies[0].startswith("Initialise")
    said = " ".join(before.remedies)
    assert all(words in said for words in ("leak=0.064", "gated cell"))  # as a remedy, or as what is not advised
    run(before.remedies[0], model)
    after = bptt.diagnose(model, x, d, bptt.squared_error)
    assert after.layers[0].spectral_radius["W_s"] == pytest.approx(1, abs=1e-5)
    assert after.layers[0].efold_lag > 2 * before.layers[0].efold_lag


def test_the_leak_named_reaches_as_far_as_the_data_needs():
    found, x, d = diagnosed(elman(0.3), lag=15)
    leak = float(re.search(r"leak=(\d+\.\d+)", " ".join(found.remedies)).group(1))
    assert not found.enough
    assert bptt.diagnose(elman(0.3, leak=leak), x, d, bptt.squared_error).enough


def test_a_radius_above_1_is_not_told_to_be_initialised():
    model = elman(1.2)
    model.W_x = torch.ones(1, 8)
    found, _, _ = diagnosed(model, lag=40)
    assert found.kind == "vanishing"
    assert found.remedies[0].startswith("Leaky")
    assert "k2 - k1 at 40" in found.remedies[-1]


@pytest.mark.parametrize(("recurrent", "gate"), [(lambda: bptt.LSTM(1, 8), "f"), (lambda: bptt.GRU(1, 8), "z")])
def test_the_gates_bias_opens_the_gate_for_as_long_as_the_data_needs(recurrent, gate):
    model = model_of(recurrent)
    before, x, d = diagnosed(model, lag=25)
    assert not before.enough
    assert "[8:16] = 3.2" in before.remedies[0]  # σ(3.2) = 1 - 1/25
    run(before.remedies[0], model)
    after = bptt.diagnose(model, x, d, bptt.squared_error)
    assert after.layers[0].gates[gate].mean > 0.9
    assert after.enough


def test_a_remedy_is_for_both_directions_where_both_fade():
    model = model_of(lambda: bptt.LSTM(1, 8, bidirectional=True))
    found, _, _ = diagnosed(model)
    both = "model.bias_hh_l0.data[8:16] = model.bias_hh_l0_reverse.data[8:16] = 1. "
    opened, initialised, *_ = (remedy.replace("recurrent.", "") for remedy in found.remedies)
    assert both in opened
    assert "(*model.weight_hh_l0.data.chunk(4), *model.weight_hh_l0_reverse.data.chunk(4))" in initialised
    run(found.remedies[1], model)
    for W in (model.recurrent.weight_hh_l0, model.recurrent.weight_hh_l0_reverse):
        assert torch.allclose(W[:8] @ W[:8].T, torch.eye(8), atol=1e-5)


def test_where_the_need_is_not_known_the_gates_remedy_says_which_bias_keeps_how_long():
    x, label = normal(60, 2, 1, dtype=torch.float32), torch.ones(2)

    def at_the_end(y, d):
        return (y[-1, :, 0] - d).square().mean()

    found = bptt.diagnose(model_of(lambda: bptt.LSTM(1, 8)), x, label, at_the_end)
    assert "= 1. " in found.remedies[0]
    assert f"{math.log(49):.1f} for 50 steps" in found.remedies[0]


def test_gates_without_a_bias_are_given_one():
    found, _, _ = diagnosed(model_of(lambda: bptt.LSTM(1, 8, bias=False)))
    assert "bptt.LSTM(..., bias=True)" in found.remedies[0]


def test_saturated_units_come_first():
    model = elman(0.3)
    model.W_x = torch.full((1, 8), 50.0)
    found, _, _ = diagnosed(model)
    assert found.remedies[0].startswith("Unsaturate")
    assert "model.W_x.data" in found.remedies[0]


def test_an_explosion_is_clipped_initialised_and_cut_short():
    found, _, _ = diagnosed(elman(3.0, "identity"), T=20)
    clip, initialise, truncate = sorted(found.remedies, key=lambda remedy: remedy.split(":")[0])
    assert clip.startswith("Clip")
    assert initialise.startswith("Initialise orthogonally: torch.nn.init.orthogonal_(model.W_s)")
    assert "k2 of at most 2 steps" in truncate  # 3^2 < 10 < 3^3


@pytest.mark.parametrize(
    ("norms", "place", "words"),
    [
        (
            torch.linspace(1, 2, 101),
            0,
            r"model.parameters\(\), 1.9\).*--clip 1.9.*90th percentile.* 101 windows of 7 steps",
        ),
        (
            torch.logspace(0, 10, 101),
            -1,
            r"model.parameters\(\), 10\).*10th percentile.* 1e\+08-fold, not enough alone",
        ),
        (torch.tensor([5.0]), 0, r"model.parameters\(\), 1\).*norm is 6 over the 7 steps"),
    ],
)
def test_the_clipping_value_comes_from_the_norms_seen(norms, place, words):
    """Where they spread too far for one value, it is the last remedy and not the first."""
    found, _, _ = diagnosed(elman(3.0, "identity"), T=20)
    elmans = LayerPlace(found.layers[0], ElmanEquations(), Weights("W_x", "W_s"), 8, 1)
    told = Verdict("exploding", "", None)
    assert re.search(words, remedies(told, [elmans], None, GradientNorms(7, norms, 6.0))[place].text)


def test_each_gates_block_is_initialised_by_the_line_named():
    model = model_of(lambda: bptt.GRU(1, 8))
    found, x, d = diagnosed(model)
    run(found.remedies[1], model)
    after = bptt.diagnose(model, x, d, bptt.squared_error).layers[0]
    assert list(after.norm.values()) == pytest.approx([1, 1, 1], abs=1e-5)


def test_relu_wants_the_identity():
    found, _, _ = diagnosed(elman(0.3, "relu"))
    assert "torch.nn.init.eye_(model.W_s)" in " ".join(found.remedies)


def test_names_of_a_module_on_its_own_are_its_own():
    found, _, _ = diagnosed(bptt.LSTM(1, 8, num_layers=2))
    assert "model.bias_hh_l0.data" in found.remedies[0]


def test_where_nothing_is_wrong_nothing_has_to_be_done():
    found, _, _ = diagnosed(elman(0.5), lag=2)
    (only,) = found.remedies
    assert only.startswith("Nothing has to be done")
    assert diagnosed(elman(1.0, "identity"), T=30)[0].remedies == []
