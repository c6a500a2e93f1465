"""The lesson's cell: Elman (1990), "Finding structure in time", with leaky units as an option.

In the lesson's letters and row vectors, with W_x = W_ihᵀ and W_s = W_hhᵀ:

    a_t = x_t W_x + s_{t-1} W_s                       (1)
    s_t = (1 - α) s_{t-1} + α Φ(a_t)                  (2)   α = 1: the lesson's network

α < 1 are the leaky units of continuous-time models (Jaeger et al. 2007, equation 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import linear

from .activations import ACTIVATIONS, Activation
from .protocol import Deltas, State, Weights


class ElmanKept(NamedTuple):
    """A step's values that its adjoint needs."""

    phi: Tensor  # (B, H): Φ(a) or a, whichever the derivative is written in


@dataclass(frozen=True)
class ElmanEquations:
    """h' = (1 - α) h + α Φ(p + h W_hhᵀ + b_hh), with p = x W_ihᵀ + b_ih."""

    activation: Activation = ACTIVATIONS["tanh"]
    leak: float = 1.0
    name = "Elman"
    gates = 1

    def step(self, p: Tensor, state: State, w: Weights[Tensor]) -> tuple[State, ElmanKept]:
        (h_prev,) = state
        a = p + linear(h_prev, w.W_hh, w.b_hh)  # (1)
        h = s = self.activation.function(a)  # (2)
        if self.leak != 1:
            h = (1 - self.leak) * h_prev + self.leak * s
        return (h,), ElmanKept(self.activation.kept(a, s))

    def step_adjoint(self, d_state: State, kept: ElmanKept, w: Weights[Tensor]) -> tuple[Deltas, State]:
        (dh,) = d_state
        ds = dh if self.leak == 1 else self.leak * dh
        delta = self.activation.adjoint(ds, kept.phi)  # (2) into a
        dh_prev = delta @ w.W_hh  # (1) into h_prev
        if self.leak != 1:
            dh_prev = dh_prev + (1 - self.leak) * dh  # (2) into h_prev
        return Deltas(delta, delta), (dh_prev,)
