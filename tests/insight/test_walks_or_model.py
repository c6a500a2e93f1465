"""The form of recorded walks: the loss, or the errors of each step, by keyword."""

import pytest
import torch
from torch import nn

import bptt
from support import normal

FUNCTIONS = [bptt.contributions, bptt.diagnose, bptt.explain, bptt.derivation, bptt.diagram]
everywhere = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)


def recorded():
    """Walks, and E_t of each step."""
    torch.manual_seed(0)
    rnn = nn.RNN(2, 3).double()
    with bptt.record(rnn) as walks:
        errors = rnn(normal(9, 1, 2))[0].square().sum((1, 2))
    return walks, errors


@everywhere
def test_loss_and_errors_by_keyword(function):
    walks, errors = recorded()
    wanted = str(function(walks, errors.sum()))
    assert str(function(walks, loss=errors.sum())) == wanted
    assert str(function(walks, errors=errors)) == wanted
    assert str(function(walks=walks, errors=errors[:, None])) == wanted


def test_the_models_form_by_keyword():
    model, x, d = bptt.Elman(2, 3, 1), torch.ones(9, 2), torch.zeros(9, 1)
    found = bptt.contributions(model=model, x=x, d=d, criterion=bptt.squared_error)
    assert found.loss == bptt.contributions(model, x, d, bptt.squared_error).loss
    assert bptt.check_gradient(nn.GRU(2, 3), loss=lambda gru: gru(x[:, None])[0].sum()).passed


@everywhere
def test_errors_that_are_none(function):
    walks, errors = recorded()
    with pytest.raises(TypeError, match="pass the scalar loss=, or errors=, E_t of each step; not both"):
        function(walks, loss=errors.sum(), errors=errors)
    with pytest.raises(TypeError, match=r"errors must be a tensor with E_t of each step.*, got \(\)"):
        function(walks, errors=errors.sum())
    with pytest.raises(TypeError, match=r"errors must be a tensor.*got float"):
        function(walks, errors=1.0)


@everywhere
def test_missing_arguments_name_the_form(function):
    name = function.__name__
    with pytest.raises(TypeError, match=rf"^{name}\(walks, loss.*\): missing a required argument: 'loss'"):
        function(recorded()[0])
    with pytest.raises(TypeError, match=rf"^{name}\(walks, loss.*\): multiple values for argument 'loss'"):
        function(*recorded(), errors=recorded()[1])
