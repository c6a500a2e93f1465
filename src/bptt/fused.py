"""The fused walks as registered operators: one native call for a layer and direction, forward or back.

`bptt::walk` and `bptt::walk_backward` run on CPUs in float32 and float64; torch.compile and torch.export see them
as one node each. What backward needs is an output of the forward operator; second derivatives go through the
reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import Parameter

from .equations import ACTIVATIONS, GRU, LSTM, Elman, Weights
from .equations.cell import Cell, State
from .unfold import BatchSizes, differentiable_gradients

try:  # after torch, whose OpenMP runtime it shares
    from . import _native  # pyright: ignore[reportAttributeAccessIssue]
except ImportError:  # the pure package, installed with BPTT_NO_NATIVE=1
    _native: Any = None

CELLS = (Elman, GRU, LSTM)
NAMES = tuple(ACTIVATIONS)

_library = torch.library.Library("bptt", "DEF")
_library.define(
    "walk(int cell, int activation, float leak, bool keep, int[]? batch_sizes, Tensor x, Tensor h0, Tensor? c0, "
    "Tensor W_ih, Tensor W_hh, Tensor? b_ih, Tensor? b_hh) "
    "-> (Tensor y, Tensor c, Tensor kept, Tensor h_n, Tensor c_n)"
)
_library.define(
    "walk_backward(int cell, int activation, float leak, int[]? batch_sizes, bool[] wanted, Tensor x, Tensor h0, "
    "Tensor? c0, Tensor W_ih, Tensor W_hh, Tensor? b_ih, Tensor? b_hh, Tensor y, Tensor c, Tensor kept, "
    "Tensor? dy, Tensor? dh_n, Tensor? dc_n) -> Tensor[]"
)


def available() -> bool:
    """Whether the native kernels are installed."""
    return _native is not None


def isa() -> str:
    """The instruction set in use: "avx512", "avx2" or "portable"; the environment variable BPTT_ISA forces one."""
    return _native.isa()


def walk(
    cell: Cell, x: Tensor, state: State, weights: Weights[Tensor], batch_sizes: BatchSizes
) -> tuple[Tensor, State]:
    """`kernels.walk` by the native kernels, for a cell, dtype and device they have."""
    activation, leak = 0, 1.0
    if isinstance(cell, Elman):
        activation, leak = NAMES.index(cell.activation.name), cell.leak
    tensors = (x, *state, *weights)
    keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    h0, c0 = state if len(state) == 2 else (state[0], None)
    arguments = (CELLS.index(type(cell)), activation, leak, keep, batch_sizes, x, h0, c0, *weights[:4])
    if _traced(*tensors):
        y, _, _, h_n, c_n = torch.ops.bptt.walk(*arguments)
    else:  # the operator without its dispatcher, which costs more than a short walk
        y, _, _, h_n, c_n = _EagerWalk.apply(*arguments) if keep else _walk(*arguments)  # pyright: ignore
    return y, (h_n,) if c0 is None else (h_n, cast("Tensor", c_n))


def _traced(*tensors: Tensor | None) -> bool:
    """Whether somebody looks on who wants to see operators: a compiler, an export, a mode, a tensor subclass."""
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0:
        return True
    return not all(t is None or type(t) is Tensor or type(t) is Parameter for t in tensors)


def _keeps(cell: int, activation: int, leak: float) -> int:
    """How many (·, H) tensors a walk keeps for its way back, beside the states."""
    if CELLS[cell] is Elman:
        return int(leak != 1 or ACTIVATIONS[NAMES[activation]].keeps == "input")
    return 4


def _room(
    cell: int, activation: int, leak: float, keep: bool, x: Tensor, h0: Tensor, c0: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Uninitialised room for y, for c, and for what is kept; None for what there is not."""
    *rows, _ = x.shape
    H = h0.shape[1]
    keeps = _keeps(cell, activation, leak) if keep else 0
    y = x.new_empty((*rows, H))
    return y, None if c0 is None else torch.empty_like(y), x.new_empty((*rows, keeps * H)) if keeps else None


def _walk(
    cell: int,
    activation: int,
    leak: float,
    keep: bool,
    batch_sizes: list[int] | None,
    x: Tensor,
    h0: Tensor,
    c0: Tensor | None,
    *weights: Tensor | None,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor, Tensor | None]:
    y, c, kept = _room(cell, activation, leak, keep, x, h0, c0)
    _alive, arguments = _arguments(cell, activation, leak, batch_sizes, x, h0, c0, weights, y, c, kept)
    _native.forward(*arguments)
    return y, c, kept, _last(y, batch_sizes), None if c is None else _last(c, batch_sizes)


