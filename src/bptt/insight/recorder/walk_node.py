"""A recorded walk's place in autograd's graph: its backward pass keeps delta of every step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from ...checks import autocast_dtype
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
        ticket: the recording's.
        weights: as they entered it, with their history.
        d_outputs: ∂L/∂y as it entered in the last backward pass, (T, B, R) or (N, R); None where nothing did.
        d_state: ∂L/∂(final state) as it entered, each (B, ·), zeros where nothing did.
        adjoint: that backward pass; None where it did not reach the walk.
        differentiable: whether a backward pass was asked for that can be differentiated again.
    """

    recording: Recording
    ticket: Ticket
    weights: Weights[Tensor]
    d_outputs: Tensor | None = None
    d_state: State = ()
    adjoint: Adjoint | None = None
    differentiable: bool = False

    def forget(self) -> None:
        """Drop the last backward pass."""
        self.d_outputs, self.d_state, self.adjoint = None, (), None

    def back(self, dy: Tensor | None, d_state: Sequence[Tensor | None]) -> tuple[Tensor | None, State, Adjoint]:
        """A backward pass: what entered it, zeros for None in the state, and the adjoint."""
        pairs = zip(self.recording.call.state, d_state, strict=True)
        finals = tuple(torch.zeros_like(s) if d is None else d for s, d in pairs)
        return dy, finals, self.recording.adjoint(dy, finals)

    def keep(self, dy: Tensor | None, d_state: Sequence[Tensor | None]) -> Adjoint:
        """`back`, kept as the last backward pass."""
        self.d_outputs, self.d_state, self.adjoint = self.back(dy, d_state)
        return self.adjoint


class Ticket:
    """A scalar that every recorded walk depends on, so that a backward pass can be asked to reach them all.

    Args:
        modules: the recorded modules.
    """

    alive: ClassVar[WeakSet[Ticket]] = WeakSet()  # as long as a graph depends on them

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self.tensor = torch.zeros((), requires_grad=True, device="cpu")
        self.is_asked = False  # whether a backward pass for it alone is going on: no other gradient is wanted
        self.is_kept = True  # whether a backward pass is kept by the walks
        self.copies = 0  # of the batch, in which so many errors are backpropagated side by side; else 0
        self.lowest: frozenset[WalkNode] = frozenset()  # walks below which these errors are not backpropagated
        self.modules = frozenset(modules)
        Ticket.alive.add(self)

    @contextmanager
    def asked(self, is_kept: bool = True) -> Iterator[None]:
        """While it is open, backward passes give no gradients of the walks' weights.

        Args:
            is_kept: whether the walks keep them. Default True.
        """
        self.is_asked, self.is_kept = True, is_kept
        try:
            yield
        finally:
            self.is_asked, self.is_kept = False, True

    def shared_with_others(self, loss: Tensor) -> frozenset[nn.Module]:
        """The modules that other recordings recorded too, in walks that a loss depends on."""
        others = [other for other in Ticket.alive if other is not self and self.modules & other.modules]
        behind = {id(leaf) for leaf in leaves_behind([loss])} if others else ()
        shared = (self.modules & other.modules for other in others if id(other.tensor) in behind)
        return frozenset().union(*shared)


class RecordedWalk(NamedTuple):
    """A recorded walk's results, its node, and their places in the graph."""

    y: Tensor
    state: State
    node: WalkNode
    edges: list[GradientEdge]  # of y and each tensor of the state


def recorded_walk(call: Call, ticket: Ticket) -> RecordedWalk:
    """`door.walk` with a recording, differentiable in the call's tensors and in the ticket."""
    computed = autocast_dtype(call.weights.W_ih)
    if computed is not None:
        with torch.autocast(call.x.device.type, enabled=False):
            return recorded_walk(call.in_dtype(computed), ticket)
    dtype = call.x.dtype
    if dtype in HALF:  # computed in float32, rounded once
        y, state, node, edges = recorded_walk(call.in_dtype(torch.float32), ticket)
        return RecordedWalk(y.to(dtype), tuple(s.to(dtype) for s in state), node, edges)
    with torch.no_grad():
        y, state, recording = door.record_walk(call.each(alias))
    node = WalkNode(recording, ticket, call.weights)
    y, *state = _RecordedWalk.apply(node, (y, *state), ticket.tensor, *call.tensors())  # pyright: ignore
    return RecordedWalk(y, tuple(state), node, [get_gradient_edge(result) for result in (y, *state)])


