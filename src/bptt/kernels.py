"""The one door to a walk through time: it looks at the tensors and chooses the room behind it.

Two rooms: `_Walk`, whose way back is the cell's own adjoint, and the differentiable reference, plain `unfold`
under autograd, for what only that can do (vmap, forward mode, second derivatives, tracing by a compiler).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .checks import autocast_is_on
from .equations.cell import Cell, State, Weights
from .unfold import BatchSizes, Unfolded, input_gradient, outputs_of, unfold, unfold_adjoint, weight_factors


def walk(
    cell: Cell,
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
    if autocast_is_on(x.device):
        return _autocast_walk(cell, x, state, weights, batch_sizes)
    batch = state[0].shape[0]
    tensors = [t for t in (x, *state, *weights) if t is not None]
    differentiate = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    if not differentiate or _only_reference():
        unfolded = unfold(cell, x, state, weights, batch_sizes, keep=False)
        return outputs_of(unfolded.states, batch, batch_sizes), unfolded.state
    states, *final = _Walk.apply(cell, batch_sizes, len(state), x, *state, *weights)  # pyright: ignore
    return outputs_of(states, batch, batch_sizes), tuple(final)


def _autocast_walk(
    cell: Cell, x: Tensor, state: State, weights: Weights[Tensor], batch_sizes: BatchSizes
) -> tuple[Tensor, State]:
    """The walk on tensors of autocast's dtype, as torch.nn's fused kernels have it."""
    device_type = x.device.type
    dtype = torch.get_autocast_dtype(device_type)
    with torch.autocast(device_type, enabled=False):
        state = tuple(s.to(dtype) for s in state)
        return walk(cell, x.to(dtype), state, weights.each(lambda w: w.to(dtype)), batch_sizes)


def _only_reference() -> bool:
    """Whether the caller transforms or traces the walk, which takes plain operations."""
    return (
        torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch.compiler.is_compiling()
    )


class _Walk(torch.autograd.Function):
    """`unfold` forward, `unfold_adjoint` back."""

    @staticmethod
    def forward(ctx: Any, cell: Cell, batch_sizes: BatchSizes, n_state: int, x: Tensor, *rest: Any):
        state, weights = rest[:n_state], Weights(*rest[n_state:])
        unfolded = unfold(cell, x, state, weights, batch_sizes)
        ctx.cell, ctx.batch_sizes, ctx.n_state = cell, batch_sizes, n_state
        ctx.kept = type(unfolded.kept)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, *rest, unfolded.states, *unfolded.kept)
        return unfolded.states, *unfolded.state

    @staticmethod
    def backward(ctx: Any, *d_walked: Tensor | None):
        n = 1 + ctx.n_state + len(Weights._fields)
        inputs, (states, *kept) = ctx.saved_tensors[:n], ctx.saved_tensors[n:]
        if torch.is_grad_enabled():
            gradients = _differentiable_gradients(ctx, inputs, d_walked)
        else:
            gradients = _gradients(ctx, inputs, Unfolded(states, (), ctx.kept(*kept)), d_walked)
        return None, None, None, *gradients


def _gradients(ctx: Any, inputs: tuple, unfolded: Unfolded, d_walked: tuple) -> list[Tensor | None]:
    """∂L/∂(x, state, weights) by the adjoint walk; None for what is frozen."""
    x, state, weights = _sorted_out(ctx, inputs)
    d_states, *d_final = d_walked
    batch = state[0].shape[0]
    adjoint = unfold_adjoint(
        ctx.cell,
        unfolded,
        weights,
        None if d_states is None else outputs_of(d_states, batch, ctx.batch_sizes),
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


def _differentiable_gradients(ctx: Any, inputs: tuple, d_walked: tuple) -> list[Tensor | None]:
    """The same, through the reference, so that the gradients can be differentiated again."""
    # Aliases: were an input computed from another one, its own history must not count here.
    aliases = tuple(None if t is None else t.view_as(t) for t in inputs)
    x, state, weights = _sorted_out(ctx, aliases)
    unfolded = unfold(ctx.cell, x, state, weights, ctx.batch_sizes, keep=False)
    walked, seeds = [], []
    for result, d in zip((unfolded.states, *unfolded.state), d_walked, strict=True):
        if d is not None:
            walked.append(result)
            seeds.append(d)
    wanted = ctx.needs_input_grad[3:]
    sources = [t for t, want in zip(aliases, wanted, strict=True) if want and t is not None]
    found = iter(torch.autograd.grad(walked, sources, seeds, create_graph=True, allow_unused=True))
    return [next(found) if want else None for want in wanted]


def _sorted_out(ctx: Any, inputs: tuple) -> tuple[Tensor, State, Weights[Tensor]]:
    return inputs[0], inputs[1 : 1 + ctx.n_state], Weights(*inputs[1 + ctx.n_state :])
