"""The one door to a walk through time: it looks at the tensors and chooses the room behind it.

Three rooms: the native kernels of `cpu`; `_Walk`, plain operations forward and the cell's own adjoint back, on
any device and for any cell; and plain `unfold` under autograd, for what only that can do (vmap, forward mode).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active, _is_any_autocast_enabled
from torch.autograd import forward_ad
from torch.compiler import is_compiling
from torch.nn import Parameter
from torch.nn.functional import linear
from torch.nn.utils.rnn import PackedSequence

from ..checks import autocast_is_on
from ..equations import ElmanEquations
from ..equations.protocol import Equations, State, Weights
from . import cpu, operators
from . import sweep as plain_sweep
from .sweep import Errors, Swept
from .unfold import (
    Adjoint,
    BatchSizes,
    Unfolded,
    differentiable_gradients,
    input_gradient,
    outputs_of,
    unfold,
    unfold_adjoint,
    weight_factors,
)

HALF = (torch.float16, torch.bfloat16)
MANY = 2**17  # numbers in a layer's matrices, half a megabyte, from which on `one_step` is the faster one


def walk(
    cell: Equations,
    x: Tensor,
    state: State,
    weights: Weights[Tensor],
    batch_sizes: BatchSizes = None,
) -> tuple[Tensor, State]:
    """One layer, one direction, through time; differentiable in x, state and weights.

    Args:
        cell: the equations.
        x: (T, B, I), or (N, I) with batch_sizes.
        state: the initial state, a tuple of (B, ·).
        weights: the layer's weights.
        batch_sizes: rows of each step, not increasing; None where all steps have B rows.

    Returns:
        h after each step, (T, B, R) or (N, R), and the final state.
    """
    if autocast_is_on(x.device):  # as torch.nn's fused kernels have it: everything in autocast's dtype
        x, state, weights = _in(torch.get_autocast_dtype(x.device.type), x, state, weights)
        with torch.autocast(x.device.type, enabled=False):
            return walk(cell, x, state, weights, batch_sizes)
    choices, _ = room(cell, x, state, weights)
    if choices is not None:
        native = operators if cpu.must_be_an_operator((x, *state, *weights)) else cpu
        if x.dtype not in HALF:
            return native.walk(choices, x, state, weights, batch_sizes)
        _check_memory(x, state, weights)
        y, final = native.walk(choices, *_in(torch.float32, x, state, weights), batch_sizes)
        return y.to(x.dtype), tuple(s.to(x.dtype) for s in final)  # computed in float32, rounded once
    _check_memory(x, state, weights)
    tensors = [t for t in (x, *state, *weights) if t is not None]
    differentiate = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    if not differentiate or _transformed() or torch.compiler.is_compiling():
        return plain_walk(cell, x, state, weights, batch_sizes)
    return adjoint_walk(cell, x, state, weights, batch_sizes)


def _check_memory(x: Tensor, state: State, weights: Weights[Tensor]) -> None:
    """Refuse a tensor whose storage was resized below it, which torch's own operations would read past its end."""
    if _transformed() or is_compiling():
        return
    states = (f"state {number}" for number in range(len(state)))
    for name, t in zip(("x", *states, *weights._fields), (x, *state, *weights), strict=True):
        if t is None or type(t) not in (Tensor, Parameter) or t.layout != torch.strided:
            continue
        last = sum((n - 1) * stride for n, stride in zip(t.shape, t.stride(), strict=True))
        if t.numel() and (t.storage_offset() + last + 1) * t.element_size() > t.untyped_storage().nbytes():
            raise ValueError(
                f"{name} has lost its memory: its storage was resized to less than the tensor spans; give it its "
                "values again before the call"
            )


def adjoint_walk(
    cell: Equations, x: Tensor, state: State, weights: Weights[Tensor], batch_sizes: BatchSizes = None
) -> tuple[Tensor, State]:
    """`walk` in the second room: the equations forward, and the cell's own adjoint back."""
    aliases = (None if t is None else cpu.alias(t) for t in (x, *state, *weights))
    y, *final = _Walk.apply(cell, batch_sizes, len(state), *aliases)  # pyright: ignore
    return y, tuple(final)


def plain_walk(
    cell: Equations, x: Tensor, state: State, weights: Weights[Tensor], batch_sizes: BatchSizes = None
) -> tuple[Tensor, State]:
    """`walk` in the third room: the equations under autograd, which knows nothing of the cell's adjoint."""
    unfolded = unfold(cell, x, state, weights, batch_sizes, keep=False)
    return outputs_of(unfolded.states, state[0].shape[0], batch_sizes), unfolded.state


