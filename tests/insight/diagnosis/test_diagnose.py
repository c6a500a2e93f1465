"""Verdicts on networks whose answer is known."""

import json
import math

import pytest
import torch

import bptt
from bptt.insight.diagnosis.diagnose import diagnose
from support import assert_close, normal


def linear(g=1.0, W=None, T=60):
    """A linear network with W_s = g times a rotation, or W, on data nothing can be learned from."""
    net = bptt.Elman(1, 5, 1, "identity", dtype=torch.float64)
    net.W_s = g * torch.linalg.qr(normal(5, 5)).Q if W is None else W
    return net, normal(T, 1), normal(T, 1, seed=1)


@pytest.mark.parametrize(("g", "kind"), [(0.5, "vanishing"), (1.0, "healthy"), (1.5, "exploding")])
def test_scaled_rotations(g, kind):
    found = diagnose(*linear(g), bptt.squared_error)
    (layer,) = found.layers
    assert found.kind == layer.kind == kind
    by_lag = layer.gradient_by_lag
    assert_close(by_lag / by_lag[0], g ** torch.arange(len(by_lag), dtype=torch.float64), "by lag", 1e-10)
    assert torch.allclose(layer.exponents, torch.full((5,), math.log(g), dtype=torch.float64), atol=1e-12)
    assert layer.spectral_radius["W_s"] == pytest.approx(g)
    powers = g ** torch.tensor(layer.product_lags, dtype=torch.float64)
    assert_close(layer.singular_values, powers[:, None].expand(-1, 5), "products", 1e-10)
    if g == 0.5:
        assert (layer.efold_lag, layer.reach) == (pytest.approx(1 / math.log(2)), 6)


def test_a_diagonal():
    diagonal = torch.tensor([0.9, 0.7, 0.5, 0.3, 0.1], dtype=torch.float64)
    (layer,) = diagnose(*linear(W=diagonal.diag()), bptt.squared_error).layers
    assert_close(layer.exponents, diagonal.log(), "exponents", 1e-12)


def test_an_identity_relu_network_is_healthy():
    """The IRNN of Le et al. (2015): it hands on what it has, whatever comes in above 0."""
    model = bptt.SequenceModel(bptt.RNN(1, 4, nonlinearity="relu"), 1)
    torch.nn.init.eye_(model.recurrent.weight_hh_l0)
    torch.nn.init.ones_(model.recurrent.weight_ih_l0)
    with torch.no_grad():
        model.recurrent.bias_ih_l0.zero_()
        model.recurrent.bias_hh_l0.zero_()
    found = diagnose(
        model,
        normal(60, 1, dtype=torch.float32).abs() / 60,
        normal(60, 1, dtype=torch.float32),
        bptt.squared_error,
    )
    assert found.kind == "healthy"
    assert found.layers[0].exponents.tolist() == pytest.approx([0] * 4, abs=1e-12)


def test_a_contractive_tanh_network_at_zero_input_vanishes_at_its_slowest_eigenvalue():
    net = bptt.Elman(1, 4, 1, dtype=torch.float64)
    V, eigenvalues = normal(4, 4), torch.tensor([0.6, 0.3, 0.2, 0.1], dtype=torch.float64)
    net.W_s = V @ eigenvalues.diag() @ V.inverse()
    found = diagnose(
        net, torch.zeros(200, 1, dtype=torch.float64), torch.ones(200, 1, dtype=torch.float64), bptt.squared_error
    )
    assert found.kind == "vanishing"
    assert found.layers[0].exponents.tolist() == pytest.approx(eigenvalues.log().tolist(), abs=1e-3)


def test_a_chaotic_network_explodes():
    net = bptt.Elman(1, 100, 1, dtype=torch.float64)
    net.W_s = 3 / 10 * normal(100, 100)
    x = torch.zeros(150, 1, dtype=torch.float64)
    x[0] = 1
    found = diagnose(net, x, normal(150, 1), bptt.squared_error)
    assert found.kind == "exploding"
    assert 0.2 < found.layers[0].exponents[0] < 0.4
    assert "clip_grad_norm_" in found.remedies[0]


def test_growth_that_passes_is_exploding_too_and_its_reason_said():
    """Eigenvalues of 0.5, and a norm of 50: a gradient grows thirtyfold before it fades."""
    W = 0.5 * torch.eye(5, dtype=torch.float64)
    W[0, 1] = 50
    net, x, d = linear(W=W)
    net.W_y = [[0.0], [1], [0], [0], [0]]
    net.W_s = W.T if diagnose(net, x, d, bptt.squared_error).kind != "exploding" else W
    found = diagnose(net, x, d, bptt.squared_error)
    assert found.kind == "exploding"
    assert "spectral radius 0.5" in str(found)
    assert found.layers[0].exponents[0] < 0


