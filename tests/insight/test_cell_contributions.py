import pytest
import torch
from torch import nn

import bptt
from support import assert_close, normal
from zoo import Decay


class Gated(bptt.Cell):
    """Two tensors of state in a tuple, dropout, batch first, and a GRU's equations in torch.nn's own cell."""

    batch_first = True

    def __init__(self):
        super().__init__()
        self.gru, self.slow, self.dropout = nn.GRUCell(2, 4), nn.Linear(4, 3), nn.Dropout(0.5)

    def step(self, x_t, state):
        h, trace = state
        h = self.gru(x_t, h)
        trace = 0.9 * trace + self.slow(self.dropout(h))
        return trace.tanh(), (h, trace)

    def initial_state(self, batch):
        return torch.zeros(batch, 4, dtype=torch.float64), torch.zeros(batch, 3, dtype=torch.float64)


class Plain(bptt.Cell):
    """torch's GRU cell, as bptt.GRU is one."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRUCell(2, 4)

    def step(self, x_t, state):
        h = self.gru(x_t, state)
        return h, h

    def initial_state(self, batch):
        return torch.zeros(batch, 4, dtype=torch.float64)


class Scalar(bptt.Cell):
    """A state and an output without a last axis."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def step(self, x_t, state):
        state = (x_t + self.w * state).tanh()
        return state, state

    def initial_state(self, batch):
        return torch.zeros(batch, dtype=torch.float64)


@pytest.mark.parametrize("make", [lambda: Decay(2, 4), Gated], ids=["dict", "tuple"])
def test_steps_sum_to_autograds_gradient_and_pairs_to_steps(make):
    cell = make().double()
    x = normal(5, 3, 2)
    d = normal(*cell(x)[0].shape, seed=1)
    parameters = dict(cell.named_parameters())
    c = bptt.contributions(cell, x, d, nn.MSELoss(), pairs=True)
    assert cell.training
    error = nn.MSELoss()(cell.eval()(x)[0], d)
    T = 3 if cell.batch_first else 5
    assert list(c.by_step) == list(parameters)
    alone = [bptt.contributions(cell, x, d, nn.MSELoss(), t=t) for t in range(1, T + 1)]
    for name, wanted in zip(parameters, torch.autograd.grad(error, list(parameters.values())), strict=True):
        assert c.by_step[name].shape == (T, *wanted.shape)
        assert_close(c.by_step[name].sum(0), wanted, name, 1e-10)
        pairs = torch.stack([one.by_step[name] for one in alone])
        assert_close(pairs.sum(0), c.by_step[name], name, 1e-10)
        assert_close(c.by_pair.weights[name], pairs.flatten(2).norm(dim=2), name, 1e-10)


def test_the_same_equations_give_the_same_numbers():
    own, ours = Plain().double(), bptt.GRU(2, 4).double()
    with torch.no_grad():
        for theirs, p in zip(own.parameters(), ours.parameters(), strict=True):
            p.copy_(theirs)
    x, d = normal(6, 3, 2), normal(6, 3, 4, seed=1)
    a, b = (bptt.contributions(m, x, d, bptt.squared_error, pairs=True) for m in (own, ours))
    assert_close(a.by_pair.states["state"], b.by_pair.states["l0"], "states", 1e-10)
    assert_close(a.by_lag.states["state"], b.by_lag.states["l0"], "lags", 1e-10)
    for name, other in zip(a.by_step, b.by_step, strict=True):
        assert_close(a.by_step[name], b.by_step[other], name, 1e-10)
        assert_close(a.by_pair.weights[name], b.by_pair.weights[other], name, 1e-7)


def test_frozen_parameters_are_told_and_nothing_changes():
    cell = Decay(2, 4).requires_grad_(False)
    with torch.no_grad():
        c = bptt.contributions(cell, torch.ones(4, 1, 2), torch.zeros(4, 1, 4), bptt.squared_error)
    assert all(c.by_step[name].norm() > 0 for name, _ in cell.named_parameters())
    assert all(p.grad is None and not p.requires_grad for p in cell.parameters())


class Faulty(Decay):
    def step(self, x_t, state):
        return super().step(x_t, state)[0]


def test_bad_cells_are_called_by_their_own_name():
    x, d = torch.ones(4, 1, 2), torch.zeros(4, 1, 4)
    with pytest.raises(TypeError, match=r"Faulty\.step must return"):
        bptt.contributions(Faulty(2, 4), x, d, bptt.squared_error)
    with pytest.raises(ValueError, match="t is 9"):
        bptt.contributions(Decay(2, 4), x, d, bptt.squared_error, t=9)


class Trace(bptt.Cell):
    def step(self, x_t, state):
        return state + x_t, state + x_t

    def initial_state(self, batch):
        return torch.zeros(batch, 1)


def test_a_cell_without_parameters_is_refused():
    with pytest.raises(ValueError, match=r"Trace.*no parameter"):
        bptt.contributions(Trace(), torch.ones(3, 1, 1), torch.ones(3, 1, 1), bptt.squared_error)


def test_a_step_that_takes_no_state():
    class Short(bptt.Cell):
        def step(self, x_t):
            return x_t, x_t

        def initial_state(self, batch):
            return torch.zeros(batch, 1)

    with pytest.raises(TypeError, match=r"Short.step takes \(x_t\), .*write it as step\(x_t, state\)"):
        bptt.contributions(Short(), torch.zeros(2, 1, 1), torch.zeros(2, 1, 1), bptt.squared_error)


@pytest.mark.parametrize("batch_first", [False, True])
def test_outputs_without_a_last_axis(batch_first):
    cell, x = Scalar(), normal(5, 3)
    cell.batch_first = batch_first
    c = bptt.contributions(cell, x, torch.zeros_like(x), bptt.squared_error, pairs=True)
    (wanted,) = torch.autograd.grad(cell(x)[0].square().sum(), cell.w)
    assert len(c.by_step["w"]) == (3 if batch_first else 5)
    assert_close(c.by_step["w"].sum(0), wanted, "w", 1e-10)


@pytest.mark.parametrize("batch_first", [False, True])
def test_one_sequence_whose_features_are_taken_for_a_batch(batch_first):
    cell = Scalar()
    cell.batch_first = batch_first
    x, d = torch.zeros(5, 2), torch.zeros(5, 1)
    sequences, batch = (5, 0) if batch_first else (2, 1)
    with pytest.raises(ValueError, match=rf"as {sequences} sequences.*pass x.unsqueeze\({batch}\)"):
        bptt.contributions(cell, x, d, bptt.squared_error)
