"""Activations Φ with their derivatives, each written in terms of what the forward walk keeps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Activation:
    """An elementwise activation s = Φ(a) and its derivative.

    Args:
        function: a -> Φ(a), elementwise, of torch operations (they are differentiated again
            where second derivatives are asked for).
        derivative: Φ'(a) as a function of what is kept: of s = Φ(a) when ``keeps`` is "output"
            (tanh: ``lambda s: 1 - s**2``), of a itself when it is "input".
        keeps: which of the two the forward walk keeps for the backward pass. Default "output".
        name: shown in reprs and reports. Default "custom".

    Raises:
        TypeError: function or derivative cannot be called.
        ValueError: keeps is neither "output" nor "input".

    >>> sine = Activation(torch.sin, torch.cos, keeps="input", name="sine")
    >>> sine.derivative(torch.zeros(1))
    tensor([1.])
    """

    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]
    keeps: Literal["output", "input"] = "output"
    name: str = "custom"

    def __post_init__(self) -> None:
        for role in ("function", "derivative"):
            if not callable(getattr(self, role)):
                got = type(getattr(self, role)).__name__
                raise TypeError(f"an activation's {role} must be a callable of one tensor, got {got}")
        if self.keeps not in ("output", "input"):
            raise ValueError(f'keeps must be "output" or "input", got {self.keeps!r}')

    def kept(self, a: Tensor, s: Tensor) -> Tensor:
        """The value that the derivative is computed from: s or a."""
        return s if self.keeps == "output" else a

    def adjoint(self, ds: Tensor, kept: Tensor) -> Tensor:
        """∂L/∂a from ∂L/∂s: ds Φ'(a)."""
        return ds * self.derivative(kept)


class _Rectifier(Activation):
    """relu, whose adjoint is exactly 0 below the kink even where ds is not finite."""

    def adjoint(self, ds: Tensor, kept: Tensor) -> Tensor:
        return torch.where(kept <= 0, 0.0, ds)


def _tanh_derivative(s: Tensor) -> Tensor:
    return 1 - s * s


def _relu_derivative(s: Tensor) -> Tensor:
    return (s > 0).to(s.dtype)


def _sigmoid_derivative(s: Tensor) -> Tensor:
    return s * (1 - s)


def _softplus(a: Tensor) -> Tensor:
    return torch.logaddexp(a, torch.zeros_like(a))  # exact everywhere, without a threshold


def _softplus_derivative(s: Tensor) -> Tensor:
    return -torch.expm1(-s)  # σ(a) = 1 - e^{-s}


def _gelu_derivative(a: Tensor) -> Tensor:
    density = torch.exp(-0.5 * a * a) / math.sqrt(2 * math.pi)
    return 0.5 * (1 + torch.erf(a / math.sqrt(2))) + a * density


def _identity(a: Tensor) -> Tensor:
    return a


ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation(torch.tanh, _tanh_derivative, name="tanh"),
        _Rectifier(torch.relu, _relu_derivative, name="relu"),
        Activation(torch.sigmoid, _sigmoid_derivative, name="sigmoid"),
        Activation(_softplus, _softplus_derivative, name="softplus"),
        Activation(torch.nn.functional.gelu, _gelu_derivative, keeps="input", name="gelu"),
        Activation(_identity, torch.ones_like, name="identity"),
    )
}


def as_activation(choice: str | Activation | tuple) -> Activation:
    """The activation a name, an `Activation` or a pair (function, derivative of s) stands for.

    Raises:
        ValueError: no activation has this name.
        TypeError: choice is none of the three.
    """
    if isinstance(choice, Activation):
        return choice
    if isinstance(choice, str):
        if choice not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(
                f"unknown activation {choice!r}: choose one of {known}, "
                "or pass a bptt.Activation(function, derivative)"
            )
        return ACTIVATIONS[choice]
    if isinstance(choice, tuple) and len(choice) == 2:
        return Activation(*choice)
    raise TypeError(
        "an activation is a name, a bptt.Activation, or a pair (function, derivative); "
        f"got {type(choice).__name__}"
    )
