from dataclasses import dataclass

import pytest
import torch
from torch import nn

import bptt
from bptt.equations import LSTMEquations
from bptt.equations.protocol import Deltas
from bptt.insight.agreement import routes
from support import SINE, assert_close, normal
from zoo import MAKERS, laid_out, model_of

MODELS = {
    "projected": lambda: bptt.LSTM(2, 4, 2, proj_size=3),
    "bidirectional": lambda: bptt.GRU(2, 3, bidirectional=True, bias=False),
    "relu": lambda: bptt.RNN(2, 4, nonlinearity="relu"),
    "own activation": lambda: bptt.RNN(2, 4, nonlinearity=SINE),
    "softmax": lambda: bptt.Elman(2, 3, 2, softmax=True, bias=True, leak=0.5),
    "nn.RNN": lambda: nn.RNN(2, 4, nonlinearity="relu", bidirectional=True),
}
SOMETIMES = {"fused", "torch.nn", "checkpointed", "reference"}  # which not every model has


def checked(model, T=7, B=2, I=2, criterion=bptt.squared_error):
    x = laid_out(model, normal(T, B, I).float())
    y = model(x)[0].detach()
    return bptt.check_gradient(model, x, normal(*y.shape, seed=1).float(), criterion)


def by_name(check):
    return {route.label: route for route in check.routes}


@pytest.mark.parametrize("name", [*(name for name in MAKERS if name != "function"), *MODELS])
def test_every_cell_passes(name):
    model = MODELS[name]() if name in MODELS else model_of(name, 2, 3, torch.float32)[0]
    check = checked(model)
    assert check.passed, str(check)
    assert check.verdict.startswith("passed")
    for route in check.routes:
        assert route.passed or (route.passed is None and route.note and route.name in SOMETIMES)


class Zeros(bptt.Cell):
    """A gated cell whose state is made in torch's default dtype, as one writes it, beside a learned one."""

    def __init__(self):
        super().__init__()
        self.gate, self.h_0 = nn.Linear(5, 3), nn.Parameter(torch.full((3,), 0.5))

    def step(self, x_t, state):
        h, mean = state
        z = torch.sigmoid(self.gate(torch.cat([x_t, h], -1)))
        h = (1 - z) * h + z * mean.tanh() + 0.1 * x_t.sum(-1, keepdim=True)
        return h, (h, 0.5 * mean + 0.5 * h)

    def initial_state(self, batch):
        return self.h_0.expand(batch, -1), torch.zeros(batch, 3)


def test_a_custom_cells_initial_state_may_be_of_the_default_dtype():
    check = checked(Zeros())
    assert check.passed, str(check)
    routes_run = [route for route in check.routes if route.passed]
    assert [route.name for route in routes_run] == ["checkpointed", "autograd", "finite differences"]
    assert {"h_0", "gate.weight", "x"} <= set(routes_run[0].by_autograd)


def test_all_ways_are_there_and_every_tensor_in_them():
    check = checked(bptt.SequenceModel(bptt.GRU(2, 3), 1))
    labels = ["fused", "fused, float32", "reference", "checkpointed", "torch.nn", "autograd", "finite differences"]
    assert [route.label for route in check.routes] == labels
    names = {"recurrent.weight_ih_l0", "recurrent.bias_hh_l0", "readout.bias", "x", "state"}
    for route in check.routes:
        assert names <= set(route.by_differences)
        if route.name not in ("autograd", "finite differences"):
            assert names | {"loss"} <= set(route.by_autograd)
    assert check.looked < check.entries
    assert check.directions > 0


@dataclass(frozen=True)
class Forgetful(LSTMEquations):
    """An LSTM whose adjoint leaves out the route through the cell's state."""

    def step_adjoint(self, d_state, kept, w):
        deltas, (dh, dc) = super().step_adjoint(d_state, kept, w)
        return deltas, (dh, 0.9 * dc)


def test_a_wrong_adjoint_of_an_own_cell_is_found_and_named():
    model = bptt.LSTM(2, 3)
    model.cell = Forgetful()
    check = checked(model)
    found = by_name(check)
    assert not check.passed
    assert found["reference"].passed is False
    assert found["checkpointed"].passed is False
    assert found["fused"].note == "Forgetful has no native kernel"
    assert found["autograd"].passed
    assert found["torch.nn"].passed
    assert "reference disagrees" in check.verdict
    assert "autograd disagrees" not in check.verdict


