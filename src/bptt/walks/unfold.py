"""Unfold a cell in time: walk it forward, walk its adjoint back, and read every gradient off `delta`.

Werbos (1990), "Backpropagation through time: what it does and how to do it". With
E a loss of the outputs, the reverse walk yields delta[t] = ∂E/∂a_t for every step; each weight's
gradient is then one product, Σ_t delta[t]ᵀ operand[t] (`Factor`), summed over time or not.

Steps come as rows: (T, B, ·) for sequences of one length; (N, ·) with `batch_sizes` for packed ones, where
step t owns the next batch_sizes[t] rows and the batch shrinks as the shorter sequences, which stand last,
end. Everything here is plain torch: any device, any floating dtype, differentiable as often as wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.functional import linear

from ..equations.protocol import Equations, State, Weights

BatchSizes = list[int] | None


class Unfolded(NamedTuple):
    """A cell walked forward over T steps."""

    states: Tensor  # (T+1, B, R) or (B+N, R): h before the first step, then after each
    state: State  # after each sequence's last step; each (B, ·)
    kept: Any  # the cell's NamedTuple, each field (T, B, ·) or (N, ·); None where nothing was kept


class Adjoint(NamedTuple):
    """A cell's adjoint walked back over T steps; every field but the last has one row per step."""

    delta_ih: Tensor  # (T, B, G·H) or (N, G·H): ∂E/∂(input part of the pre-activations)
    delta_hh: Tensor  # likewise, of their recurrent part
    dh: Tensor  # (T, B, R) or (N, R): ∂E/∂h after each step, all that flows in counted
    d_state: State  # ∂E/∂(initial state), each (B, ·)


class Factor(NamedTuple):
    """A weight's gradient before it is summed over time: Σ_t delta[t]ᵀ operand[t]."""

    delta: Tensor  # (T, B, G) or (N, G)
    operand: Tensor | None  # (T, B, K) or (N, K); None for a bias, whose operand is 1

    def summed(self) -> Tensor:
        """The gradient, (G, K) or (G)."""
        delta = self.delta.flatten(0, -2)
        return delta.sum(0) if self.operand is None else delta.mT @ self.operand.flatten(0, -2)

    def by_step(self) -> Tensor:
        """What each step contributes to it, (T, G, K) or (T, G); of sequences of one length."""
        if self.operand is None:
            return self.delta.sum(1)
        one = self.delta.shape[-2] == 1  # a product of a column and a row is faster element by element
        return self.delta.mT * self.operand if one else self.delta.mT @ self.operand

    def along(self, direction: Tensor) -> Tensor:
        """Each step's contribution times a tensor of the weight's shape, summed over its elements: (T)."""
        products = self.delta @ direction
        return products.sum(1) if self.operand is None else (products * self.operand).sum((1, 2))

    def mirrored(self) -> Factor:
        """The same with the steps in the opposite order."""
        return Factor(self.delta.flip(0), None if self.operand is None else self.operand.flip(0))


def unfold(
    cell: Equations,
    x: Tensor,
    state: State,
    weights: Weights[Tensor],
    batch_sizes: BatchSizes = None,
    *,
    keep: bool = True,
) -> Unfolded:
    """Walk a cell forward in time.

    Args:
        cell: the equations, for example ``equations.LSTM()``.
        x: (T, B, I), or (N, I) with batch_sizes; T ≥ 1.
        state: the initial state, a tuple of (B, ·).
        weights: the layer's weights.
        batch_sizes: rows of each step, not increasing, or None where all steps have B rows.
        keep: whether to keep what `unfold_adjoint` needs. Default True.

    Returns:
        the states, the final state and what was kept.
    """
    if batch_sizes is None and x.shape[1] == 0 and x.shape[0] > 1:  # a batch of none: one step says all
        return _repeated(unfold(cell, x[:1], state, weights, keep=keep), x.shape[0])
    p = linear(x, weights.W_ih, weights.b_ih)
    outputs, kept, ended = [state[0]], [], []
    for p_t in _steps(p, batch_sizes):
        rows = p_t.shape[0]
        if rows < state[0].shape[0]:
            ended.append(tuple(s[rows:] for s in state))
            state = tuple(s[:rows] for s in state)
        state, kept_t = cell.step(p_t, state, weights)
        outputs.append(state[0])
        if keep:
            kept.append(kept_t)
    ended.append(state)
    return Unfolded(
        states=_join(outputs, batch_sizes),
        state=tuple(torch.cat(parts[::-1]) for parts in zip(*ended, strict=True)),
        kept=type(kept[0])(*(_join(f, batch_sizes) for f in zip(*kept, strict=True))) if keep else None,
    )


