import random
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import bptt
from bptt.equations import LSTMEquations
from bptt.equations.protocol import Deltas
from bptt.insight.agreement import routes
from bptt.insight.agreement.problems import problem_of_sequences
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
    found = routes.by_autograd(problem_of_sequences(model, x, d, criterion, None, t=4)).gradients
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


class Speller(nn.Module):
    """Tokens to an encoder with dropout, its state to a loop of cells that often sees its own output."""

    def __init__(self):
        super().__init__()
        self.embedding, self.encoder = nn.Embedding(7, 3), nn.GRU(3, 4, 2, dropout=0.3)
        self.cell, self.head = nn.GRUCell(2, 4), nn.Linear(4, 2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, tokens, target):
        self.calls += 1
        lengths = torch.tensor([5, 3])
        packed = nn.utils.rnn.pack_padded_sequence(self.embedding(tokens), lengths)
        h, y, outputs = self.encoder(packed)[1][-1], torch.zeros(2, 2), torch.zeros(3, 2, 2)
        for t in range(3):
            h = self.cell(y, h)
            y = self.head(h)
            outputs[t] = y
            y = target[t] if random.random() < 0.5 else y
        return outputs + 0.1 * torch.randn(3, 2, 2)


def test_any_model_is_checked_with_its_own_loss_and_stays_as_it_is():
    torch.manual_seed(3)
    model, tokens, target = Speller(), torch.randint(7, (5, 2)), torch.randn(3, 2, 2)
    states = torch.get_rng_state(), random.getstate()
    check = bptt.check_gradient(model, lambda m: nn.functional.mse_loss(m(tokens, target), target), looks=3)
    assert check.passed, str(check)
    assert [r.label for r in check.routes if r.passed] == [
        "fused", "reference", "recorded", "torch.nn", "autograd", "finite differences"
    ]  # fmt: skip
    parameters = dict(model.named_parameters())
    assert all(set(route.by_differences) == set(parameters) for route in check.routes)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert model.calls == 0
    assert all(p.dtype == torch.float32 and p.grad is None for p in parameters.values())


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", [bptt.LSTM, nn.RNN, bptt.Elman])
def test_tensors_from_outside_are_converted(kind, batch_first):
    sizes = (2, 3, 4) if kind is bptt.Elman else (2, 3)
    model = kind(*sizes) if kind is bptt.Elman else kind(*sizes, batch_first=batch_first)
    x, h_0 = normal(4, 3, 2, dtype=torch.float32), normal(1, 3 if not batch_first else 4, 3, dtype=torch.float32)
    state = h_0[0, :1].expand(4, 3) if kind is bptt.Elman else (h_0, h_0) if kind is bptt.LSTM else h_0
    check = bptt.check_gradient(model, lambda m: m(x, state)[0].square().mean())
    assert check.passed, str(check)
    assert sum(route.passed is True for route in check.routes) == (5 if kind is bptt.Elman else 6)


def test_parametrized_frozen_and_tied_weights_of_any_model_are_checked():
    model = nn.ModuleDict({"rnn": nn.RNN(3, 3), "head": nn.Linear(3, 3)}).eval()
    nn.utils.parametrizations.weight_norm(model["rnn"], "weight_hh_l0")
    model["head"].weight = model["rnn"].weight_ih_l0
    model["rnn"].bias_ih_l0.requires_grad_(False)
    x = normal(4, 2, 3)
    check = bptt.check_gradient(model, lambda m: m["head"](m["rnn"](x)[0]).exp().sum())
    assert check.passed, str(check)
    names = set(check.routes[-1].by_differences)
    assert {"rnn.weight_ih_l0", "rnn.parametrizations.weight_hh_l0.original0", "head.bias"} <= names
    assert "rnn.bias_ih_l0" not in names


def test_a_wrong_adjoint_inside_any_model_is_found():
    model = nn.ModuleDict({"rnn": bptt.LSTM(2, 3), "head": nn.Linear(3, 1)})
    model["rnn"].cell = Forgetful()
    x = normal(5, 2, 2)
    verdict = bptt.check_gradient(model, lambda m: m["head"](m["rnn"](x)[0]).square().sum()).verdict
    assert "reference disagrees" in verdict
    assert "recorded disagrees" in verdict
    assert "torch.nn disagrees" not in verdict
    right = nn.ModuleDict({"rnn": nn.LSTM(2, 3)})
    detached = bptt.check_gradient(
        right, lambda m: m["rnn"](m["rnn"](x)[1][0].detach()[..., :2])[0].square().sum()
    )
    assert "autograd disagrees with finite differences" in detached.verdict
    assert str(detached).count(" WRONG ") == 5


@pytest.mark.parametrize(
    ("loss", "error", "words"),
    [
        (lambda: 0, TypeError, r"the loss takes \(\).*write it as loss\(model\) -> scalar"),
        (lambda model: model(torch.ones(3, 1, 2))[0], TypeError, r"a scalar tensor, got a tensor of shape"),
        (lambda model: 1.0, TypeError, "a scalar tensor, got float"),
        (lambda model: torch.ones(()), ValueError, "does not depend on the parameters of the model it is given"),
        (
            lambda model: model(torch.ones(3, 1, 2))[0].sum() / 0,
            ValueError,
            "the loss is -?inf, which has no grad",
        ),
    ],
)
def test_what_is_no_loss_of_the_model_is_refused(loss, error, words):
    with pytest.raises(error, match=words):
        bptt.check_gradient(nn.GRU(2, 3), loss)
    with pytest.raises(TypeError, match="takes no x, d, criterion, t or state"):
        bptt.check_gradient(nn.GRU(2, 3), loss, t=3)
    with pytest.raises(ValueError, match="this Linear has no recurrent module"):
        bptt.check_gradient(nn.Linear(2, 3), loss)


def test_a_packed_sequence_from_outside_is_converted():
    packed = nn.utils.rnn.pack_sequence([normal(n, 2, dtype=torch.float32) for n in (4, 2)])
    check = bptt.check_gradient(nn.GRU(2, 3), lambda m: m(packed)[0].data.square().sum())
    assert check.passed, str(check)
