"""The calls of a model's recurrent modules while it was recorded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...equations import Weights
from ...equations.protocol import State
from ...packing import reversed_rows
from ...walks import door
from ...walks.call import Call
from ...walks.unfold import Adjoint, Factor
from ..recorded import Record
from .walk_node import WalkNode

SEARCHED = 64  # nodes of the graph between a call's final state and the next call's initial one


class EnteringErrors(NamedTuple):
    """What enters the last layer of some calls from above, by the outputs and by the final state of h."""

    d_outputs: Tensor  # ∂L/∂h, (T, B, D·R), in the order of time
    elsewhere: bool  # whether more enters: by a lower layer's final state, or by the last cell state of an LSTM

    @property
    def steps(self) -> Tensor:
        """The steps at which something enters, from 0."""
        return (self.d_outputs.flatten(1) != 0).any(1).nonzero().flatten()  # NaN counts


@dataclass(eq=False)
class ModuleCall:
    """One call of a recurrent module.

    Attributes:
        nodes: by layer and direction, in the order they were walked.
        names: of the weights, by layer and direction too.
        directions: 1 or 2.
        initial: the state that the call was given; empty for none.
        returned: its outputs and final state.
        order: which sequence of the batch each row is, (B), of packed sequences that were sorted; else None.
        row_vectors: whether the module has its weights as x_t W_x reads them, not torch's way.
        drew_dropout: whether dropout was drawn between its layers.
    """

    nodes: list[WalkNode]
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

    def errors(self, after: ModuleCall | None = None) -> EnteringErrors:
        """What enters the call from above it.

        Args:
            after: the call that goes on from its final state, whose own gradient of that is not counted.
        """
        handed = [node.d_state for node in self.nodes]
        if after is not None:
            handed = [
                _without(node.d_state, later.adjoint) for node, later in zip(self.nodes, after.nodes, strict=True)
            ]
        top = range(len(self.nodes) - self.directions, len(self.nodes))
        others = [s for number, state in enumerate(handed) for s in (state[1:] if number in top else state)]
        parts, sizes = [], self.batch_sizes
        for number in top:
            node = self.nodes[number]
            rows = torch.zeros_like(node.recording.y) if node.d_outputs is None else node.d_outputs
            if handed[number] and sizes is not None:
                rows = rows.index_add(0, _last_rows(sizes, rows.device), handed[number][0])
            elif handed[number]:
                rows = torch.cat([rows[:-1], rows[-1:] + handed[number][0]])
            parts.append(self.in_time(rows, number))
        return EnteringErrors(torch.cat(parts, -1), any(bool(s.any()) for s in others))

    def state_norms(self) -> dict[str, Tensor]:
        """‖∂L/∂h‖ after each step over the whole batch, (T), by layer."""
        return {
            self.layer(number): self.in_time(node.adjoint.dh, number).flatten(1).norm(dim=1)
            for number, node in enumerate(self.nodes)
            if node.adjoint is not None
        }

    def in_time(self, rows: Tensor, number: int) -> Tensor:
        """Rows of one of its walks as (T, B, ·), in the order of time."""
        backwards = number % self.directions == 1
        if self.batch_sizes is None:
            return rows.flip(0) if backwards else rows
        T, B = self.steps, self.batch
        places = _places(self.batch_sizes, backwards, rows.device)
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


def _without(d_state: State, later: Adjoint | None) -> State:
    """∂L/∂(final state) less what a later call sends back to it; 0 where only rounding is left.

    A later call of another batch is taken to go on with the first sequences, as loops over packed sequences do.
    """
    if later is None:
        return d_state
    back = [pad(d, (0, 0, 0, len(before) - len(d))) for d, before in zip(later.d_state, d_state, strict=True)]
    least = 16 * torch.finfo(d_state[0].dtype).eps
    rests = [(d - b, least * b.abs().amax()) for d, b in zip(d_state, back, strict=True)]
    return tuple(torch.where(rest.abs() > small, rest, 0) for rest, small in rests)


def errors_of(loop: Sequence[ModuleCall]) -> EnteringErrors:
    """What enters a loop of calls from above, all of them as one walk.

    Where a state was changed on its way from call to call, what it brings back cannot be told from an error.
    """
    found = [call.errors(after) for call, after in zip_longest(loop, loop[1:])]
    changed = any(not after.goes_on_unchanged_from(call) for call, after in pairwise(loop))
    return EnteringErrors(torch.cat([e.d_outputs for e in found]), changed or any(e.elsewhere for e in found))


def records_of(
    loop: Sequence[ModuleCall],
    rows: Tensor,
    steps: int | None = None,
    change: Callable[[Tensor], Tensor] = Tensor.detach,
) -> list[list[Record]]:
    """A loop's walks, again from each layer's own recorded input: calls joined, and a few sequences alone.

    Args:
        loop: calls that hand their state on unchanged.
        rows: of the batch.
        steps: how many; None for all.
        change: applied to the inputs, states and weights.
    """
    found: list[Record] = []
    for number, names in enumerate(loop[0].names):
        backwards = number % loop[0].directions == 1
        call = loop[0].nodes[number].recording.call
        at = rows.to(call.x.device)
        x = torch.cat([call.in_time(call.nodes[number].recording.x, number)[:, at] for call in loop])[:steps]
        state = tuple(change(s[at]) for s in call.state)
        walked = Call(call.cell, change(x.flip(0) if backwards else x), state, call.weights.each(change))
        layer = loop[0].layer(number)
        found.append(Record(layer, backwards, names, door.record_walk(walked).recording))
    return [found[i : i + loop[0].directions] for i in range(0, len(found), loop[0].directions)]


def loops_of(calls: Sequence[ModuleCall]) -> list[list[ModuleCall]]:
    """A module's calls as loops: each goes on from the one before it."""
    loops: list[list[ModuleCall]] = []
    for call in calls:
        before = next((loop for loop in reversed(loops) if call.goes_on_from(loop[-1])), None)
        if before is None:
            loops.append([call])
        else:
            before.append(call)
    return loops


def joined(parts: Sequence[Factor]) -> Factor:
    """Factors of several calls one after the other in time; a smaller batch is filled up with zeros."""
    if len(parts) == 1:
        return parts[0]
    B = max(part.delta.shape[1] for part in parts)

    def cat(rows: Sequence[Tensor]) -> Tensor:
        return torch.cat([r if r.shape[1] == B else pad(r, (0, 0, 0, B - r.shape[1])) for r in rows])

    operands = [part.operand for part in parts if part.operand is not None]
    return Factor(cat([part.delta for part in parts]), cat(operands) if operands else None)
