"""What every function of the insight package asks of its arguments and of torch's modes."""

import pytest
import torch
from torch import nn

import bptt

FUNCTIONS = [
    bptt.explain,
    bptt.derivation,
    bptt.diagram,
    bptt.contributions,
    bptt.diagnose,
    bptt.check_gradient,
]

everywhere = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)


def call(function, criterion=bptt.squared_error):
    return function(bptt.Elman(2, 3, 1), torch.ones(9, 2), torch.zeros(9, 1), criterion)


@everywhere
def test_without_gradients_switched_on(function):
    with torch.no_grad():
        call(function)


@everywhere
def test_inference_mode_is_named(function):
    with torch.inference_mode(), pytest.raises(RuntimeError, match="inference mode"):
        call(function)


@everywhere
@pytest.mark.parametrize(
    ("criterion", "error", "words"),
    [
        (3, TypeError, "got int; pass the step by its name, t=3"),
        ("cross_entropy", TypeError, "got str; pass the function bptt.cross_entropy"),
        (nn.MSELoss, TypeError, r"the class MSELoss; pass MSELoss\(\)"),
        (lambda y, d: (y - d).detach().sum(), ValueError, "leaves y out or detaches it$"),
        (lambda y, d: (y - d).sum() * 1j, TypeError, "real scalar"),
    ],
    ids=["step", "name", "class", "detached", "complex"],
)
def test_a_criterion_that_is_none(function, criterion, error, words):
    with pytest.raises(error, match=words):
        call(function, criterion)


@pytest.mark.parametrize("function", [bptt.contributions, bptt.check_gradient], ids=lambda f: f.__name__)
def test_a_target_that_the_criterion_does_not_take(function):
    with pytest.raises(TypeError, match="does not take this d, of type NoneType"):
        function(bptt.Elman(2, 3, 1), torch.ones(9, 2), None, bptt.squared_error)
