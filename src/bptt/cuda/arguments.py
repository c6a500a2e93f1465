"""The argument of the kernels, as they read it."""

from __future__ import annotations

import ctypes

from torch import Tensor
from torch.nn.functional import pad

from .plan import KernelPlan

SIZES = ("T", "B", "H", "N", "recorded")
TENSORS = (
    *("sizes", "p", "W_hh", "b_hh", "operands", "h0", "c0", "y", "kept", "c", "h_n", "c_n"),
    *("dy", "dh_n", "dc_n", "delta_ih", "delta_hh", "dh", "d_h0", "d_c0"),
)


class Arguments(ctypes.Structure):
    """The twin of `Arguments` in walk.h, which has the shapes; a tensor that is not given is null."""

    _fields_ = (
        *((name, ctypes.c_int) for name in SIZES),
        ("leak", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in TENSORS),
    )


def operands(W_hh: Tensor, plan: KernelPlan, back: bool) -> Tensor:
    """W_hh (G·H, H) in the order in which the lanes of each warp of a cluster multiply it, padded with zeros."""
    G, padded, K, pair = plan.cell.gates, plan.padded, plan.precision.columns, plan.precision.columns // 8
    warps, missing = padded // 16, padded - W_hh.shape[1]
    W = pad(W_hh.view(G, -1, W_hh.shape[1]), (0, missing, 0, missing))
    if back:  # a warp's units are columns: sums over gates and units
        parts = W.view(G * padded // K, 2, 4, pair, warps, 2, 8).permute(4, 0, 6, 2, 1, 5, 3)
    else:  # its units are rows of each gate: sums over units
        parts = W.view(G, warps, 2, 8, padded // K, 2, 4, pair).permute(1, 4, 0, 3, 6, 5, 2, 7)
    return parts.contiguous()
