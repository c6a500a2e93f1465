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
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from ..equations.protocol import State, Weights
from .call import BatchSizes, Call


class Unfolded(NamedTuple):
    """A cell walked forward over T steps."""

    states: Tensor  # (T+1, B, R) or (B+N, R): h before the first step, then after each
    y: Tensor  # (T, B, R) or (N, R): the states without the initial one
    state: State  # after each sequence's last step; each (B, ·)
    kept: Any  # the cell's NamedTuple, each field (T, B, ·) or (N, ·); None where nothing was kept


class Adjoint(NamedTuple):
    """A cell's adjoint walked back over T steps; every field but the last has one row per step."""

    delta_ih: Tensor  # (T, B, G·H) or (N, G·H): ∂E/∂(input part of the pre-activations)
    delta_hh: Tensor  # of their recurrent part, in the same layout
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
        """Each step's contribution to it, (T, G, K) or (T, G); of sequences of one length."""
        if self.operand is None:
            return self.delta.sum(1)
        one = self.delta.shape[-2] == 1  # a product of a column and a row is faster element by element
        return self.delta.mT * self.operand if one else self.delta.mT @ self.operand

    def norms(self) -> Tensor:
        """The norm of each step's contribution, (T), which is not itself formed where the batch is small.

        ‖Σ_b δ_b ⊗ x_b‖² = Σ_{b,b'} (δ_b·δ_b') (x_b·x_b').
        """
        if self.operand is None:
            return self.delta.sum(1).norm(dim=1)
        if self.delta.shape[1] ** 2 > self.delta.shape[2] * self.operand.shape[2]:
            return torch.stack([(d.mT @ x).norm() for d, x in zip(self.delta, self.operand, strict=True)])
        products = (self.delta @ self.delta.mT) * (self.operand @ self.operand.mT)
        return products.sum((1, 2)).clamp(min=0).sqrt()

    def along(self, direction: Tensor) -> Tensor:
        """Each step's contribution times a tensor of the weight's shape, summed over its elements: (T)."""
        products = self.delta @ direction
        return products.sum(1) if self.operand is None else (products * self.operand).sum((1, 2))

    def mirrored(self) -> Factor:
        """The same with the steps in the opposite order."""
        return Factor(self.delta.flip(0), None if self.operand is None else self.operand.flip(0))


def unfold_layer(call: Call, *, keep: bool = True) -> Unfolded:
    """Walk one layer and direction forward in time.

    Args:
        keep: whether to keep what `unfold_adjoint` needs. Default True.
    """
    cell, x, state, weights, batch_sizes = call
    if batch_sizes is None and x.shape[1] == 0 and x.shape[0] > 1:  # a batch of none: one step says all
        return _repeated(unfold_layer(call._replace(x=x[:1]), keep=keep), x.shape[0])
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
    states = _join(outputs, batch_sizes)
    return Unfolded(
        states=states,
        y=states[1 if batch_sizes is None else batch_sizes[0] :],
        state=tuple(torch.cat(parts[::-1]) for parts in zip(*ended, strict=True)),
        kept=type(kept[0])(*(_join(f, batch_sizes) for f in zip(*kept, strict=True))) if keep else None,
    )


def walk_unfolded(call: Call) -> tuple[Tensor, State]:
    """h after each step and the final state by plain operations, which autograd follows."""
    unfolded = unfold_layer(call, keep=False)
    return unfolded.y, unfolded.state


