"""GRU: Cho et al. (2014), equations 5-8, with the reset gate after the product as torch and cuDNN have it.

    r = σ(p_r + h_{t-1} W_hrᵀ + b_hr)                  (1)
    z = σ(p_z + h_{t-1} W_hzᵀ + b_hz)                  (2)
    m = h_{t-1} W_hnᵀ + b_hn                           (3)
    n = tanh(p_n + r m)                                (4)
    h_t = (1 - z) n + z h_{t-1}                        (5)

Gate order (r, z, n); p = x_t W_ihᵀ + b_ih. Products of two letters are elementwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from .protocol import Deltas, State, Weights


class GRUKept(NamedTuple):
    """A step's values that its adjoint needs."""

    r: Tensor  # (B, H) each
    z: Tensor
    n: Tensor
    m: Tensor
    h_prev: Tensor


@dataclass(frozen=True)
class GRUEquations:
    """The gated recurrent unit; state (h,)."""

    name = "GRU"
    gates = 3

    def step(self, p: Tensor, state: State, w: Weights[Tensor]) -> tuple[State, GRUKept]:
        (h_prev,) = state
        p_r, p_z, p_n = p.chunk(3, -1)
        q_r, q_z, m = linear(h_prev, w.W_hh, w.b_hh).chunk(3, -1)  # (3)
        r = torch.sigmoid(p_r + q_r)  # (1)
        z = torch.sigmoid(p_z + q_z)  # (2)
        n = torch.tanh(p_n + r * m)  # (4)
        h = (1 - z) * n + z * h_prev  # (5)
        return (h,), GRUKept(r, z, n, m, h_prev)

    def step_adjoint(self, d_state: State, kept: GRUKept, w: Weights[Tensor]) -> tuple[Deltas, State]:
        (dh,) = d_state
        r, z, n, m, h_prev = kept
        delta_z = dh * (h_prev - n) * z * (1 - z)  # (5) into z, (2)
        delta_n = dh * (1 - z) * (1 - n * n)  # (5) into n, (4)
        delta_r = delta_n * m * r * (1 - r)  # (4) into r, (1)
        dm = delta_n * r  # (4) into m
        delta_ih = torch.cat([delta_r, delta_z, delta_n], -1)
        delta_hh = torch.cat([delta_r, delta_z, dm], -1)
        dh_prev = dh * z + delta_hh @ w.W_hh  # (5) and (1)-(3) into h_prev
        return Deltas(delta_ih, delta_hh), (dh_prev,)