def test_what_the_data_needs_is_set_beside_what_the_gradient_reaches():
    net, x, _ = linear(0.5, T=300)
    for lag, enough in ((3, True), (20, False)):
        d = torch.cat([torch.zeros(lag, 1, dtype=torch.float64), x[:-lag]])
        found = diagnose(net, x, d, bptt.squared_error)
        assert found.kind == "vanishing"
        assert found.memory.lag == lag
        assert found.enough is enough
        assert ("Nothing to mend" in found.sentence) is enough
        assert ("Nothing has to be done" in found.remedies[0]) is enough
    healthy = diagnose(linear(1.0)[0], x, d, bptt.squared_error)
    assert healthy.enough
    assert "the data needs about 20 steps" in healthy.sentence


def test_no_gradient():
    net, x, _ = linear()
    net.W_y = torch.zeros(5, 1)
    found = diagnose(net, x, torch.zeros_like(x), bptt.squared_error)
    assert found.kind == "no gradient"
    assert "nan" not in str(found)
    dead = bptt.SequenceModel(bptt.RNN(1, 3, 2, nonlinearity="relu"), 1)
    torch.nn.init.constant_(dead.recurrent.bias_ih_l1, -100)
    found = diagnose(dead, x.float(), torch.ones_like(x).float(), bptt.squared_error)
    assert found.kind == "no gradient"
    assert "l0" in found.sentence or "l1" in found.sentence


def test_numbers_that_are_not_finite_are_told_by_name():
    net, x, d = linear(1.5, T=2000)
    found = diagnose(net, x, d, bptt.squared_error)
    assert found.kind == "non-finite"
    assert "l0 are not finite from step 17" in found.sentence  # 1.5^1750 is 10^308
    net.W_x = [[math.nan] * 5]
    assert "W_x" in diagnose(net, x, d, bptt.squared_error).sentence
    net = linear()[0]
    found = diagnose(net, x[:60], d[:60], lambda y, d: (y - d).sum() * math.inf)
    assert found.kind == "non-finite"
    assert found.remedies
    json.dumps(found.numbers(), allow_nan=False)


MODELS = {
    "stack": lambda: bptt.SequenceModel(bptt.GRU(2, 4, num_layers=2, dropout=0.5), 3),
    "batch first": lambda: bptt.SequenceModel(bptt.LSTM(2, 4, batch_first=True), 3),
    "projected": lambda: bptt.SequenceModel(bptt.LSTM(2, 4, proj_size=3), 3),
    "bare": lambda: bptt.RNN(2, 3),
    "torch's": lambda: torch.nn.GRU(2, 3),
    "half": lambda: bptt.SequenceModel(bptt.GRU(2, 4), 3).to(torch.bfloat16),
    "lesson": lambda: bptt.Elman(2, 4, 3),
}


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("batch", [None, 3])
def test_every_network_and_layout_gets_a_report_and_stays_as_it_is(name, batch):
    model = MODELS[name]()
    dtype = next(model.parameters()).dtype
    first = getattr(model, "batch_first", False) and batch
    shape = (20,) if batch is None else (batch, 20) if first else (20, batch)
    x, d = normal(*shape, 2, dtype=dtype), normal(*shape, 3, dtype=dtype)
    before = {n: p.clone() for n, p in model.state_dict().items()}
    random = torch.get_rng_state()
    found = diagnose(model, x, d, torch.nn.MSELoss())
    assert torch.equal(torch.get_rng_state(), random)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(p, before[n]) for n, p in model.state_dict().items())
    assert [layer.layer for layer in found.layers] == ["l0", "l1"][: len(found.layers)]
    assert found.sentence in " ".join(str(found).split())
    json.dumps(found.numbers(), allow_nan=False)


def test_a_batch_of_one_is_its_sequence():
    model = bptt.SequenceModel(bptt.LSTM(2, 4), 3).double()
    x, d = normal(20, 2), normal(20, 3)
    one, batch = (
        diagnose(model, x, d, bptt.squared_error),
        diagnose(model, x[:, None], d[:, None], bptt.squared_error),
    )
    assert one.numbers() == batch.numbers()


def test_the_criterions_reduction_changes_no_rate():
    net = bptt.Elman(2, 4, 3, softmax=True, dtype=torch.float64)
    x, d = normal(2, 30, 2), normal(2, 30, 3).argmax(-1)
    named = diagnose(net, x, d, bptt.cross_entropy)
    mean = diagnose(net, x, d, lambda y, d: torch.nn.functional.nll_loss(y.log().flatten(0, 1), d.flatten()))
    for a, b in ((named.layers[0], mean.layers[0]),):
        assert_close(
            a.gradient_by_lag / a.gradient_by_lag[0], b.gradient_by_lag / b.gradient_by_lag[0], "lags", 1e-9
        )
        assert torch.equal(a.exponents, b.exponents)
    assert named.gradient_norms.whole == pytest.approx(60 * mean.gradient_norms.whole)


