"""A recorded walk's place in autograd's graph: its backward pass keeps delta of every step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar
from weakref import WeakSet

import torch
from torch import Tensor, nn

from ...checks import autocast_is_on
from ...equations import Weights
from ...equations.protocol import State
from ...reach.gradients import leaves_behind
from ...walks import door
from ...walks.call import HALF, Call, alias
from ...walks.double_backward import are_batched, differentiable_gradients
from ...walks.recording import Recording
from ...walks.unfold import Adjoint, input_gradient, walk_unfolded


@dataclass(eq=False)
class WalkNode:
    """One layer's and direction's walk.

    Attributes:
        recording: its forward pass.
        weights: as they entered it, with their history.
        d_outputs: ∂L/∂y as it entered in the last backward pass, (T, B, R) or (N, R); None where nothing did.
        d_state: ∂L/∂(final state) as it entered, each (B, ·), zeros where nothing did.
        adjoint: that backward pass; None where it did not reach the walk.
        differentiable: whether a backward pass was asked for that can be differentiated again.
    """

    recording: Recording
    weights: Weights[Tensor]
    d_outputs: Tensor | None = None
    d_state: State = ()
    adjoint: Adjoint | None = None
    differentiable: bool = False

    def forget(self) -> None:
        """Drop the last backward pass."""
        self.d_outputs, self.d_state, self.adjoint = None, (), None


class Ticket:
    """A scalar that every recorded walk depends on, so that a backward pass can be asked to reach them all.

    Args:
        modules: the recorded modules.
    """

    alive: ClassVar[WeakSet[Ticket]] = WeakSet()  # as long as a graph depends on them

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self.tensor = torch.zeros((), requires_grad=True)
        self.is_asked = False  # whether a backward pass for it alone is going on: no other gradient is wanted
        self.modules = frozenset(modules)
        Ticket.alive.add(self)

    def shared_with_others(self, loss: Tensor) -> frozenset[nn.Module]:
        """The modules that other recordings recorded too, in walks that a loss depends on."""
        others = [other for other in Ticket.alive if other is not self and self.modules & other.modules]
        behind = {id(leaf) for leaf in leaves_behind([loss])} if others else ()
        shared = (self.modules & other.modules for other in others if id(other.tensor) in behind)
        return frozenset().union(*shared)


def recorded_walk(call: Call, ticket: Ticket) -> tuple[Tensor, State, WalkNode]:
    """`door.walk` with a recording, differentiable in the call's tensors and in the ticket."""
    device, dtype = call.x.device, call.x.dtype
    if autocast_is_on(device):
        with torch.autocast(device.type, enabled=False):
            return recorded_walk(call.in_dtype(torch.get_autocast_dtype(device.type)), ticket)
    if dtype in HALF:  # computed in float32, rounded once
        y, state, node = recorded_walk(call.in_dtype(torch.float32), ticket)
        return y.to(dtype), tuple(s.to(dtype) for s in state), node
    with torch.no_grad():
        y, state, recording = door.record_walk(call.each(alias))
    node = WalkNode(recording, call.weights)
    y, *state = _RecordedWalk.apply(node, ticket, (y, *state), ticket.tensor, *call.tensors)  # pyright: ignore
    return y, tuple(state), node


class _RecordedWalk(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, node: WalkNode, ticket: Ticket, results: tuple, _: Tensor, *tensors: Tensor | None
    ) -> Any:
        ctx.node, ctx.ticket = node, ticket
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        y, *state = results
        return y.clone(), *state  # the caller's, to change in place

    @staticmethod
    def backward(ctx: Any, *seeds: Tensor | None) -> tuple:
        node, wanted, call = ctx.node, ctx.needs_input_grad[4:], ctx.node.recording.call
        tensors = ctx.saved_tensors  # torch checks that they are as they were walked
        dy, *d_state = seeds
        if torch.is_grad_enabled() or are_batched(seeds):
            node.differentiable = True
            call = call.with_tensors(tensors)
            return None, None, None, None, *differentiable_gradients(call, walk_unfolded, wanted, dy, d_state)
        finals = tuple(torch.zeros_like(s) if d is None else d for s, d in zip(call.state, d_state, strict=True))
        node.d_outputs, node.d_state, node.adjoint = dy, finals, node.recording.adjoint(dy, finals)
        of_weights: list[Tensor | None] = [None] * len(Weights._fields)
        if not ctx.ticket.is_asked:
            wants = wanted[1 + len(finals) :]
            factors = node.recording.factors(node.adjoint)
            of_weights = [f.summed() if f is not None and w else None for f, w in zip(factors, wants, strict=True)]
        d_x = input_gradient(node.adjoint, call.weights) if wanted[0] else None
        return None, None, None, torch.zeros(()), d_x, *node.adjoint.d_state, *of_weights
