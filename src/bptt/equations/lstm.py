"""LSTM: Hochreiter & Schmidhuber (1997) with forget gates (Gers et al. 2000), as torch and cuDNN have it.

    i = σ(a_i),  f = σ(a_f),  g = tanh(a_g),  o = σ(a_o)      (1)-(4)
        with a = p + h_{t-1} W_hhᵀ + b_hh
    c_t = f c_{t-1} + i g                                      (5)
    h_t = o tanh(c_t)                                          (6)
    h_t = (o tanh(c_t)) W_hrᵀ    with a projection             (7)   Sak et al. (2014)

Gate order (i, f, g, o); p = x_t W_ihᵀ + b_ih. Products of two letters are elementwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from .protocol import Deltas, State, Weights


class LSTMKept(NamedTuple):
    """A step's values that its adjoint needs."""

    i: Tensor  # (B, H) each
    f: Tensor
    g: Tensor
    o: Tensor
    c_prev: Tensor
    tanh_c: Tensor


@dataclass(frozen=True)
class LSTMEquations:
    """Long short-term memory; state (h, c)."""

    name = "LSTM"
    gates = 4

    def step(self, p: Tensor, state: State, w: Weights[Tensor]) -> tuple[State, LSTMKept]:
        h_prev, c_prev = state
        a_i, a_f, a_g, a_o = (p + linear(h_prev, w.W_hh, w.b_hh)).chunk(4, -1)
        i = torch.sigmoid(a_i)  # (1)
        f = torch.sigmoid(a_f)  # (2)
        g = torch.tanh(a_g)  # (3)
        o = torch.sigmoid(a_o)  # (4)
        c = f * c_prev + i * g  # (5)
        tanh_c = torch.tanh(c)
        h = o * tanh_c  # (6)
        if w.W_hr is not None:
            h = linear(h, w.W_hr)  # (7)
        return (h, c), LSTMKept(i, f, g, o, c_prev, tanh_c)

    def step_adjoint(self, d_state: State, kept: LSTMKept, w: Weights[Tensor]) -> tuple[Deltas, State]:
        dh, dc = d_state
        i, f, g, o, c_prev, tanh_c = kept
        if w.W_hr is not None:
            dh = dh @ w.W_hr  # (7)
        dc = dc + dh * o * (1 - tanh_c * tanh_c)  # (6) into c
        delta_o = dh * tanh_c * o * (1 - o)  # (6) into o, (4)
        delta_i = dc * g * i * (1 - i)  # (5) into i, (1)
        delta_f = dc * c_prev * f * (1 - f)  # (5) into f, (2)
        delta_g = dc * i * (1 - g * g)  # (5) into g, (3)
        delta = torch.cat([delta_i, delta_f, delta_g, delta_o], -1)
        dh_prev = delta @ w.W_hh  # (1)-(4) into h_prev
        return Deltas(delta, delta), (dh_prev, dc * f)  # (5) into c_prev