def test_a_loss_of_the_last_step_alone():
    model = bptt.SequenceModel(bptt.GRU(2, 4), 3).double()
    found = diagnose(model, normal(20, 3, 2), torch.tensor([0, 1, 2]), lambda y, d: bptt.cross_entropy(y[-1], d))
    assert found.layers[0].gradient_by_lag[0] > 0
    assert found.lags == 19
    assert found.memory is None  # of three targets nothing can be said
    assert found.gradient_norms.window == 20
    x = normal(60, 20, 2)
    model = bptt.SequenceModel(bptt.GRU(2, 4, batch_first=True), 1).double()
    found = diagnose(model, x, x[:, 13, :1], lambda y, d: (y[:, -1] - d).square().mean())
    assert found.memory.lag == 6


def test_the_error_of_one_step_alone():
    model = bptt.SequenceModel(bptt.GRU(2, 4, batch_first=True), 2).double()
    x, d = normal(3, 20, 2), normal(3, 20, 2, seed=1)
    found = diagnose(model, x, d, torch.nn.MSELoss(), t=9)
    norms = bptt.contributions(model, x, d, torch.nn.MSELoss(), t=9).gradient.values()
    assert found.gradient_norms.whole == pytest.approx(torch.stack([g.norm() for g in norms]).norm().item())
    assert found.lags == 8
    alone = [bptt.contributions(model, x[b], d[b], torch.nn.MSELoss(), t=9).by_lag.states["l0"] for b in range(3)]
    assert_close(3 * found.layers[0].gradient_by_lag, torch.stack(alone).mean(0)[:9], "by lag", 1e-12)


def test_both_directions_are_judged_by_their_exponents():
    model = bptt.SequenceModel(bptt.GRU(2, 4, bidirectional=True), 1)
    found = diagnose(model, torch.zeros(200, 2), torch.ones(200, 1), bptt.squared_error)
    assert [layer.layer for layer in found.layers] == ["l0", "l0_reverse"]
    assert all(layer.gradient_by_lag is None for layer in found.layers)
    assert found.kind == "vanishing"
    assert found.enough is None
    assert "not available" in str(found)
    x = normal(400, 1).float()
    model = bptt.SequenceModel(bptt.GRU(1, 4, bidirectional=True), 1)
    found = diagnose(model, x, x.roll(3, 0), bptt.squared_error)
    assert (found.memory.lag, "what the backward direction needs" in str(found)) == (3, True)


def test_a_frozen_network_is_diagnosed_as_well():
    net, x, d = linear(0.5)
    net.requires_grad_(False)
    assert diagnose(net, x, d, bptt.squared_error).kind == "vanishing"
    assert not net.W_s.requires_grad


NAN = torch.zeros(20, 1)
NAN[3] = math.nan


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"model": torch.nn.Linear(1, 1)}, TypeError, "SequenceModel.*Linear"),
        ({"x": [0.0]}, TypeError, "x must be a torch.Tensor"),
        ({"x": torch.zeros(20, 2)}, ValueError, "2 features"),
        ({"x": torch.zeros(20, 1, dtype=torch.float64)}, TypeError, "float64"),
        ({"x": torch.zeros(7, 1), "d": torch.zeros(7, 1)}, ValueError, "7 steps; at least 8"),
        ({"x": torch.zeros(0, 20, 1)}, ValueError, "no sequence"),
        ({"x": NAN}, ValueError, r"not finite at \[3, 0\] \(nan\)"),
        ({"d": None}, TypeError, "d must be a torch.Tensor"),
        ({"d": torch.zeros(19, 1)}, ValueError, r"\(20, 1\).*\(19, 1\)"),
        ({"criterion": "squared_error"}, TypeError, "function.*str"),
        ({"t": 21}, ValueError, "t is 21.*1 to 20"),
        ({"criterion": lambda y, d: y - d}, ValueError, "scalar.*sum it"),
        ({"criterion": lambda y, d: (y - d).detach().sum()}, ValueError, "leaves y out or detaches it"),
        ({"lags": 0}, ValueError, "lags"),
        ({"window": 2.5}, TypeError, "window"),
    ],
)
def test_bad_calls(change, error, words):
    call = {"model": bptt.Elman(1, 3, 1), "x": torch.zeros(20, 1), "d": torch.zeros(20, 1)}
    call |= {"criterion": bptt.squared_error, **change}
    with pytest.raises(error, match=words):
        bptt.diagnose(**call)
