"""Every error against every step of the recurrent modules in a model, many errors backpropagated side by side.

`torch.func.vmap` takes the errors through what lies between the walks; each walk takes them back as one batch, at
the speed of its kernel. Where an operation has no rule for that, they go one by one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..pairs import SWEPT, ErrorNorms
from .calls import ModuleCall, NodeErrors
from .record import Walks
from .walk_node import Ticket


def norms_of_errors(walks: Walks, errors: Tensor) -> dict[str, ErrorNorms]:
    """Errors (T,) against the steps of each module that walked as many, through the whole model."""
    T = len(errors)
    tables = {name: _Table(calls) for name, calls in walks.calls.items() if sum(call.steps for call in calls) == T}
    calls = [call for of_module in walks.calls.values() for call in of_module]
    for ends in torch.arange(T, device="cpu").split(_side_by_side(calls)):
        seeds = [torch.eye(T, dtype=errors.dtype, device=errors.device)[ends.to(errors.device)]]
        for some in _backpropagated(walks.ticket, calls, [errors], seeds):
            for table in tables.values():
                table.put(ends[some])
    return {name: table.norms for name, table in tables.items()}


def norms_of_entering(
    calls: Sequence[ModuleCall],
    loops: Sequence[Sequence[ModuleCall]],
    errors: Mapping[ModuleCall, Sequence[NodeErrors]],
) -> ErrorNorms:
    """What enters a module at each step of its calls, against the steps before it; nothing leaves the module.

    Args:
        calls: of the module.
        loops: the same, as loops.
        errors: what enters each call, by layer and direction.
    """
    table, ticket = _Table(calls), calls[0].nodes[0].ticket
    ticket.lowest = frozenset(node for call in calls for node in call.nodes[: call.directions])
    try:
        for loop in loops:
            entered = [call.entered_steps(errors[call]) + table.first[call] for call in loop]
            for ends in torch.cat(entered).split(_side_by_side(loop)):
                places = [
                    place
                    for call in loop
                    for number, of_node in enumerate(errors[call])
                    for place in call.seeds(number, of_node, ends - table.first[call])
                    if bool((place[1] != 0).any())
                ]
                if not places:
                    continue
                outputs, seeds = [edge for edge, _ in places], [seed for _, seed in places]
                for some in _backpropagated(ticket, loop, outputs, seeds):
                    table.put(ends[some])
    finally:
        ticket.lowest = frozenset()
    return table.norms


class _Table:
    """Norms by pair of the steps of a module's calls, one after the other, as far as they are known."""

    def __init__(self, calls: Sequence[ModuleCall]) -> None:
        self.calls, self.first, self.norms = calls, {}, ErrorNorms({}, {})
        T = 0
        for call in calls:
            self.first[call], T = T, T + call.steps
        for call in calls:
            for number, (node, names) in enumerate(zip(call.nodes, call.names, strict=True)):
                zeros = node.recording.y.new_zeros(T, T)
                self.norms.states.setdefault(call.layer(number), zeros.clone())
                for name in filter(None, names):
                    self.norms.weights.setdefault(name, zeros.clone())

    def put(self, ends: Tensor) -> None:
        """Take the rows of some errors from the walks that they were backpropagated through."""
        for call in self.calls:
            found, first = call.norms_of_copies(len(ends)), self.first[call]
            for tables, norms in ((self.norms.states, found.states), (self.norms.weights, found.weights)):
                for name, of_steps in norms.items():
                    tables[name][ends, first : first + len(of_steps)] = of_steps.mT


def _side_by_side(calls: Sequence[ModuleCall]) -> int:
    """How many errors are backpropagated at a time."""
    nodes = [node.recording for call in calls for node in call.nodes]
    return max(1, SWEPT // max(1, sum(recording.y.numel() * recording.cell.gates for recording in nodes)))


def _backpropagated(
    ticket: Ticket, calls: Sequence[ModuleCall], outputs: Sequence[Any], seeds: Sequence[Tensor]
) -> Iterator[slice]:
    """Backpropagate errors, (errors, ...) for each output; yields which of them the walks hold now."""
    many = len(seeds[0])

    def back(*of_one: Tensor) -> Tensor:
        (found,) = torch.autograd.grad(
            outputs, [ticket.tensor], of_one, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return found

    def back_together(some: slice) -> None:
        for call in calls:
            for node in call.nodes:
                node.forget()
        ticket.copies = len(range(many)[some])
        try:
            with naming_a_freed_graph(), _quiet():
                _vmapped(back, [seed[some] for seed in seeds])
        finally:
            ticket.copies = 0

    try:
        back_together(slice(0, many))
    except RuntimeError:  # vmap has no rule for an operation
        for number in range(many):
            back_together(slice(number, number + 1))
            yield slice(number, number + 1)
    else:
        yield slice(0, many)


def _vmapped(back: Callable[..., Tensor], seeds: Sequence[Tensor]) -> None:
    if len(seeds[0]) == 1:
        back(*(seed[0] for seed in seeds))
    else:
        torch.func.vmap(back, randomness="same")(*seeds)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warning that an operation is computed copy by copy."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        yield


@contextmanager
def naming_a_freed_graph() -> Iterator[None]:
    """Say what to do about a backward pass through a graph that is gone."""
    try:
        yield
    except RuntimeError as error:
        if "a second time" not in str(error):
            raise
        raise RuntimeError(
            "the graph of this loss is gone: ask for contributions before loss.backward(), or call "
            "loss.backward(retain_graph=True)"
        ) from error