def edges_of_initial_state(edges: Sequence[GradientEdge]) -> list[GradientEdge | None]:
    """Where the initial state of a walk with these edges came from; None for one that no gradient reaches."""
    _, _, *before = edges[0].node.next_functions  # of the ticket, x, the state and the weights
    return [None if node is None else GradientEdge(node, number) for node, number in before[: len(edges) - 1]]


class _RecordedWalk(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, node: WalkNode, results: tuple, _: Tensor, *tensors: Tensor | None) -> Any:
        ctx.node = node
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        y, *state = results
        return y.clone(), *state  # the caller's, to change in place

    @staticmethod
    def backward(ctx: Any, *seeds: Tensor | None) -> tuple:
        node, wanted, call = ctx.node, ctx.needs_input_grad[3:], ctx.node.recording.call
        tensors = ctx.saved_tensors  # torch checks that they are as they were walked
        dy, *d_state = seeds
        of_weights: list[Tensor | None] = [None] * len(Weights._fields)
        if node.ticket.copies:
            d_x, *d_initial = _CopiesBack.apply(node, dy, *d_state)  # pyright: ignore
            d_x = None if node in node.ticket.lowest else d_x
            return None, None, torch.zeros((), device="cpu"), d_x, *d_initial, *of_weights
        if torch.is_grad_enabled() or are_batched(seeds):
            node.differentiable = True
            if node.ticket.is_kept and not are_batched(seeds):
                with torch.no_grad():
                    node.keep(dy, d_state)
            call = call.with_tensors(tensors)
            return None, None, None, *differentiable_gradients(call, walk_unfolded, wanted, dy, d_state)
        adjoint = node.keep(dy, d_state) if node.ticket.is_kept else node.back(dy, d_state)[2]
        if not node.ticket.is_asked:
            factors = zip(node.recording.factors(adjoint), wanted[1 + len(d_state) :], strict=True)
            of_weights = [f.summed() if f is not None and w else None for f, w in factors]
        d_x = input_gradient(adjoint, call.weights) if wanted[0] else None
        return None, None, torch.zeros((), device="cpu"), d_x, *adjoint.d_state, *of_weights


class _CopiesBack(torch.autograd.Function):
    """A walk's backward pass for many errors, each in a copy of its batch; the node keeps them as one batch.

    `torch.func.vmap` brings the seeds of all copies; those that it does not bring are the same for all.
    """

    @staticmethod
    def forward(node: WalkNode, *seeds: Tensor | None) -> tuple[Tensor | None, ...]:
        copies = node.ticket.copies
        found = _back_in_copies(node, [None if s is None else s.expand(copies, *s.shape) for s in seeds])
        return tuple(None if d is None else d[0] for d in found)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing: it is not differentiated again."""

    @staticmethod
    def vmap(info: Any, in_dims: tuple, node: WalkNode, *seeds: Any) -> Any:  # pyright: ignore
        stacked = [
            None if s is None else s.expand(info.batch_size, *s.shape) if dim is None else s.movedim(dim, 0)
            for s, dim in zip(seeds, in_dims[1:], strict=True)
        ]
        found = _back_in_copies(node, stacked)
        return found, tuple(None if d is None else 0 for d in found)


def _back_in_copies(node: WalkNode, seeds: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    """∂E/∂x and ∂E/∂(initial state) from ∂E/∂y and ∂E/∂(final state), all (copies, ...)."""
    if all(seed is None for seed in seeds):
        return (None,) * len(seeds)
    copies, recording = node.ticket.copies, node.recording.repeated(node.ticket.copies)
    dy, *d_state = (None if s is None else s.movedim(0, -2).flatten(-3, -2) for s in seeds)
    finals = zip(recording.call.state, d_state, strict=True)
    node.adjoint = recording.adjoint(dy, tuple(torch.zeros_like(s) if d is None else d for s, d in finals))
    found = (input_gradient(node.adjoint, recording.weights), *node.adjoint.d_state)
    return tuple(d.unflatten(-2, (-1, copies)).movedim(-2, 0) for d in found)
