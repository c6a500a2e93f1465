"""Calls of a recurrent module that go on from each other, as a decoder's loop makes them, taken as one walk."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...walks import door
from ...walks.call import Call
from ...walks.unfold import Factor
from ..plain_models import Record
from .calls import EnteringErrors, ModuleCall


def errors_of(loop: Sequence[ModuleCall]) -> EnteringErrors:
    """What enters a loop of calls from above, all of them as one walk.

    Where a state was changed on its way from call to call, what it brings back cannot be told from an error.
    """
    found = [call.errors(after) for call, after in itertools.zip_longest(loop, loop[1:])]
    changed = any(not after.goes_on_unchanged_from(call) for call, after in itertools.pairwise(loop))
    most = max(call.batch for call in loop)
    rows = [pad(e.d_outputs, (0, 0, 0, most - e.d_outputs.shape[1])) for e in found]
    return EnteringErrors(torch.cat(rows), changed or any(e.elsewhere for e in found))


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