def test_a_wrong_derivative_of_an_own_activation_is_found():
    wrong = bptt.Activation(torch.sin, torch.sin, keeps="input", name="sine")
    assert "reference disagrees" in checked(bptt.RNN(2, 3, nonlinearity=wrong)).verdict


def test_one_wrong_entry_in_a_large_tensor_is_found_at_its_place(monkeypatch):
    right = LSTMEquations.step_adjoint

    def wrong(self, d_state, kept, w):
        deltas, before = right(self, d_state, kept, w)
        delta = deltas.ih.clone()
        delta[..., 17] *= 1.001
        return Deltas(delta, delta), before

    monkeypatch.setattr(LSTMEquations, "step_adjoint", wrong)
    check = checked(bptt.LSTM(2, 20))
    reference = by_name(check)["reference"]
    assert reference.by_autograd["bias_ih_l0"].place == "(17)"
    assert not reference.by_differences["bias_ih_l0"].error <= 1e-6
    assert by_name(check)["fused"].passed


class Halved(torch.autograd.Function):
    """A user's operation with a wrong backward, which autograd takes on trust."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, dy):
        return dy


def test_where_autograd_itself_is_wrong_the_differences_say_so():
    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(2, 3)

        def forward(self, x, state=None):
            y, state = self.gru(x, state)
            return Halved.apply(y), state

    check = checked(Wrong())
    assert by_name(check)["autograd"].passed is False
    assert "autograd disagrees with finite differences" in check.verdict
    assert all(not route.by_autograd for route in check.routes)


def test_a_weight_of_no_effect_and_a_vanished_gradient_are_no_errors():
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.spare = bptt.RNN(2, 3), nn.Linear(2, 2)
            nn.init.uniform_(self.gru.weight_hh_l0, -1e-3, 1e-3)

        def forward(self, x, state=None):
            return self.gru(x, state)

    model = Spare()
    x = normal(30, 1, 2).float()
    check = bptt.check_gradient(
        model, x, torch.zeros(30, 1, 3), lambda y, d: y[-1].sum(), state=torch.zeros(1, 1, 3)
    )
    assert check.passed, str(check)


def test_a_criterion_with_weights_of_its_own():
    model, x = bptt.SequenceModel(nn_like := bptt.GRU(2, 3), 3), normal(5, 2).float()
    assert nn_like is model.recurrent
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))
    assert bptt.check_gradient(model, x, torch.tensor([0, 1, 2, 1, 0]), criterion).passed
    assert criterion.weight.dtype == torch.float32


@pytest.mark.parametrize("batch_first", [False, True])
def test_the_error_of_one_step_alone(batch_first):
    model = bptt.LSTM(2, 3, batch_first=batch_first)
    x = normal(*((4, 6) if batch_first else (6, 4)), 2).float()
    d, criterion = torch.zeros(*x.shape[:2], 3), nn.MSELoss()
    check = bptt.check_gradient(model, x, d, criterion, t=4)
    assert check.passed, str(check)
    found = routes.by_autograd(routes.posed(model, x, d, criterion, None, t=4)).gradients
    wanted = bptt.contributions(model.double(), x.double(), d.double(), criterion, t=4).gradient
    for name in wanted:
        assert_close(found[name], wanted[name], name, 1e-12)
    with pytest.raises(ValueError, match="t is 7, but x has the steps 1 to 6"):
        bptt.check_gradient(bptt.GRU(2, 3), normal(6, 4, 2).float(), torch.zeros(6, 4, 3), criterion, t=7)


def test_without_gradients_around_it():
    with torch.no_grad():
        assert checked(bptt.GRU(2, 3)).passed


def test_the_same_seed_looks_at_the_same_places():
    model, x, d = bptt.GRU(2, 9), torch.ones(4, 1, 2), torch.zeros(4, 1, 9)
    first, again, other = (bptt.check_gradient(model, x, d, bptt.squared_error, seed=s) for s in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(("looks", "error"), [(2, ValueError), (3.0, TypeError), (True, TypeError)])
def test_bad_looks(looks, error):
    with pytest.raises(error, match="looks must be"):
        bptt.check_gradient(
            nn.GRU(2, 3), torch.ones(4, 1, 2), torch.zeros(4, 1, 3), bptt.squared_error, looks=looks
        )
