"""The argument of the kernels, as they read it."""

from __future__ import annotations

import ctypes

SIZES = ("T", "B", "H", "N", "recorded")
TENSORS = (
    *("sizes", "p", "W_hh", "b_hh", "h0", "c0", "y", "kept", "c", "h_n", "c_n"),
    *("dy", "dh_n", "dc_n", "delta_ih", "delta_hh", "dh", "d_h0", "d_c0"),
)


class Arguments(ctypes.Structure):
    """The twin of `Arguments` in walk.h, which has the shapes; a tensor that is not given is null."""

    _fields_ = (
        *((name, ctypes.c_int) for name in SIZES),
        ("leak", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in TENSORS),
    )
