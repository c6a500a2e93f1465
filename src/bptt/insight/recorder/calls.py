"""The calls of a model's recurrent modules while it was recorded."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge
from torch.nn.functional import pad

from ...equations import Weights
from ...equations.protocol import State
from ...packing import reversed_rows
from ...walks.unfold import Factor
from ..pairs import ErrorNorms
from ..plain_models import Record
from .walk_node import WalkNode, edges_of_initial_state

SEARCHED = 64  # nodes of the graph between a call's final state and the next call's initial one


class EnteringErrors(NamedTuple):
    """What enters the last layer of some calls from above, by the outputs and by the final state of h."""

    d_outputs: Tensor  # ∂L/∂h, (T, B, D·R), in the order of time
    elsewhere: bool  # whether more enters: by a lower layer's final state, or by the last cell state of an LSTM


class NodeErrors(NamedTuple):
    """What enters one layer and direction of a call from outside of the module, in the order of its walk."""

    rows: Tensor  # ∂L/∂h, (T, B, R) or (N, R); that of a final state stands with the sequence's last row
    cell: State  # ∂L/∂(final cell state) of an LSTM, (B, H); else empty


@dataclass(eq=False)
class ModuleCall:
    """One call of a recurrent module.

    Attributes:
        nodes: by layer and direction, in the order they were walked.
        edges: of each of them, the places of its outputs and final state in the graph.
        names: of the weights, by layer and direction too.
        directions: 1 or 2.
        initial: the state that the call was given; empty for none.
        returned: its outputs and final state.
        order: which sequence of the batch each row is, (B), of packed sequences that were sorted; else None.
        row_vectors: whether the module has its weights as x_t W_x reads them, not torch's way.
        drew_dropout: whether dropout was drawn between its layers.
    """

    nodes: list[WalkNode]
    edges: list[list[GradientEdge]]
    names: list[Weights[str]]
    directions: int
    initial: Sequence[Tensor]
    returned: Sequence[Tensor]
    order: Tensor | None = None
    row_vectors: bool = False
    drew_dropout: bool = False

    @property
    def was_reached(self) -> bool:
        """Whether the last backward pass reached it."""
        return any(node.adjoint is not None for node in self.nodes)

    @property
    def batch_sizes(self) -> list[int] | None:
        return self.nodes[0].recording.call.batch_sizes

    @property
    def steps(self) -> int:
        return len(self.nodes[0].recording.x if self.batch_sizes is None else self.batch_sizes)

    @property
    def batch(self) -> int:
        return self.nodes[0].recording.call.state[0].shape[0]

    def goes_on_from(self, before: ModuleCall) -> bool:
        """Whether its initial state is of what the other call returned, or was computed from it in a few steps."""
        if not self.initial:
            return False
        if self.goes_on_unchanged_from(before):
            return True
        wanted = {s.grad_fn for s in before.returned} - {None}
        waiting, seen = deque(s.grad_fn for s in self.initial if s.grad_fn is not None), set()
        while waiting and len(seen) < SEARCHED:
            found = waiting.popleft()
            if found in wanted:
                return True
            if found not in seen:
                seen.add(found)
                waiting.extend(other for other, _ in found.next_functions if other is not None)
        return False

    def goes_on_unchanged_from(self, before: ModuleCall) -> bool:
        """Whether its initial state is in the memory of what the other call returned."""
        memory = {s.untyped_storage().data_ptr() for s in before.returned}
        return any(s.untyped_storage().data_ptr() in memory for s in self.initial)

    def layer(self, number: int) -> str:
        """The name of one of its walks' layer and direction: "l0", "l0_reverse", ..."""
        return f"l{number // self.directions}" + "_reverse" * (number % self.directions)

    def records(self) -> list[list[Record]]:
        """Its walks by layer and direction, with copies of the weights."""
        listed = [
            Record(
                self.layer(number),
                number % self.directions == 1,
                names,
                node.recording.with_own_weights(),
            )
            for number, (names, node) in enumerate(zip(self.names, self.nodes, strict=True))
        ]
        return [listed[i : i + self.directions] for i in range(0, len(listed), self.directions)]

    def errors_by_node(self, after: ModuleCall | None = None) -> list[NodeErrors]:
        """What enters each of its walks from outside of the module.

        Args:
            after: the call that goes on from its final state, whose own gradient of that is not counted.
        """
        sent_back = [()] * len(self.nodes) if after is None else self._sent_back(after)
        found = []
        for number, (node, back) in enumerate(zip(self.nodes, sent_back, strict=True)):
            is_top = number >= len(self.nodes) - self.directions
            entered = (node.d_outputs if is_top else None, *node.d_state)
            pairs = itertools.zip_longest(entered, back)
            rows, *state = (d if d is None or b is None else _without(d, b) for d, b in pairs)
            rows = torch.zeros_like(node.recording.y) if rows is None else rows
            if state and state[0] is not None:
                rows = rows.index_add(0, *self._at_last_rows(state[0]))
            found.append(NodeErrors(rows, tuple(c for c in state[1:] if c is not None)))
        return found

    def _sent_back(self, after: ModuleCall) -> list[tuple[Tensor | None, ...]]:
        """What the call that goes on from this one sends back to the outputs and final state of each walk."""
        if after.goes_on_unchanged_from(self):
            return [() if later.adjoint is None else (None, *later.adjoint.d_state) for later in after.nodes]
        pairs = [
            (edge, d)
            for edges, later in zip(after.edges, after.nodes, strict=True)
            if later.adjoint is not None
            for edge, d in zip(edges_of_initial_state(edges), later.adjoint.d_state, strict=True)
            if edge is not None
        ]
        own, ticket = [edge for edges in self.edges for edge in edges], self.nodes[0].ticket
        if not pairs:
            return [()] * len(self.nodes)
        with ticket.asked(is_kept=False):
            between = torch.autograd.grad(
                [edge for edge, _ in pairs], own, [d for _, d in pairs], retain_graph=True, allow_unused=True
            )
        found = iter(between)
        return [tuple(next(found) for _ in edges) for edges in self.edges]

    def _at_last_rows(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers of the rows that end sequences, in the order of a walk, and what is added there."""
        if self.batch_sizes is None:
            return torch.tensor([self.steps - 1], device=state.device), state[None]
        return _last_rows(self.batch_sizes, state.device), state

    def errors(self, after: ModuleCall | None = None) -> EnteringErrors:
        """What enters the call from above it; `after` as in `errors_by_node`."""
        return self.entering(self.errors_by_node(after))

    def entering(self, by_node: Sequence[NodeErrors]) -> EnteringErrors:
        """The errors of all its walks together."""
        first = len(self.nodes) - self.directions
        rows = [self.in_time(errors.rows, number) for number, errors in enumerate(by_node) if number >= first]
        others = [errors.rows for errors in by_node[:first]] + [c for errors in by_node for c in errors.cell]
        return EnteringErrors(torch.cat(rows, -1), any(bool(part.any()) for part in others))

    def steps_of_rows(self, number: int) -> Tensor:
        """Of each row of one of its walks, its step in time from 0: (T), or (N) of packed sequences."""
        device, backwards = self.nodes[number].recording.x.device, number % self.directions == 1
        if self.batch_sizes is not None:
            return _places(self.batch_sizes, backwards, device) // self.batch
        steps = torch.arange(self.steps, device=device)
        return steps.flip(0) if backwards else steps

    def steps_of_ends(self, number: int) -> Tensor:
        """The step of each sequence's last row in the order of one of its walks, (B), or (1) for all."""
        steps = self.steps_of_rows(number)
        return steps[-1:] if self.batch_sizes is None else steps[_last_rows(self.batch_sizes, steps.device)]

    def entered_steps(self, by_node: Sequence[NodeErrors]) -> Tensor:
        """The steps at which something enters, from 0."""
        entered = torch.zeros(self.steps, dtype=torch.bool, device="cpu")
        for number, (rows, cell) in enumerate(by_node):
            entered[self.steps_of_rows(number)[_nonzero(rows)].cpu()] = True
            for c in cell:
                ends = self.steps_of_ends(number).expand(self.batch)
                entered[ends[_nonzero(c)].cpu()] = True
        return entered.nonzero().flatten()

    def seeds(self, number: int, errors: NodeErrors, ends: Tensor) -> list[tuple[GradientEdge, Tensor]]:
        """What enters one of its walks at each of some steps, (ends, ...), and where in the graph."""
        (y, _, *cell), ends = self.edges[number], ends.to(errors.rows.device)[:, None]

        def by_step(rows: Tensor, steps: Tensor) -> Tensor:
            chosen = steps == ends
            return torch.where(chosen[(...,) + (None,) * (rows.dim() - 1)], rows, 0)

        found = [(y, by_step(errors.rows, self.steps_of_rows(number)))]
        of_ends = self.steps_of_ends(number)
        return found + [(edge, by_step(c, of_ends)) for edge, c in zip(cell, errors.cell, strict=False)]

    def norms_of_copies(self, copies: int) -> ErrorNorms:
        """The norms of each error's gradient after they went back in copies of its batch, (T, copies)."""
        found = ErrorNorms({}, {})

        def by_copy(rows: Tensor, number: int) -> Tensor:  # (T, copies, B, ·)
            return self.in_time(rows, number, copies).unflatten(1, (-1, copies)).transpose(1, 2)

        for number, (node, names) in enumerate(zip(self.nodes, self.names, strict=True)):
            if node.adjoint is None:
                continue
            found.states[self.layer(number)] = by_copy(node.adjoint.dh, number).flatten(2).norm(dim=2)
            for name, factor in zip(names, node.recording.factors(node.adjoint), strict=True):
                if name is not None and factor is not None:
                    delta, operand = by_copy(factor.delta, number), factor.operand
                    if operand is not None:
                        operand = self.in_time(operand, number)[:, None].expand(-1, copies, -1, -1).flatten(0, 1)
                    norms = Factor(delta.flatten(0, 1), operand).norms()
                    found.weights[name] = norms.unflatten(0, (-1, copies))
        return found

    def state_norms(self) -> dict[str, Tensor]:
        """‖∂L/∂h‖ after each step over the whole batch, (T), by layer."""
        return {
            self.layer(number): self.in_time(node.adjoint.dh, number).flatten(1).norm(dim=1)
            for number, node in enumerate(self.nodes)
            if node.adjoint is not None
        }

    def in_time(self, rows: Tensor, number: int, copies: int = 1) -> Tensor:
        """Rows of one of its walks, or of copies of its batch, as (T, B·copies, ·), in the order of time."""
        backwards = number % self.directions == 1
        if self.batch_sizes is None:
            return rows.flip(0) if backwards else rows
        T, B = self.steps, self.batch * copies
        places = _places([size * copies for size in self.batch_sizes], backwards, rows.device)
        return rows.new_zeros(T * B, rows.shape[-1]).index_copy(0, places, rows).unflatten(0, (T, B))

    def factors(self, number: int) -> Weights[Factor]:
        """Each gradient of one of its nodes before it is summed over time: (T, B, ·), in the order of time.

        Each is shaped as the module has the weight. Of packed sequences the steps are each sequence's own; rows
        after its end are zeros.
        """
        node = self.nodes[number]
        if node.adjoint is None:
            raise ValueError("the backward pass did not reach this call")

        def in_time(factor: Factor) -> Factor:
            delta = self.in_time(factor.delta, number)
            if factor.operand is None:
                return Factor(delta, None)
            operand = self.in_time(factor.operand, number)
            return Factor(operand, delta) if self.row_vectors else Factor(delta, operand)

        return node.recording.factors(node.adjoint).each(in_time)


def _places(batch_sizes: list[int], backwards: bool, device: torch.device) -> Tensor:
    """Of each packed row, its place among T·B: step · B + sequence."""
    B = batch_sizes[0]
    places = torch.cat([step * B + torch.arange(rows, device=device) for step, rows in enumerate(batch_sizes)])
    return places[reversed_rows(batch_sizes, device)] if backwards else places


def _last_rows(batch_sizes: list[int], device: torch.device) -> Tensor:
    """The packed row of each sequence's last step, (B)."""
    ends, first = [0] * batch_sizes[0], 0
    for rows in batch_sizes:
        ends[:rows] = range(first, first + rows)
        first += rows
    return torch.tensor(ends, device=device)


def _without(entered: Tensor, back: Tensor) -> Tensor:
    """What entered less what a later call sent back; 0 where only rounding is left.

    A later call of another batch is taken to go on with the first sequences, as loops over packed sequences do.
    """
    back = pad(back, (0, 0, 0, entered.shape[-2] - back.shape[-2]))
    rest = entered - back
    least = 16 * torch.finfo(rest.dtype).eps * back.abs().amax() if back.numel() else 0
    return torch.where(rest.abs() > least, rest, 0)


def _nonzero(rows: Tensor) -> Tensor:
    return (rows.flatten(1) != 0).any(1)  # NaN counts