def unfold_adjoint(
    cell: Equations,
    unfolded: Unfolded,
    weights: Weights[Tensor],
    d_outputs: Tensor | None,
    d_state: State,
    batch_sizes: BatchSizes = None,
) -> Adjoint:
    """Walk a cell's adjoint back in time.

    Args:
        cell, weights, batch_sizes: as the forward walk had them.
        unfolded: what the forward walk returned, kept fields included.
        d_outputs: ∂E/∂h as it enters at each step, (T, B, R) or (N, R); None for zero.
        d_state: ∂E/∂(final state), a tuple of (B, ·).

    Returns:
        delta of every step, and the adjoint of the initial state.
    """
    T = len(unfolded.kept[0])
    if batch_sizes is None and unfolded.states.shape[1] == 0 and T > 1:
        first = Unfolded(unfolded.states[:2], (), unfolded.kept._make(field[:1] for field in unfolded.kept))
        one = unfold_adjoint(cell, first, weights, None if d_outputs is None else d_outputs[:1], d_state)
        ih, hh, dh = (rows.expand(T, -1, -1) for rows in one[:3])
        return Adjoint(ih, hh, dh, one.d_state)
    kept = list(zip(*(_steps(field, batch_sizes) for field in unfolded.kept), strict=True))
    dy = [None] * len(kept) if d_outputs is None else _steps(d_outputs, batch_sizes)
    d, rows = tuple(g[:0] for g in d_state), 0
    delta_ih, delta_hh, dh = [], [], []
    for kept_t, dy_t in zip(reversed(kept), reversed(dy), strict=True):
        before, rows = rows, kept_t[0].shape[0]
        if rows > before:  # sequences that end with this step join the walk
            d = tuple(torch.cat([g, final[before:rows]]) for g, final in zip(d, d_state, strict=True))
        if dy_t is not None:
            d = (d[0] + dy_t, *d[1:])
        dh.append(d[0])
        deltas, d = cell.step_adjoint(d, type(unfolded.kept)(*kept_t), weights)
        delta_ih.append(deltas.ih)
        delta_hh.append(deltas.hh)
    walked_ih = _join(delta_ih[::-1], batch_sizes)
    one_delta = delta_hh[0] is delta_ih[0]
    walked_hh = walked_ih if one_delta else _join(delta_hh[::-1], batch_sizes)
    return Adjoint(walked_ih, walked_hh, _join(dh[::-1], batch_sizes), d)


def _repeated(one: Unfolded, T: int) -> Unfolded:
    """The walk of T steps of a batch of none, from that of its first."""
    kept = one.kept and one.kept._make(field.expand(T, *field.shape[1:]) for field in one.kept)
    return Unfolded(one.states[1:].expand(T + 1, -1, -1), one.state, kept)


def weight_factors(
    x: Tensor,
    unfolded: Unfolded,
    adjoint: Adjoint,
    weights: Weights[Tensor],
    batch_sizes: BatchSizes = None,
) -> Weights[Factor]:
    """Each weight's gradient as a `Factor`: `delta` and what it is multiplied with.

    Args:
        x: the forward walk's input.
        unfolded, adjoint: what the two walks returned.
        weights, batch_sizes: as the walks had them.
    """
    projected = None
    if weights.W_hr is not None:
        projected = Factor(adjoint.dh, unfolded.kept.o * unfolded.kept.tanh_c)
    return Weights(
        W_ih=Factor(adjoint.delta_ih, x),
        W_hh=Factor(adjoint.delta_hh, _previous(unfolded.states, batch_sizes)),
        b_ih=None if weights.b_ih is None else Factor(adjoint.delta_ih, None),
        b_hh=None if weights.b_hh is None else Factor(adjoint.delta_hh, None),
        W_hr=projected,
    )


def input_gradient(adjoint: Adjoint, weights: Weights[Tensor]) -> Tensor:
    """∂E/∂x, shaped as x."""
    return adjoint.delta_ih @ weights.W_ih


def differentiable_gradients(
    cell: Equations,
    inputs: Sequence[Tensor | None],
    n_state: int,
    wanted: Sequence[bool],
    d_outputs: Tensor | None,
    d_state: Sequence[Tensor | None],
    batch_sizes: BatchSizes = None,
) -> list[Tensor | None]:
    """The gradients of a walk in its inputs (x, *state, *weights), themselves differentiable.

    Args:
        cell, batch_sizes: as the forward walk had them.
        inputs: x, the n_state tensors of the initial state, and the five weights.
        wanted: for each input, whether its gradient is computed; None stands for the others.
        d_outputs, d_state: ∂E/∂(outputs) and ∂E/∂(final state), None for zero.
    """
    with torch.enable_grad():  # also where many gradients come at once
        # Aliases: were an input computed from another one, its own history must not count here.
        aliases = [None if t is None else t.view_as(t) for t in inputs]
        x, state = cast("Tensor", aliases[0]), cast("State", tuple(aliases[1 : 1 + n_state]))
        weights = cast("Weights[Tensor]", Weights(*aliases[1 + n_state :]))
        unfolded = unfold(cell, x, state, weights, batch_sizes, keep=False)
        results = (outputs_of(unfolded.states, state[0].shape[0], batch_sizes), *unfolded.state)
    walked, seeds = [], []
    for result, d in zip(results, (d_outputs, *d_state), strict=True):
        if d is not None:
            walked.append(result)
            seeds.append(d)
    sources = [t for t, want in zip(aliases, wanted, strict=True) if want and t is not None]
    found = iter(torch.autograd.grad(walked, sources, seeds, create_graph=True, allow_unused=True))
    return [next(found) if want else None for want in wanted]


def outputs_of(states: Tensor, batch: int, batch_sizes: BatchSizes = None) -> Tensor:
    """h after each step, (T, B, R) or (N, R): the states without the initial one."""
    return states[1:] if batch_sizes is None else states[batch:]


def _previous(states: Tensor, batch_sizes: BatchSizes) -> Tensor:
    """h before each step, (T, B, R) or (N, R)."""
    if batch_sizes is None:
        return states[:-1]
    before = states.split([batch_sizes[0], *batch_sizes])
    return torch.cat([h[:rows] for h, rows in zip(before, batch_sizes, strict=False)])


def _steps(rows: Tensor, batch_sizes: BatchSizes) -> tuple[Tensor, ...]:
    return rows.unbind(0) if batch_sizes is None else rows.split(batch_sizes)


def _join(steps: list[Tensor] | tuple[Tensor, ...], batch_sizes: BatchSizes) -> Tensor:
    return torch.stack(tuple(steps)) if batch_sizes is None else torch.cat(tuple(steps))