def unfold_adjoint(call: Call, kept: Any, d_outputs: Tensor | None, d_state: State | None = None) -> Adjoint:
    """Walk a layer's adjoint back in time.

    Args:
        call: what was walked; its x is not read, and of its initial state the shapes alone.
        kept: what was kept, the cell's NamedTuple of (T, B, ·) or (N, ·).
        d_outputs: ∂E/∂h as it enters at each step, (T, B, R) or (N, R); None for zero.
        d_state: ∂E/∂(final state), a tuple of (B, ·); None for zero. Default None.

    Returns:
        delta of every step, and the adjoint of the initial state.
    """
    T, batch_sizes = len(kept[0]), call.batch_sizes
    d_state = tuple(torch.zeros_like(s) for s in call.state) if d_state is None else d_state
    if batch_sizes is None and kept[0].shape[1] == 0 and T > 1:  # a batch of none
        first = kept._make(field[:1] for field in kept)
        one = unfold_adjoint(call, first, None if d_outputs is None else d_outputs[:1], d_state)
        ih, hh, dh = (rows.expand(T, -1, -1) for rows in one[:3])
        return Adjoint(ih, hh, dh, one.d_state)
    steps = [kept._make(fields) for fields in zip(*(_steps(field, batch_sizes) for field in kept), strict=True)]
    dy = [None] * len(steps) if d_outputs is None else _steps(d_outputs, batch_sizes)
    d, rows = tuple(g[:0] for g in d_state), 0
    delta_ih, delta_hh, dh = [], [], []
    for kept_t, dy_t in zip(reversed(steps), reversed(dy), strict=True):
        before, rows = rows, kept_t[0].shape[0]
        if rows > before:  # sequences that end with this step join the walk
            d = tuple(torch.cat([g, final[before:rows]]) for g, final in zip(d, d_state, strict=True))
        if dy_t is not None:
            d = (d[0] + dy_t, *d[1:])
        dh.append(d[0])
        deltas, d = call.cell.step_adjoint(d, kept_t, call.weights)
        delta_ih.append(deltas.ih)
        delta_hh.append(deltas.hh)
    walked_ih = _join(delta_ih[::-1], batch_sizes)
    one_delta = delta_hh[0] is delta_ih[0]
    walked_hh = walked_ih if one_delta else _join(delta_hh[::-1], batch_sizes)
    return Adjoint(walked_ih, walked_hh, _join(dh[::-1], batch_sizes), d)


def _repeated(one: Unfolded, T: int) -> Unfolded:
    """The walk of T steps of a batch of none, from that of its first."""
    kept = one.kept and one.kept._make(field.expand(T, *field.shape[1:]) for field in one.kept)
    states = one.y.expand(T + 1, -1, -1)
    return Unfolded(states, states[1:], one.state, kept)


def weight_factors(
    weights: Weights[Tensor], adjoint: Adjoint, x: Tensor, h_prev: Tensor, unprojected: Tensor | None
) -> Weights[Factor]:
    """Each weight's gradient as a `Factor`: `delta` and what it is multiplied with.

    Args:
        x, h_prev: of each step.
        unprojected: an LSTM's o tanh(c) of each step, where it projects it.
    """
    return Weights(
        W_ih=Factor(adjoint.delta_ih, x),
        W_hh=Factor(adjoint.delta_hh, h_prev),
        b_ih=None if weights.b_ih is None else Factor(adjoint.delta_ih, None),
        b_hh=None if weights.b_hh is None else Factor(adjoint.delta_hh, None),
        W_hr=None if weights.W_hr is None else Factor(adjoint.dh, unprojected),
    )


def input_gradient(adjoint: Adjoint, weights: Weights[Tensor]) -> Tensor:
    """∂E/∂x, shaped as x."""
    return adjoint.delta_ih @ weights.W_ih


def layer_gradients(
    call: Call, adjoint: Adjoint, wanted: Sequence[bool], h_prev: Tensor, unprojected: Tensor | None
) -> list[Tensor | None]:
    """∂E/∂ of each of a call's `tensors`, from its adjoint; None for a weight or x that is not wanted.

    Args:
        wanted: for each tensor, whether its gradient is.
        h_prev, unprojected: as in `weight_factors`.
    """
    factors = weight_factors(call.weights, adjoint, call.x, h_prev, unprojected)
    of_weights = wanted[1 + len(call.state) :]
    return [
        input_gradient(adjoint, call.weights) if wanted[0] else None,
        *adjoint.d_state,
        *(f.summed() if f is not None and want else None for f, want in zip(factors, of_weights, strict=True)),
    ]


def previous_states(states: Tensor, batch_sizes: BatchSizes) -> Tensor:
    """h before each step, (T, B, R) or (N, R)."""
    if batch_sizes is None:
        return states[:-1]
    before = states.split([batch_sizes[0], *batch_sizes])
    return torch.cat([h[:rows] for h, rows in zip(before, batch_sizes, strict=False)])


def _steps(rows: Tensor, batch_sizes: BatchSizes) -> tuple[Tensor, ...]:
    return rows.unbind(0) if batch_sizes is None else rows.split(batch_sizes)


def _join(steps: list[Tensor] | tuple[Tensor, ...], batch_sizes: BatchSizes) -> Tensor:
    return torch.stack(tuple(steps)) if batch_sizes is None else torch.cat(tuple(steps))