def one_step(
    cell: Equations, x: Tensor, state: State, weights: Weights[Tensor], batch_sizes: BatchSizes
) -> tuple[Tensor, State]:
    """`walk` of one step, x (1, B, I), in plain operations: to pack `MANY` weights would cost more than it."""
    if autocast_is_on(x.device) or x.dtype in HALF:
        return walk(cell, x, state, weights, batch_sizes)
    after, _ = cell.step(linear(x[0], weights.W_ih, weights.b_ih), state, weights)
    return after[0].unsqueeze(0), after


def record(cell: Equations, x: Tensor, state: State, weights: Weights[Tensor]) -> Unfolded:
    """`unfold` at kernel speed where there is a kernel: the walk forward, without a graph, and what it kept.

    Args:
        cell, x, state, weights: as `walk` takes them, x (T, B, I).
    """
    choices, _ = room(cell, x, state, weights)
    if choices is None or x.dtype in HALF:
        return unfold(cell, x, state, weights)
    return cpu.record(choices, x, state, weights)


def walk_and_keep(
    cell: Equations, x: Tensor, state: State, weights: Weights[Tensor]
) -> tuple[Tensor, State, Unfolded]:
    """`walk`, and what it kept: that of every step but the first, whose state before it is not kept everywhere.

    Args:
        cell, x, state, weights: as `walk` takes them, x (T, B, I) of float32 or float64, outside autocast.

    Returns:
        what `walk` returns, and an `Unfolded` of the steps from the second on, which copies nothing; `adjoint`
        takes it with x[1:].
    """
    choices, _ = room(cell, x, state, weights)
    tensors = (x, *state, *weights)
    if not (torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)):
        states, final, kept = record(cell, x, state, weights)
        y = outputs_of(states, state[0].shape[0])
    elif choices is not None:
        return cpu.walk_and_keep(choices, x, state, weights)
    else:
        y, final = adjoint_walk(cell, x, state, weights)
        node: Any = y.grad_fn
        states, *fields = node.saved_tensors[-1 - len(node.kept._fields) :]
        kept = node.kept(*fields)
    return y, tuple(final), Unfolded(states[1:].detach(), (), kept._make(field[1:] for field in kept))


def adjoint(
    cell: Equations,
    x: Tensor,
    unfolded: Unfolded,
    weights: Weights[Tensor],
    d_outputs: Tensor | None,
    d_state: State,
) -> Adjoint:
    """`unfold_adjoint` of what `record` returned, or of some of its steps: delta and dh of every step, not summed.

    Args:
        cell, x, weights: as `record` took them.
        unfolded: what it returned.
        d_outputs: ∂E/∂h as it enters at each step, (T, B, R); None for zero.
        d_state: ∂E/∂(final state), a tuple of (B, ·).
    """
    if isinstance(unfolded.kept, cpu.Kept):
        return cpu.adjoint(cell, x, unfolded, weights, d_outputs, d_state)
    return unfold_adjoint(cell, unfolded, weights, d_outputs, d_state)


def sweep(
    cell: Equations,
    x: Tensor,
    unfolded: Unfolded,
    weights: Weights[Tensor],
    steps: int,
    errors: Errors,
    wanted: bool,
) -> Swept:
    """`sweep.sweep` of what `record` returned, at kernel speed where there is a kernel."""
    room = cpu if isinstance(unfolded.kept, cpu.Kept) else plain_sweep
    return room.sweep(cell, x, unfolded, weights, steps, errors, wanted)


def _in(
    dtype: torch.dtype, x: Tensor, state: State, weights: Weights[Tensor]
) -> tuple[Tensor, State, Weights[Tensor]]:
    return x.to(dtype), tuple(s.to(dtype) for s in state), weights.each(lambda w: w.to(dtype))


def ordinary_walk(
    module: Any, names: Weights[str], choices: cpu.Choices | None, x: Any, hx: Any, I: int
) -> tuple[Tensor, State] | None:
    """The short way through a module's layer with I features (`cpu.ordinary_walk`); None if it is barred."""
    if choices is None or not cpu.available() or _transformed() or _is_any_autocast_enabled():
        return None
    return cpu.ordinary_walk(choices, names, module._parameters, x, hx, I, module.hidden_size)


def _transformed() -> bool:
    """Whether vmap, grad, jvp or dual numbers are at work, which take plain operations."""
    return _are_functorch_transforms_active() or forward_ad._current_level >= 0


def room(
    cell: Equations, x: Tensor, state: State, weights: Weights[Tensor]
) -> tuple[cpu.Choices, None] | tuple[None, str]:
    """What to tell the fused kernels, or in words why they cannot take this walk."""
    choices = cpu.Choices.of(cell)
    reason = _reason(cell, choices, x, state, weights)
    return (choices, None) if choices is not None and reason is None else (None, str(reason))


