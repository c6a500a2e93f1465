import pytest
import torch

from bptt.equations import ACTIVATIONS, Activation
from bptt.equations.activations import as_activation
from support import SINE, assert_close, normal


@pytest.mark.parametrize("name", [*ACTIVATIONS, "sine"])
def test_derivative_is_autograds(name):
    activation = SINE if name == "sine" else ACTIVATIONS[name]
    a = (4 * normal(200)).requires_grad_()
    s = activation.function(a)
    (wanted,) = torch.autograd.grad(s.sum(), a)
    found = activation.derivative(activation.kept(a, s)).detach()
    assert_close(found, wanted, name, 1e-13)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_far_out_the_derivative_stays_finite(name):
    a = torch.tensor([-1e3, -50.0, 50.0, 1e3], dtype=torch.float64)
    activation = ACTIVATIONS[name]
    assert activation.derivative(activation.kept(a, activation.function(a))).isfinite().all()


def test_tanh_saturates_to_a_zero_derivative():
    s = torch.tanh(torch.tensor([40.0]))
    assert ACTIVATIONS["tanh"].derivative(s).item() == 0.0


def test_softplus_has_no_threshold():
    a = torch.tensor([20.5], dtype=torch.float64)
    assert ACTIVATIONS["softplus"].function(a).item() > 20.5


def test_relu_stops_what_is_not_finite_below_its_kink():
    ds = torch.tensor([float("inf"), float("nan"), 2.0])
    kept = torch.tensor([0.0, 0.0, 1.0])
    assert ACTIVATIONS["relu"].adjoint(ds, kept).tolist() == [0.0, 0.0, 2.0]


def test_a_pair_is_function_and_derivative_of_the_output():
    pair = as_activation((torch.exp, lambda s: s))
    assert pair.keeps == "output"
    assert pair.adjoint(torch.ones(1), torch.tensor([3.0])).item() == 3.0


@pytest.mark.parametrize(
    ("choice", "error", "words"),
    [
        ("tahn", ValueError, "tahn.*tanh, relu, sigmoid, softplus, gelu, identity"),
        (torch.tanh, TypeError, "pair"),
        (("tanh", "relu"), TypeError, "callable"),
    ],
)
def test_what_is_no_activation_is_refused(choice, error, words):
    with pytest.raises(error, match=words):
        as_activation(choice)


def test_keeps_is_one_of_two():
    with pytest.raises(ValueError, match="keeps"):
        Activation(torch.sin, torch.cos, keeps="both")  # pyright: ignore