def _walk_cpu(*arguments: Any) -> tuple[Tensor, ...]:
    cell, _, _, _, batch_sizes, x, h0, c0, *weights = arguments
    _check(cell, batch_sizes, x, h0, c0, *weights)
    return _all_tensors(_walk(*arguments))


def _check(
    cell: int, batch_sizes: list[int] | None, x: Tensor, h0: Tensor, c0: Tensor | None, *weights: Tensor | None
) -> None:
    """What the native code takes on trust, for callers of the bare operator; modules check it themselves."""
    (B, H), I = h0.shape, x.shape[-1]
    rows = CELLS[cell].gates * H
    whole = (x.shape[0], B, I) if batch_sizes is None else (sum(batch_sizes), I)
    names = ("x", "h0", "c0", "W_ih", "W_hh", "b_ih", "b_hh")
    shapes = (whole, (B, H), (B, H), (rows, I), (rows, H), (rows,), (rows,))
    for name, t, shape in zip(names, (x, h0, c0, *weights), shapes, strict=True):
        if t is not None and (tuple(t.shape) != tuple(shape) or t.dtype != x.dtype):
            raise ValueError(f"{name} is {tuple(t.shape)}, {t.dtype}; {tuple(shape)}, {x.dtype} is needed")
    if (CELLS[cell] is LSTM) != (c0 is not None):
        raise ValueError("c0 is for the LSTM, and needed there")


def _walk_fake(
    cell: int,
    activation: int,
    leak: float,
    keep: bool,
    batch_sizes: list[int] | None,
    x: Tensor,
    h0: Tensor,
    c0: Tensor | None,
    *weights: Tensor | None,
) -> tuple[Tensor, ...]:
    y, c, kept = _room(cell, activation, leak, keep, x, h0, c0)
    last = x.new_empty(h0.shape)
    return _all_tensors((y, c, kept, last, None if c is None else x.new_empty(h0.shape)))


def _all_tensors(results: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """An operator returns tensors: an empty one for each None."""
    like = next(result for result in results if result is not None)
    return tuple(like.new_empty(0) if result is None else result for result in results)


def _arguments(
    cell: int,
    activation: int,
    leak: float,
    batch_sizes: list[int] | None,
    x: Tensor,
    h0: Tensor,
    c0: Tensor | None,
    weights: Sequence[Tensor | None],
    y: Tensor,
    c: Tensor | None,
    kept: Tensor | None,
) -> tuple[tuple, tuple]:
    """What must stay alive during a native call, and the call's arguments: sizes, addresses, choices."""
    x = _readable(x, 1)
    if batch_sizes is None:
        T, B, I = x.shape
        sizes, strides = None, (x.stride(0), x.stride(1))
    else:
        T, B, I = len(batch_sizes), h0.shape[0], x.shape[1]
        sizes, strides = torch.tensor(batch_sizes), (0, x.stride(0))
    dense = [None if t is None else _dense(t) for t in (h0, c0, *weights)]
    addresses = [0 if t is None else t.data_ptr() for t in (*dense, y, c, kept)]
    bits, H = 8 * x.element_size(), h0.shape[1]
    place = 0 if sizes is None else sizes.data_ptr()
    return (x, sizes, dense), (
        cell,
        bits,
        T,
        B,
        I,
        H,
        place,
        x.data_ptr(),
        *strides,
        *addresses,
        activation,
        leak,
        torch.get_num_threads(),
    )


def _dense(t: Tensor) -> Tensor:
    """t as its memory has it: contiguous, and not negated by a view."""
    return t.contiguous().resolve_neg()


def _readable(rows: Tensor, *strides: int) -> Tensor:
    """Rows whose elements stand one of the strides apart; a copy where they do not."""
    return (rows if rows.stride(-1) in strides else rows.contiguous()).resolve_neg()


def _address(t: Tensor | None) -> int:
    return 0 if t is None else t.data_ptr()


def _last(rows: Tensor, batch_sizes: list[int] | None) -> Tensor:
    """The row of each sequence's last step, (B, ·)."""
    if batch_sizes is None:
        return rows[-1].clone()
    lasts, start = [], rows.shape[0]
    ended = 0
    for size in reversed(batch_sizes):
        start -= size
        lasts.append(rows[start + ended : start + size])
        ended = size
    return torch.cat(lasts)


def _gradients(
    cell: int,
    activation: int,
    leak: float,
    batch_sizes: list[int] | None,
    wanted: list[bool],
    x: Tensor,
    h0: Tensor,
    c0: Tensor | None,
    W_ih: Tensor,
    W_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    y: Tensor,
    c: Tensor,
    kept: Tensor,
    dy: Tensor | None,
    dh_n: Tensor | None,
    dc_n: Tensor | None,
) -> list[Tensor | None]:
    """∂L/∂(x, h0, c0, W_ih, W_hh, b_ih, b_hh), None where not wanted."""
    weights = (W_ih, W_hh, b_ih, b_hh)
    gradients = [
        torch.empty_like(source, memory_format=torch.contiguous_format) if want and source is not None else None
        for source, want in zip((x, h0, c0, *weights), wanted, strict=True)
    ]
    dy_strides = (0, 0, 0)
    if dy is not None:
        dy = _readable(dy, 0, 1)
        dy_strides = dy.stride() if batch_sizes is None else (0, *dy.stride())
    d_last = [None if d is None else _dense(d) for d in (dh_n, dc_n)]
    _alive, arguments = _arguments(
        cell, activation, leak, batch_sizes, x, h0, c0, weights, y, _some(c), _some(kept)
    )
    _native.backward(*arguments, _address(dy), *dy_strides, *map(_address, (*d_last, *gradients)))
    return gradients


def _some(t: Tensor | None) -> Tensor | None:
    """None for the empty tensor by which an operator says so."""
    return None if t is None or t.numel() == 0 else t


def _backward_cpu(*arguments: Any) -> list[Tensor]:
    x = arguments[5]
    return [x.new_empty(0) if gradient is None else gradient for gradient in _gradients(*arguments)]


def _backward_fake(
    cell: int, activation: int, leak: float, batch_sizes: list[int] | None, wanted: list[bool], *tensors: Any
) -> list[Tensor]:
    x, *_ = sources = tensors[:7]
    return [x.new_empty(s.shape if want else 0) for s, want in zip(sources, wanted, strict=True)]


def _setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
    cell, activation, leak, _, batch_sizes, *tensors = inputs
    y, c, kept, _, _ = output
    ctx.choices = (cell, activation, leak, batch_sizes)
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*(t for t in (c, kept) if t is not None))
    ctx.save_for_backward(*tensors, y, c, kept)