def _reason(
    cell: Equations, choices: cpu.Choices | None, x: Tensor, state: State, weights: Weights[Tensor]
) -> str | None:
    if not cpu.available():
        return "the native kernels are not installed, or torch is older than they need"
    if _transformed():
        return "a transform (vmap, grad, jvp, dual numbers) takes plain operations"
    if x.device.type != "cpu":
        return f"the native kernels run on CPUs, and this is on {x.device}"
    if x.dtype not in (torch.float32, torch.float64, *HALF):
        return f"the native kernels have no {x.dtype}"
    if choices is None and isinstance(cell, ElmanEquations):
        return f"the activation {cell.activation.name!r} is the user's own"
    if choices is None:
        return f"{type(cell).__name__} has no native kernel"
    if weights.W_hr is not None:
        return "a projected LSTM has no native kernel"
    if state[0].shape[0] == 0:
        return "the batch is empty"
    return None


def why(module: Any, x: Any) -> str:
    """In one line, which room a call of a module takes and why.

    Args:
        module: a `bptt.RNN`, `GRU` or `LSTM`.
        x: its input, as it would be called.

    >>> from bptt import GRU
    >>> print(why(GRU(3, 5, device="meta"), torch.empty(4, 2, 3, device="meta")))
    reference: the native kernels run on CPUs, and this is on meta
    """
    weights = module.weights()[0][0]
    rows: Tensor = x.data if isinstance(x, PackedSequence) else x
    batch = weights.W_hh.new_empty(module.batch_of(x), 0)
    if autocast_is_on(rows.device):
        rows = rows.to(torch.get_autocast_dtype(rows.device.type))
    _, reason = room(module.cell, rows, (batch,), weights)
    if reason is not None:
        return f"reference: {reason}"
    computed = ", computed in float32" if rows.dtype in HALF else ""
    return f"fused ({cpu.isa()}): {type(module).__name__} in {rows.dtype} on {rows.device}{computed}"


class _Walk(torch.autograd.Function):
    """`unfold` forward, `unfold_adjoint` back."""

    @staticmethod
    def forward(ctx: Any, cell: Equations, batch_sizes: BatchSizes, n_state: int, x: Tensor, *rest: Any):
        state, weights = rest[:n_state], Weights(*rest[n_state:])
        unfolded = unfold(cell, x, state, weights, batch_sizes)
        ctx.cell, ctx.batch_sizes, ctx.n_state = cell, batch_sizes, n_state
        ctx.kept = type(unfolded.kept)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, *rest, unfolded.states, *unfolded.kept)
        y = outputs_of(unfolded.states, state[0].shape[0], batch_sizes)
        return y.clone(), *unfolded.state  # the caller's, to change in place

    @staticmethod
    def backward(ctx: Any, *d_walked: Tensor | None):
        n = 1 + ctx.n_state + len(Weights._fields)
        inputs, (states, *kept) = ctx.saved_tensors[:n], ctx.saved_tensors[n:]
        if torch.is_grad_enabled() or cpu.are_batched(d_walked):
            dy, *d_final = d_walked
            gradients = differentiable_gradients(
                ctx.cell, inputs, ctx.n_state, ctx.needs_input_grad[3:], dy, d_final, ctx.batch_sizes
            )
        else:
            gradients = _gradients(ctx, inputs, Unfolded(states, (), ctx.kept(*kept)), d_walked)
        return None, None, None, *gradients


def _gradients(ctx: Any, inputs: tuple, unfolded: Unfolded, d_walked: tuple) -> list[Tensor | None]:
    """∂L/∂(x, state, weights) by the adjoint walk; None for what is frozen."""
    x, state, weights = _sorted_out(ctx, inputs)
    dy, *d_final = d_walked
    adjoint = unfold_adjoint(
        ctx.cell,
        unfolded,
        weights,
        dy,
        tuple(torch.zeros_like(s) if d is None else d for s, d in zip(state, d_final, strict=True)),
        ctx.batch_sizes,
    )
    factors = weight_factors(x, unfolded, adjoint, weights, ctx.batch_sizes)
    wanted = ctx.needs_input_grad[3:]
    of_weights = wanted[1 + len(state) :]
    return [
        input_gradient(adjoint, weights) if wanted[0] else None,
        *adjoint.d_state,
        *(f.summed() if f is not None and want else None for f, want in zip(factors, of_weights, strict=True)),
    ]


def _sorted_out(ctx: Any, inputs: tuple) -> tuple[Tensor, State, Weights[Tensor]]:
    return inputs[0], inputs[1 : 1 + ctx.n_state], Weights(*inputs[1 + ctx.n_state :])
