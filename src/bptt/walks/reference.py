"""The reference backend: plain operations forward, and the cell's own adjoint back; any device and any cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..equations.protocol import Equations, State
from .backend import Recorded
from .call import Call, alias, needs_plain_operations, repeated_rows
from .double_backward import are_batched, differentiable_gradients
from .recording import Part, Recording, States
from .sweep import Errors, Swept, swept_of
from .unfold import (
    Adjoint,
    Unfolded,
    layer_gradients,
    previous_states,
    unfold_adjoint,
    unfold_layer,
    walk_unfolded,
)

# Why torch's own kernels are not used on a device that has some.
INSTEAD = {
    "mps": "; torch's own kernels for mps are not used, as its LSTM has leaked memory and its GRU given NaN there",
    "xpu": "; torch's own kernels for xpu are not used, as no version of them was tried",
}


class Reference:
    """The equations, step by step."""

    name = "reference"
    walk_stack = None

    def refuses(self, call: Call) -> str | None:
        return needs_plain_operations()

    def describe(self, call: Call) -> str:
        return "plain operations and the cell's own adjoint" + INSTEAD.get(call.x.device.type, "")

    def walk(self, call: Call) -> tuple[Tensor, State]:
        call.check_memory()
        if call.wants_gradients():
            y, state, _ = self.record(call)
            return y, state
        return walk_unfolded(call)

    def record(self, call: Call) -> Recorded:
        with torch.no_grad():
            unfolded = unfold_layer(call)
        y, state = unfolded.y, unfolded.state
        if call.wants_gradients():
            tensors = call.each(alias).tensors()
            y, *state = _ReferenceWalk.apply(call.cell, call.batch_sizes, unfolded, *tensors)  # pyright: ignore
        recording = ReferenceRecording(call.each(Tensor.detach), unfolded.states, unfolded.kept)
        return Recorded(y, tuple(state), recording)

    def quick_walk_of(self, cell: Equations) -> None:
        return None


REFERENCE = Reference()


@dataclass(frozen=True)
class ReferenceRecording(Recording):
    """Every step's values that the equations' adjoint needs."""

    h: Tensor  # (T+1, B, R)
    kept: Any  # the cell's NamedTuple, each field (T, B, ·)

    @property
    def states(self) -> Tensor:
        return self.h

    @property
    def before(self) -> State:
        h_prev = self.h[:-1]
        return (h_prev,) if len(self.call.state) == 1 else (h_prev, self.kept.c_prev)

    @property
    def unprojected(self) -> Tensor | None:
        return None if self.weights.W_hr is None else self.kept.o * self.kept.tanh_c

    def adjoint(self, d_outputs: Tensor | None, d_state: State | None = None) -> Adjoint:
        return unfold_adjoint(self.call, self.kept, d_outputs, d_state)

    def sweep(self, steps: int, errors: Errors, wanted: bool) -> Swept:
        B = self.h.shape[1]
        d_outputs = errors.dense(steps, B)
        copies = d_outputs.shape[1] // max(B, 1)
        repeated = self.call._replace(state=tuple(s.repeat(copies, 1) for s in self.call.state))
        kept = self.kept._make(field[:steps].repeat(1, copies, 1) for field in self.kept)
        adjoint = unfold_adjoint(repeated, kept, d_outputs)
        return swept_of(adjoint, self.weights, copies, wanted)

    def repeated(self, copies: int) -> ReferenceRecording:
        h, *kept = (repeated_rows(field, copies) for field in (self.h, *self.kept))
        return ReferenceRecording(self.call.repeated(copies), h, self.kept._make(kept))

    def _rearranged(self, part: Part, states: States) -> ReferenceRecording:
        h = states(self.h[0], self.h[1:])
        kept = self.kept._make(map(part, self.kept))
        state = (h[0],) if len(self.call.state) == 1 else (h[0], kept.c_prev[0])
        return ReferenceRecording(self.call._replace(x=part(self.x), state=state), h, kept)


class _ReferenceWalk(torch.autograd.Function):
    """The place in autograd's graph of a layer that was unfolded outside it; `unfold_adjoint` back."""

    @staticmethod
    def forward(ctx: Any, cell: Any, batch_sizes: Any, unfolded: Unfolded, *tensors: Tensor | None):
        ctx.cell, ctx.batch_sizes, ctx.kept = cell, batch_sizes, type(unfolded.kept)
        ctx.n_state = len(unfolded.state)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, unfolded.states, *unfolded.kept)
        return unfolded.y.clone(), *unfolded.state  # the caller's, to change in place

    @staticmethod
    def backward(ctx: Any, *seeds: Tensor | None):
        dy, *d_state = seeds
        saved = ctx.saved_tensors  # read once, as checkpoints want
        n = len(saved) - 1 - len(ctx.kept._fields)
        call, (states, *kept) = _call(ctx, saved[:n]), saved[n:]
        wanted = ctx.needs_input_grad[3:]
        if torch.is_grad_enabled() or are_batched(seeds):
            gradients = differentiable_gradients(call, walk_unfolded, wanted, dy, d_state)
        else:
            gradients = _gradients(call, states, ctx.kept(*kept), wanted, dy, d_state)
        return None, None, None, *gradients


def _call(ctx: Any, tensors: tuple) -> Call:
    x, *rest = tensors
    call = Call(ctx.cell, x, tuple(rest[: ctx.n_state]), (), ctx.batch_sizes)  # pyright: ignore
    return call.with_tensors(tensors)


def _gradients(
    call: Call, states: Tensor, kept: Any, wanted: tuple, dy: Tensor | None, d_state: list[Tensor | None]
) -> list[Tensor | None]:
    """∂L/∂(x, state, weights) by the adjoint; None for what is frozen."""
    zeros = [torch.zeros_like(s) if d is None else d for s, d in zip(call.state, d_state, strict=True)]
    adjoint = unfold_adjoint(call, kept, dy, tuple(zeros))
    unprojected = None if call.weights.W_hr is None else kept.o * kept.tanh_c
    h_prev = previous_states(states, call.batch_sizes)
    return layer_gradients(call, adjoint, wanted, h_prev, unprojected)
