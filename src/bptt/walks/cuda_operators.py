"""The CUDA kernels' walks as registered operators, for torch.compile and torch.export.

They work as those of `operators` do, except that the backward operator gives delta: the products of it that are
the gradients are torch's own operations. A variant is chosen when an operator runs, whatever T and B are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.compiler import is_compiling

from . import operators

if TYPE_CHECKING:
    from ..cuda.plan import CellType
    from ..equations.protocol import Equations, State
    from .call import BatchSizes, Call

_library = torch.library.Library("bptt", "FRAGMENT")
_CELL = "str cell, str activation, float leak, int[]? batch_sizes"
_OPERANDS = "Tensor x, Tensor h0, Tensor? c0, Tensor W_ih, Tensor W_hh, Tensor? b_ih, Tensor? b_hh"
_library.define(
    f"cuda_walk({_CELL}, bool keep, {_OPERANDS}) -> (Tensor y, Tensor c, Tensor kept, Tensor h_n, Tensor c_n)"
)
_library.define(
    f"cuda_walk_backward({_CELL}, {_OPERANDS}, Tensor y, Tensor c, Tensor kept, "
    "Tensor? dy, Tensor? dh_n, Tensor? dc_n) "
    "-> (Tensor delta_ih, Tensor delta_hh, Tensor d_h0, Tensor d_c0)"
)


def cuda_operator_walk(call: Call) -> tuple[Tensor, State]:
    """h after each step and the final state, by the operator."""
    from .call import alias
    from .kernels import Choices

    choices, keep = Choices.of(call.cell), call.wants_gradients()
    assert choices is not None  # else the backend refuses the call
    call = call if is_compiling() else call.each(alias)  # a compiler has the tensors to itself
    h0, *c0 = call.state
    operands = call.x, h0, c0[0] if c0 else None, *call.weights[:4]
    y, _, _, h_n, c_n = torch.ops.bptt.cuda_walk(*choices, call.batch_sizes, keep, *operands)
    return y, (h_n, c_n) if c0 else (h_n,)


def _cell(cell: str, activation: str, leak: float) -> tuple[Equations, CellType]:
    from ..cuda.plan import cell_type
    from .kernels import Choices

    equations = Choices(cell, activation, leak).equations()
    kind = cell_type(equations)
    assert kind is not None
    return equations, kind


def _call(equations: Equations, batch_sizes: BatchSizes, operands: tuple[Any, ...]) -> Call:
    from ..equations import Weights
    from .call import Call

    x, h0, c0, W_ih, W_hh, b_ih, b_hh = operands
    state = (h0,) if c0 is None else (h0, c0)
    return Call(equations, x, state, Weights(W_ih, W_hh, b_ih, b_hh, None), batch_sizes)


def _check(call: Call) -> None:
    """Refuse tensors with which the kernels would read past an end."""
    from ..cuda.plan import MOST_STATES

    x, sizes, (B, H), G = call.x, call.batch_sizes, call.state[0].shape, call.cell.gates
    if len(x) == 0 and B > 0:
        raise ValueError("x is a sequence of length 0; the length must be at least 1")
    if x.shape[:-1].numel() > MOST_STATES:
        raise ValueError(f"bptt::cuda_walk takes {MOST_STATES} states at most, got x {tuple(x.shape)}")
    rows = [len(x), B] if sizes is None else [sum(sizes)]
    sizes_fit = sizes is None or (sizes[:1] == [B] and sizes[-1] > 0 and sizes == sorted(sizes, reverse=True))
    shapes = [(B, H)] * len(call.state) + [(G * H, x.shape[-1]), (G * H, H), (G * H,), (G * H,), ()]
    for t, shape in zip(call.tensors(), [(*rows, x.shape[-1]), *shapes], strict=True):
        if t is not None and (t.shape != shape or (t.dtype, t.device) != (x.dtype, x.device) or not sizes_fit):
            raise ValueError(
                f"bptt::cuda_walk of {B} rows and {H} units takes {shape} like x, got {tuple(t.shape)}"
            )


def _walk(cell: str, activation: str, leak: float, sizes: BatchSizes, keep: bool, *operands: Any) -> tuple:
    from . import cuda_variants
    from .cuda_calls import launch_forward

    call = _call(_cell(cell, activation, leak)[0], sizes, operands)
    _check(call)
    saved, state = launch_forward(cuda_variants.VARIANTS.of_operator(call), call, keep)
    return operators.all_tensors(call.x, (*saved, *(*state, None)[:2]))


def _walk_fake(
    cell: str, activation: str, leak: float, sizes: BatchSizes, keep: bool, x: Tensor, h0: Tensor, *_: Any
) -> tuple[Tensor, ...]:
    kind, rows, H = _cell(cell, activation, leak)[1], x.shape[:-1], h0.shape[1]
    y, last = x.new_empty((*rows, H)), x.new_empty(h0.shape)
    c = x.new_empty(y.shape, dtype=torch.float32) if keep and kind.has_c else None
    kept = x.new_empty((*rows, kind.keeps * H)) if keep and kind.keeps else None
    return operators.all_tensors(x, (y, c, kept, last, torch.empty_like(last) if kind.has_c else None))


def _walk_backward(
    cell: str, activation: str, leak: float, sizes: BatchSizes, *tensors: Any
) -> tuple[Tensor, ...]:
    from . import cuda_variants
    from .cuda_calls import launch_backward
    from .recording import Saved

    call = _call(_cell(cell, activation, leak)[0], sizes, tensors[:7])
    _check(call)
    saved, (dy, *d_state) = Saved(*operators.saved_of(tensors[7:10])), tensors[10:]  # pyright: ignore
    variant = cuda_variants.VARIANTS.of_operator(call)
    adjoint = launch_backward(variant, call, saved, dy, d_state[: len(call.state)], with_dh=False)
    delta_hh = None if adjoint.delta_hh is adjoint.delta_ih else adjoint.delta_hh
    return operators.all_tensors(call.x, (adjoint.delta_ih, delta_hh, *(*adjoint.d_state, None)[:2]))


def _backward_fake(
    cell: str, activation: str, leak: float, sizes: BatchSizes, x: Tensor, h0: Tensor, *_: Any
) -> tuple:
    kind, d_h0 = _cell(cell, activation, leak)[1], x.new_empty(h0.shape)
    delta = x.new_empty((*x.shape[:-1], kind.gates * h0.shape[1]))
    delta_hh = None if kind.one_delta else torch.empty_like(delta)
    return operators.all_tensors(x, (delta, delta_hh, d_h0, torch.empty_like(d_h0) if kind.has_c else None))


def _setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
    y, c, kept, _, _ = output
    ctx.cell, ctx.sizes = inputs[:3], inputs[3]
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(c, kept)
    ctx.save_for_backward(*inputs[5:], y, c, kept)


def _backward(
    ctx: Any, dy: Tensor | None, _dc: Any, _dkept: Any, dh_n: Tensor | None, dc_n: Tensor | None
) -> tuple:
    from .cuda_calls import gradients_of
    from .double_backward import differentiable_gradients
    from .unfold import Adjoint, walk_unfolded

    tensors = ctx.saved_tensors
    y = tensors[7]
    (equations, kind), n = _cell(*ctx.cell), 1 + (tensors[2] is not None)
    call, seeds = _call(equations, ctx.sizes, tensors[:7]), (dh_n, dc_n)[:n]
    of_x, of_h0, of_c0, *of_weights = ctx.needs_input_grad[5:]
    wanted = [of_x, *(of_h0, of_c0)[:n], *of_weights, False]
    if torch.is_grad_enabled():
        found = differentiable_gradients(call, walk_unfolded, wanted, dy, seeds)
    else:
        walk_backward: Any = torch.ops.bptt.cuda_walk_backward
        with torch.autocast(call.x.device.type, enabled=False):
            ih, hh, *d_state = walk_backward(*ctx.cell, ctx.sizes, *tensors, dy, *(*seeds, None)[:2])
            # Of ∂L/∂h only a projected LSTM has need, which is not walked here.
            adjoint = Adjoint(ih, ih if kind.one_delta else hh, y.new_empty(0), tuple(d_state[:n]))  # pyright: ignore
            found = gradients_of(call, y, adjoint, wanted)
    dx, *others = found
    return (None,) * 5 + (dx, *others[:n], *[None] * (2 - n), *others[n:-1])


_library.impl("cuda_walk", _walk, "CompositeExplicitAutograd")
_library.impl("cuda_walk_backward", _walk_backward, "CompositeExplicitAutograd")
torch.library.register_fake("bptt::cuda_walk", _walk_fake, lib=_library)
torch.library.register_fake("bptt::cuda_walk_backward", _backward_fake, lib=_library)
torch.library.register_autograd("bptt::cuda_walk", _backward, setup_context=_setup_context, lib=_library)
