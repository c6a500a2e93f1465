"""What truncated BPTT refuses, at the call and at a window, and what an error leaves alone."""

import numpy as np
import pytest
import torch
from torch import nn

import bptt
from bptt.reach.truncated import truncated


def one(y, d):
    return y.sum()


X, D = torch.zeros(6, 2, 3), torch.zeros(6, 2, 4)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"k1": 0}, ValueError, "k1 must be at least 1, got 0"),
        ({"k1": 2.0}, TypeError, "k1 must be an int"),
        ({"k1": 5, "k2": 4}, ValueError, "k2=4 is less than k1=5"),
        ({"k2": 0}, ValueError, "k2 must be at least 1"),
        ({"model": 3}, TypeError, "model must be a module or function"),
        ({"model": bptt.GRU(3, 4, bidirectional=True)}, ValueError, "GRU is bidirectional"),
        ({"d": D[:5]}, ValueError, "x has 6 steps and d has 5"),
        ({"d": torch.tensor(1.0)}, ValueError, r"d is \(\), but time is axis 0"),
        ({"x": X[:0], "d": D[:0]}, ValueError, "length 0"),
        ({"x": None}, TypeError, "x must hold a sequence"),
        ({"x": "a file"}, TypeError, "x holds a str"),
        ({"x": X.clone().requires_grad_()}, ValueError, r"x requires gradients.*x.detach\(\)"),
        ({"d": D.clone().requires_grad_()}, ValueError, r"d requires gradients.*d.detach\(\)"),
        (
            {"model": nn.Sequential(nn.Linear(3, 4))},
            TypeError,
            r"Sequential.forward takes \(input\).*\(x, state\) -> \(",
        ),
        ({"model": bptt.GRU}, TypeError, r"model is the class GRU; pass a model made of it, GRU\(...\)"),
        ({"x": {"a": X, "b": X[:4]}}, ValueError, r"parts of x have different lengths \[4, 6\]"),
        ({"x": np.full((6, 2, 3), "a")}, TypeError, "x is an array of <U1"),
        ({"state": (1.0,)}, TypeError, "state holds a float"),
        ({"resets": torch.zeros(6, 2)}, TypeError, "resets must be a boolean"),
        ({"resets": torch.zeros(5, 2, dtype=torch.bool)}, ValueError, "x has 6 steps and resets have 5"),
        ({"d": iter([D])}, TypeError, "d comes in chunks but x does not"),
        ({"x": iter([X])}, TypeError, "x comes in chunks but d is a Tensor"),
    ],
)
def test_refused_at_the_call(change, error, words):
    arguments = {"model": bptt.GRU(3, 4), "x": X, "d": D, "criterion": one, **change}
    with pytest.raises(error, match=words):
        truncated(**arguments)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"criterion": lambda y, d: y}, ValueError, r"scalar tensor, got shape \(2, 2, 4\)"),
        ({"criterion": lambda y, d: 1.0}, TypeError, "scalar tensor, got float"),
        ({"criterion": None}, TypeError, r"criterion must be a function \(y, d\) -> loss, got NoneType"),
        ({"model": lambda x, state: (x, x, x)}, TypeError, r"pair \(y, state\), got a tuple of 3"),
        ({"model": lambda x, state: x.mul_(2)}, TypeError, "got Tensor"),
        ({"model": lambda x, state: (x.mul_(2), x)}, ValueError, "changed x in place.*x = x.clone"),
        ({"x": iter([X.clone().requires_grad_()]), "d": iter([D])}, ValueError, "x requires gradients"),
        ({"x": iter([]), "d": iter([])}, ValueError, "x gave no chunk"),
        ({"criterion": lambda y, d: d.sum()}, ValueError, "depends on nothing that requires gradients"),
        ({"model": lambda x, state: x}, TypeError, r"must return a pair \(y, state\), got Tensor.*of x alone"),
        ({"model": lambda x, state: (x, None)}, TypeError, "returned no state"),
        ({"model": lambda x, state: (1, x)}, TypeError, "y of <lambda> must be a tensor, got int"),
        ({"model": lambda x, state: (x[:1], x)}, ValueError, r"put out y \(1, 2, 3\) for 2 steps"),
        ({"x": iter([X, X[:2]]), "d": iter([D])}, ValueError, "d ended after 1 chunks, but x goes on"),
        ({"x": iter([X]), "d": iter([D, D])}, ValueError, "x ended after 1 chunks, but d goes on"),
        ({"x": iter([X]), "d": iter([D[:5]])}, ValueError, "chunk after step 0: x has 6 steps and d has 5"),
        ({"x": iter([X]), "d": None}, TypeError, r"x must give pairs \(x, d\)"),
        ({"x": iter([X, X]), "d": iter([D, D]), "resets": iter([torch.ones(6) > 0])}, ValueError, "resets end"),
    ],
)
def test_refused_at_a_window(change, error, words):
    arguments = {"model": bptt.GRU(3, 4), "x": X, "d": D, "criterion": one, "k1": 2, **change}
    with pytest.raises(error, match=words):
        list(truncated(**arguments))


def test_a_state_that_grows_is_refused():
    def grows(x, state):
        return W * x, torch.ones(1 if state is None else len(state) + 1)

    W = torch.ones(3, requires_grad=True)
    windows = truncated(grows, X, D, one, k1=2)
    next(windows)
    with pytest.raises(ValueError, match=r"grows changed the form of its state from float32 \(1,\) to .* \(2,\)"):
        next(windows)


class FailsOnce(torch.autograd.Function):
    """The identity, whose gradient cannot be had."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, d):
        raise RuntimeError("lost on the way back")


@pytest.mark.parametrize("before", [None, 1.0])
def test_an_error_on_the_way_back_leaves_the_gradients_alone(before):
    readout, gru = nn.Linear(4, 1), bptt.GRU(3, 4)
    parameters = [*readout.parameters(), *gru.parameters()]
    for weight in parameters:
        weight.grad = None if before is None else torch.full_like(weight, before)

    def model(x, state):
        h, state = gru(x, state)
        return readout(FailsOnce.apply(h)), state

    with pytest.raises(RuntimeError, match="lost on the way back"):
        next(truncated(model, X, D, one))
    for weight in parameters:
        assert weight.grad is None if before is None else (weight.grad == before).all()


def test_resets_on_a_state_of_unknown_layout():
    gru = nn.GRU(3, 2, num_layers=2)

    def model(x, state):
        return gru(x, state)

    resets = torch.zeros(6, 2, dtype=torch.bool)
    resets[3, 0] = True
    with pytest.raises(ValueError, match=r"a state \(2, 2, 2\) has 3 axes of 2 rows.*bptt.Cell"):
        list(truncated(model, X, D, one, resets=resets))
