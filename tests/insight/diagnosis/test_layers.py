import math

import pytest
import torch

import bptt
from bptt.insight.diagnosis.layers import diagnose_layer, efold_lag, reach_of
from bptt.insight.plain_models import record_layers
from support import normal


def flat(records):
    return [walk for of_layer in records for walk in of_layer]


def layers_of(module, T=60, B=2, by_lag=None, lags=20, **weights):
    model = bptt.SequenceModel(module, 1).double()
    with torch.no_grad():
        for name, value in weights.items():
            getattr(module, name).copy_(value)
    walks = flat(record_layers(model, normal(T, B, module.input_size))[1])
    return [diagnose_layer(f"l{i}", walk, by_lag, lags) for i, walk in enumerate(walks)]


def geometric(rate, lags=30):
    return rate ** torch.arange(lags + 1, dtype=torch.float64)


@pytest.mark.parametrize("rate", [0.3, 0.5, 0.9])
def test_a_geometric_decay_has_its_lags_in_closed_form(rate):
    by_lag = geometric(rate, 80)
    assert efold_lag(by_lag) == pytest.approx(1 / -math.log(rate))
    assert reach_of(by_lag) == math.ceil(math.log(0.01) / math.log(rate)) - 1


def test_what_lies_beyond_the_lags_seen_is_counted():
    """After 40 lags 0.9^40 = 1.5 % is left, and lies beyond: the reach is not seen. After 45 it is."""
    assert reach_of(geometric(0.9, 40)) is None
    assert reach_of(geometric(0.9, 45)) == 43
    assert reach_of(torch.ones(10)) is None
    assert reach_of(geometric(1.2)) is None


def test_lags_of_what_never_falls_and_of_what_is_cut_off():
    assert efold_lag(torch.ones(5)) == math.inf
    assert efold_lag(torch.zeros(5)) == math.inf
    cut_off = torch.tensor([1.0, 0.5, 0.0, 0.0])
    assert efold_lag(cut_off) == 2
    assert reach_of(cut_off) == 1


@pytest.mark.parametrize(
    ("by_lag", "kind"),
    [
        (geometric(0.5), "vanishing"),
        (geometric(0.99), "healthy"),
        (geometric(1.1), "exploding"),
        (torch.zeros(31), "no gradient"),
    ],
)
def test_the_kind_is_what_was_measured(by_lag, kind):
    (layer,) = layers_of(bptt.RNN(1, 3, nonlinearity="identity"), by_lag=by_lag, weight_hh_l0=torch.eye(3))
    assert layer.kind == kind


@pytest.mark.parametrize(("g", "kind"), [(0.5, "vanishing"), (1.0, "healthy"), (1.5, "exploding")])
def test_without_a_gradient_by_lag_the_largest_exponent_decides(g, kind):
    (layer,) = layers_of(bptt.RNN(1, 3, nonlinearity="identity"), weight_hh_l0=g * torch.eye(3))
    assert layer.kind == kind
    assert layer.exponents[0].item() == pytest.approx(math.log(g))


def test_the_spectral_radius_and_norm_of_w_s():
    W = torch.tensor([[0.5, 100.0], [0.0, 0.4]])
    (layer,) = layers_of(bptt.RNN(1, 2), weight_hh_l0=W)
    assert layer.spectral_radius["W_s"] == pytest.approx(0.5)
    assert layer.norm["W_s"] == pytest.approx(torch.linalg.matrix_norm(W.double(), 2).item())


def test_every_gates_block_has_its_own():
    blocks = torch.cat([k * torch.eye(3) for k in (1.0, 2.0, 3.0, 4.0)])
    (layer,) = layers_of(bptt.LSTM(1, 3), weight_hh_l0=blocks)
    assert layer.spectral_radius == pytest.approx({"W_hi": 1, "W_hf": 2, "W_hg": 3, "W_ho": 4})
    (layer,) = layers_of(bptt.GRU(1, 3), weight_hh_l0=blocks[:9])
    assert layer.norm == pytest.approx({"W_hr": 1, "W_hz": 2, "W_hn": 3})
    (layer,) = layers_of(bptt.LSTM(1, 3, proj_size=2))
    assert set(layer.norm) == {"W_hi", "W_hf", "W_hg", "W_ho"}


def test_gates_by_their_biases():
    bias = torch.cat([torch.full((3,), b) for b in (-50.0, 50.0, 0.0, 0.0)])
    zeros = {"weight_ih_l0": torch.zeros(12, 1), "weight_hh_l0": torch.zeros(12, 3), "bias_ih_l0": torch.zeros(12)}
    (layer,) = layers_of(bptt.LSTM(1, 3), **zeros, bias_hh_l0=bias)
    assert layer.gates["i"] == pytest.approx((0, 1, 0))
    assert layer.gates["f"] == pytest.approx((1, 0, 1))
    assert layer.gates["o"] == pytest.approx((0.5, 0, 0))
    assert layer.saturated == 0


@pytest.mark.parametrize(
    ("nonlinearity", "input_bias", "share"),
    [
        ("tanh", 3.0, 1),
        ("tanh", 0.0, 0),
        ("relu", -1.0, 1),
        ("relu", 1.0, 0),
        ("sigmoid", 5.0, 1),
        ("identity", 9.0, 0),
    ],
)
def test_saturated_units(nonlinearity, input_bias, share):
    zeros = {"weight_ih_l0": torch.zeros(2, 1), "weight_hh_l0": torch.zeros(2, 2), "bias_hh_l0": torch.zeros(2)}
    (layer,) = layers_of(
        bptt.RNN(1, 2, nonlinearity=nonlinearity), **zeros, bias_ih_l0=torch.full((2,), input_bias)
    )
    assert layer.saturated == share


def test_large_layers_are_looked_at_in_part():
    """64 exponents at most, whatever the size of the state."""
    (layer,) = layers_of(bptt.RNN(1, 70), T=70, B=1)
    assert layer.exponents.shape == (64,)
    assert layer.singular_values.shape == (len(layer.product_lags), 70)
