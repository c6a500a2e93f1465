import pytest
import torch
from torch import nn

import bptt
from bptt.insight.agreement import routes
from bptt.insight.agreement.problems import problem_of_sequences
from support import assert_close, normal
from zoo import model_of

ROUTES = (routes.by_kernels, routes.by_reference, routes.by_checkpointing, routes.by_torch_nn)


class Mixed(nn.Module):
    """One layer that has a kernel, and one that has none."""

    def __init__(self):
        super().__init__()
        self.gru, self.lstm = bptt.GRU(2, 3), bptt.LSTM(3, 3, proj_size=2)

    def forward(self, x, state=None):
        return self.lstm(self.gru(x)[0], state)


class Alone(nn.GRU):
    """A model that forgets to return its state."""

    def forward(self, x, state=None):
        return super().forward(x, state)[0]


def problem_of(model, x, d=None, state=None):
    d = torch.zeros_like(model(x)[0]).detach() if d is None else d
    return problem_of_sequences(model, x, d, bptt.squared_error, state)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_every_way_finds_autograds_gradients(route, kind):
    problem = problem_of(getattr(bptt, kind)(2, 3).double(), normal(6, 2, 2))
    wanted, found = routes.by_autograd(problem), route(problem)
    assert_close(found.loss, wanted.loss, "loss", 1e-13)
    assert list(found.gradients) == list(wanted.gradients)
    for name, gradient in wanted.gradients.items():
        assert gradient.norm() > 0, name
        assert_close(found.gradients[name], gradient, name, 1e-12)


def test_each_way_takes_its_own_backend(monkeypatch):
    problem = problem_of(bptt.GRU(2, 3), torch.ones(4, 1, 2))
    taken = []
    for backend in (type(routes.FUSED), type(routes.REFERENCE), type(routes.PLAIN)):
        walk = backend.walk
        monkeypatch.setattr(
            backend, "walk", lambda self, call, walk=walk: [taken.append(self.name), walk(self, call)][1]
        )
    for route in (routes.by_kernels, routes.by_reference, routes.by_autograd):
        route(problem)
    assert [name for name in taken if name != "fused"] == ["reference", "autograd"]


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (lambda: bptt.Elman(2, 3, 1), ["W_x", "W_s", "W_y", "x", "state"]),
        (lambda: nn.LSTM(2, 3, bias=False), ["weight_ih_l0", "weight_hh_l0", "x", "state[0]", "state[1]"]),
        (lambda: model_of("cell", 2, 3, torch.float32)[0], ["h_0", "inward.weight", "inward.bias"]),
    ],
)
def test_everything_that_can_be_differentiated_is(model, names):
    model = model().requires_grad_(False)
    problem = problem_of(model, torch.ones(4, 1, 2)).with_leaves()
    assert list(problem.sources())[: len(names)] == names
    assert all(t.dtype == torch.float64 for t in problem.sources().values())
    assert not any(p.requires_grad for p in model.parameters())


def test_class_numbers_as_input_have_no_gradient():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.gru = nn.Embedding(5, 3), nn.GRU(3, 4)

        def forward(self, x, state=None):
            return self.gru(self.embedding(x), state)

    found = routes.by_kernels(problem_of(Words(), torch.tensor([[0, 1], [2, 4], [1, 1]])))
    assert "x" not in found.gradients
    assert found.gradients["embedding.weight"].norm() > 0


def test_dropout_is_off_and_nothing_of_the_users_changes():
    model = nn.LSTM(2, 3, num_layers=2, dropout=0.5)
    before, x = [p.clone() for p in model.parameters()], torch.ones(4, 1, 2)
    random = torch.get_rng_state()
    problem = problem_of(model, x, torch.zeros(4, 1, 3))
    for route in ROUTES:
        assert_close(route(problem).loss, routes.by_autograd(problem).loss, "loss", 1e-13)
    assert torch.equal(torch.get_rng_state(), random)
    assert model.training
    assert model.dropout == 0.5
    assert x.grad is None
    for p, old in zip(model.parameters(), before, strict=True):
        assert torch.equal(p, old)
        assert p.grad is None


def test_why_a_way_does_not_apply():
    projected = problem_of(bptt.LSTM(2, 3, proj_size=2), torch.ones(4, 1, 2))
    assert "projected" in routes.by_kernels(projected).note
    bidirectional = problem_of(bptt.GRU(2, 3, bidirectional=True), torch.ones(4, 1, 2))
    assert "bidirectional" in routes.by_checkpointing(bidirectional).note
    model, labels = bptt.GRU(2, 3), torch.zeros(5, dtype=torch.int64)
    labelled = problem_of_sequences(
        model, torch.ones(4, 5, 2), labels, lambda y, d: nn.functional.cross_entropy(y[-1], d), None
    )
    assert routes.by_checkpointing(labelled).note == "d has one label a sequence, not one target a step"
    assert "Elman" in routes.by_torch_nn(problem_of(bptt.Elman(2, 3, 1), torch.ones(4, 2))).note
    own = problem_of(model_of("cell", 2, 3, torch.float32)[0], torch.ones(4, 1, 2))
    for route in (routes.by_kernels, routes.by_reference, routes.by_torch_nn):
        assert "defines its own step" in route(own).note
    assert routes.by_kernels(problem_of(Mixed(), torch.ones(4, 1, 2))).note.startswith("in part: a projected")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"model": lambda x, state: (x, state)}, TypeError, "torch.nn.Module"),
        ({"model": Alone(2, 3)}, TypeError, r"pair \(y, state\)"),
        ({"x": [1.0]}, TypeError, "x must be a torch.Tensor"),
        ({"criterion": "mse"}, TypeError, "function"),
        ({"criterion": lambda y, d: y}, ValueError, "scalar"),
        ({"criterion": lambda y, d: y.sum() / 0}, ValueError, "loss is"),
        ({"d": "d"}, TypeError, "d holds a str"),
    ],
)
def test_bad_calls(change, error, words):
    call = {"model": nn.GRU(2, 3), "x": torch.ones(4, 1, 2), "d": torch.zeros(4, 1, 3), "state": None}
    call |= {"criterion": bptt.squared_error, **change}
    with pytest.raises(error, match=words):
        problem_of_sequences(**call)


def test_what_cannot_be_copied_is_said():
    model = nn.GRU(2, 3)
    model.extra = {"kept": torch.ones(3, requires_grad=True) * 2}
    with pytest.raises(TypeError, match="GRU cannot be copied"):
        problem_of(model, torch.ones(4, 1, 2))
