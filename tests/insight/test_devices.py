"""What each step contributed, explained and judged on each device, against the CPU."""

import copy

import pytest
import torch
from torch import nn

import bptt
from devices import OTHER
from support import assert_close, normal

X, D = normal(12, 2, 3), normal(12, 2, 4)


class Trace(bptt.Cell):
    """A leaky trace with a learned initial state."""

    def __init__(self):
        super().__init__()
        self.inward = nn.Linear(3, 4)
        self.h_0 = nn.Parameter(torch.ones(4))

    def step(self, x_t, h):
        h = torch.tanh(self.inward(x_t) + 0.5 * h)
        return h, h

    def initial_state(self, batch):
        return self.h_0.expand(batch, -1)


MODELS = {
    "RNN": lambda: bptt.RNN(3, 4),
    "GRU": lambda: bptt.GRU(3, 4, num_layers=2, bidirectional=False),
    "LSTM": lambda: bptt.LSTM(3, 2, bidirectional=True),
    "SequenceModel": lambda: bptt.SequenceModel(bptt.GRU(3, 5), 4),
    "Elman": lambda: bptt.Elman(3, 5, 4),
    "cell": Trace,
}


def pair(name, device):
    """A model, the same on a device, and x and d as it lays them out."""
    model = MODELS[name]().double()
    batch_first = getattr(model, "batch_first", False)
    x, d = (part.transpose(0, 1) if batch_first else part for part in (X, D))
    return model, copy.deepcopy(model).to(device), x, d


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("t", [None, 7])
def test_contributions(name, t, other_device):
    model, there, x, d = pair(name, other_device)
    wanted = bptt.contributions(model, x, d, bptt.squared_error, t=t, pairs=True)
    found = bptt.contributions(there, x.to(other_device), d.to(other_device), bptt.squared_error, t=t, pairs=True)
    for parameter in wanted.by_step:
        assert found.by_step[parameter].device.type == other_device.type
        assert_close(found.by_step[parameter].cpu(), wanted.by_step[parameter], parameter)
        assert_close(found.shares[parameter].cpu(), wanted.shares[parameter], parameter)
    for kind in ("states", "weights"):
        for table in ("by_pair", "by_lag"):
            w, f = (getattr(getattr(c, table), kind) for c in (wanted, found))
            for place in w:
                assert_close(f[place].cpu(), w[place], f"{table} {place}")
    assert str(found).split() == str(wanted).split()
    assert all(weight.grad is None for weight in there.parameters())


@pytest.mark.parametrize("name", ["RNN", "Elman", "cell"])
def test_check_gradient(name, other_device):
    _, there, x, d = pair(name, other_device)
    found = bptt.check_gradient(there, x.to(other_device), d.to(other_device), bptt.squared_error, looks=3)
    assert found.passed, str(found)


def rng_state():
    return torch.get_device_module(OTHER).get_rng_state()


@pytest.mark.parametrize("name", ["RNN", "SequenceModel", "Elman"])
def test_diagnose(name, other_device):
    model, there, x, d = pair(name, other_device)
    wanted = bptt.diagnose(model, x, d, nn.MSELoss())
    x, d, generator = x.to(other_device), d.to(other_device), rng_state()
    found = bptt.diagnose(there, x, d, nn.MSELoss())
    assert torch.equal(rng_state(), generator)
    assert str(found) == str(wanted)


@pytest.mark.parametrize("name", ["SequenceModel", "Elman"])
def test_explain(name, other_device):
    model, there, _, _ = pair(name, other_device)
    wanted = bptt.explain(model, X[:, 0], D[:, 0], t=5)
    found = bptt.explain(there, X[:, 0].to(other_device), D[:, 0].to(other_device), t=5)
    assert str(found) == str(wanted)
    for weight, parts in wanted.contributions.items():
        assert_close(found.contributions[weight].cpu(), parts, weight)
    assert bptt.derivation(there, X[:, 0].to(other_device), D[:, 0].to(other_device), t=3)
    assert bptt.diagram(there, X[:, 0].to(other_device), D[:, 0].to(other_device), t=3)


VERBS = {
    "contributions": bptt.contributions,
    "check_gradient": bptt.check_gradient,
    "diagnose": bptt.diagnose,
    "explain": bptt.explain,
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=list(VERBS))
@pytest.mark.parametrize("odd", ["x", "d"])
def test_a_tensor_on_another_device_is_named(verb, odd, other_device):
    _, model, _, _ = pair("SequenceModel", other_device)
    given = {"x": X.to(other_device), "d": D.to(other_device)} | {odd: {"x": X, "d": D}[odd]}
    whose = "y is" if odd == "d" else "the weights of this "
    with pytest.raises(ValueError, match=rf"{odd} is on cpu, but {whose}.* ?on {OTHER}:0; move one of them"):
        verb(model, given["x"], given["d"], bptt.squared_error)