def _backward(ctx: Any, dy: Tensor | None, _dc: Any, _dkept: Any, dh_n: Tensor | None, dc_n: Tensor | None) -> Any:
    cell, activation, leak, batch_sizes = ctx.choices
    *tensors, y, c, kept = ctx.saved_tensors
    wanted = list(ctx.needs_input_grad[5:])
    if torch.is_grad_enabled():
        gradients = _second_order(ctx.choices, tensors, wanted, (dy, dh_n, dc_n))
    else:
        run: Any = torch.ops.bptt.walk_backward if _traced(y) else _gradients
        gradients = run(cell, activation, leak, batch_sizes, wanted, *tensors, y, c, kept, dy, dh_n, dc_n)
    return (None,) * 5 + tuple(g if want else None for g, want in zip(gradients, wanted, strict=True))


class _EagerWalk(torch.autograd.Function):
    """The same as the operator, for eager calls."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, ...]:
        outputs = _walk(*arguments)
        _setup_context(ctx, arguments, outputs)
        return outputs  # pyright: ignore[reportReturnType]

    @staticmethod
    def backward(ctx: Any, *d_outputs: Any) -> Any:
        return _backward(ctx, *d_outputs)


def _second_order(choices: tuple, tensors: list, wanted: list[bool], seeds: tuple) -> list[Tensor | None]:
    """The gradients through the reference, so that they can be differentiated again."""
    number, activation, leak, batch_sizes = choices
    cell = Elman(ACTIVATIONS[NAMES[activation]], leak) if CELLS[number] is Elman else CELLS[number]()
    has_c = tensors[2] is not None

    def without_c(each: list) -> list:
        return each if has_c else [*each[:2], *each[3:]]

    dy, dh_n, dc_n = seeds
    d_state = (dh_n, dc_n) if has_c else (dh_n,)
    found = differentiable_gradients(
        cell, [*without_c(tensors), None], len(d_state), [*without_c(wanted), False], dy, d_state, batch_sizes
    )[:-1]
    return found if has_c else [*found[:2], None, *found[2:]]


_library.impl("walk", _walk_cpu, "CPU")
_library.impl("walk_backward", _backward_cpu, "CPU")
torch.library.register_fake("bptt::walk", _walk_fake, lib=_library)
torch.library.register_fake("bptt::walk_backward", _backward_fake, lib=_library)
torch.library.register_autograd("bptt::walk", _backward, setup_context=_setup_context, lib=_library)
