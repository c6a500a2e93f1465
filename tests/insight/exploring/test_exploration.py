import dataclasses
import json

import pytest
import torch

import bptt
from bptt.insight.exploring.exploration import NUMBERS, explore, most_steps, rounded
from support import normal


def elman(H=3, **choices):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return bptt.Elman(2, H, 1, dtype=torch.float64, **choices)


def model(cell, layers=1, H=4):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return bptt.SequenceModel(cell(2, H, layers, dtype=torch.float64), 1)


def as_json(found):
    return json.dumps(
        found, default=lambda o: {f.name: getattr(o, f.name) for f in dataclasses.fields(o)}, allow_nan=False
    )


def test_its_numbers_are_those_of_the_explanation():
    net, x, d = elman(leak=0.5), normal(5, 2), normal(5, 1, seed=1)
    found = explore(net, x, d)
    assert (found.cell, found.activation, found.leak, found.steps, found.units) == ("elman", "tanh", 0.5, 5, 3)
    y, s = net(x)[0], net.hidden(x)
    assert found.forward.outputs == rounded(y)
    assert found.forward.states["l0"] == rounded(s)
    assert found.forward.products["W_x"] == rounded(x @ net.W_x)
    for t in range(1, 6):
        e = bptt.explain(net, x, d, t=t)
        assert found.forward.errors[t - 1] == rounded(e.error)
        assert found.backward.states["l0"][t - 1] == rounded(e.state_gradient.flip(0), 4)
        assert found.backward.parts["W_s"][t - 1] == rounded(e.contributions["W_s"].flip(0), 4)
        assert found.backward.total["W_y"][t - 1] == rounded(e.gradient["W_y"].norm())


def test_slopes_are_the_derivative_at_the_preactivations():
    net, x, d = elman(activation="gelu", bias=True), normal(4, 2), normal(4, 1, seed=1)
    s = net.hidden(x)
    a = (x @ net.W_x + torch.cat([torch.zeros(1, 3), s[:-1]]) @ net.W_s + net.b_s).detach().requires_grad_()
    torch.nn.functional.gelu(a).sum().backward()
    assert explore(net, x, d).forward.slopes["l0"] == rounded(a.grad)


@pytest.mark.parametrize(("cell", "layers"), [(bptt.RNN, 2), (bptt.GRU, 1), (bptt.LSTM, 2)])
def test_every_cell_and_its_layers(cell, layers):
    found = explore(model(cell, layers), normal(30, 2), normal(30, 1, seed=1))
    assert found.layers == [f"l{i}" for i in range(layers)]
    assert [w.role for w in found.weights if w.layer is None] == ["readout", "readout_bias"]
    assert found.backward.kept == 24
    weight = next(w.name for w in found.weights if w.role == "recurrent")
    for t in range(30):
        shares = found.backward.share[weight][t]
        assert sum(shares) + found.backward.earlier[weight][t] == pytest.approx(float(t > 0), abs=1e-2)
    as_json(found)


def test_a_long_sequence_keeps_fewer_numbers_and_a_coarser_map():
    net = model(bptt.RNN, H=12)
    found = explore(net, normal(250, 2), normal(250, 1, seed=1))
    assert found.backward.detail == "norms"
    assert (found.backward.states, found.backward.parts) == ({}, {})
    assert found.heat[0].step == 3
    assert len(found.heat[0].values) == 84
    assert len(as_json(found)) < 10 * NUMBERS * 2


def test_a_map_holds_the_norms_themselves_where_it_is_not_coarser():
    found = explore(elman(), normal(6, 2), normal(6, 1, seed=1))
    flow, heat = found.backward.flow["l0"], found.heat[0]
    assert (heat.name, heat.kind, heat.step) == ("l0", "flow", 1)
    assert heat.values[4] == pytest.approx(flow[4][::-1], rel=1e-2)
    assert found.lags["l0"][0] == pytest.approx(sum(row[0] for row in flow) / 6, rel=1e-3)


def test_what_is_not_finite_is_none():
    net = elman(activation="relu")
    net.W_s = 1e200 * torch.eye(3, dtype=torch.float64)
    found = explore(net, normal(6, 2).abs(), normal(6, 1, seed=1))
    assert None in found.forward.errors
    as_json(found)


def test_histograms_count_every_value():
    found = explore(elman(), normal(6, 2), normal(6, 1, seed=1))
    assert sum(found.histograms["l0"].counts) == 18


def test_what_cannot_be_explored_is_said():
    with pytest.raises(ValueError, match=r"one sequence \(T, I\)"):
        explore(elman(), normal(2, 5, 2), normal(2, 5, 1))
    both = bptt.SequenceModel(bptt.GRU(2, 3, bidirectional=True), 1)
    with pytest.raises(ValueError, match="bidirectional"):
        explore(both, normal(5, 2).float(), normal(5, 1).float())
    large = bptt.SequenceModel(bptt.LSTM(2, 500), 1)
    assert most_steps(large) < 200
    with pytest.raises(ValueError, match="at most"):
        explore(large, normal(200, 2).float(), normal(200, 1).float())


def test_rounding_keeps_significant_digits():
    values = torch.tensor([0.0, 123456.0, -0.000123456, 1e-300, float("inf")], dtype=torch.float64)
    assert rounded(values, 3) == [0.0, 123000.0, -0.000123, 1e-300, None]
