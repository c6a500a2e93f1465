"""The edges of the unfolded network, and those on a path between two of its nodes.

An edge is named "from→to", each end a letter in plain text: "x_3→s_3", "s_2→s_3", "s_3→y_3", "y_3→E_3". The states
of several layers or directions carry them: "s_3⁽¹⁾→s_3⁽²⁾", "s_4◂→s_3◂" walking backwards. The cell state of an
LSTM has its own edges: "c_2→c_3".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import Literal, NamedTuple

from ...equations import LSTMEquations
from .notation import LessonNetwork, Step, letter, letters, plain


class Edge(NamedTuple):
    """An edge of the forward pass, its ends in LaTeX."""

    start: str
    end: str
    role: Literal["x", "s", "c", "y", "E"]  # of the matrix on it; "c": the cell state; "E": y_t enters the error
    layer: int  # of its state: the end's, or the start's where the end is an output
    direction: int
    step: Step  # of its end
    before: Step  # of its start
    part: int = 0  # which of the states side by side that form the end's input its start is

    @property
    def name(self) -> str:
        """Its name, "s_2→s_3"."""
        return f"{plain(self.start)}→{plain(self.end)}"


class UnfoldedNetwork:
    """Every edge of a network unfolded over some steps, with the error at one of them.

    Args:
        net: the network.
        steps: the steps it is unfolded over; an int, or a letter for any one step.
        t: the step whose error it is.
    """

    def __init__(self, net: LessonNetwork, steps: Sequence[Step], t: Step) -> None:
        self.signs, self.steps, self.error = letters(net), steps, letter("E", t)
        self.has_cell_state = isinstance(net.cell, LSTMEquations)
        self.edges = [edge for k in steps for edge in self._column(k, k == t)]
        for layer, directions in enumerate(self.signs):
            for direction, at in enumerate(directions):
                for k in steps[:: -at.back]:
                    s_edge = Edge(at.before("s", k), at("s", k), "s", layer, direction, k, at.step_before(k))
                    c_edge = s_edge._replace(start=at.before("c", k), end=at("c", k), role="c")
                    self.edges += [s_edge, c_edge] if self.has_cell_state else [s_edge]
        self._ending: dict[str, list[Edge]] = defaultdict(list)
        self._starting: dict[str, list[Edge]] = defaultdict(list)
        for edge in self.edges:
            self._ending[_state(edge.end)].append(edge)
            if edge.before in steps:  # an initial state leads to nothing earlier
                self._starting[_state(edge.start)].append(edge)

    def _column(self, k: Step, has_error: bool) -> list[Edge]:
        """The edges within one step, from x_k up to y_k, and to E_k."""
        below, found = [letter("x", k)], []
        for layer, directions in enumerate(self.signs):
            found += [
                Edge(node, at("s", k), "x", layer, direction, k, k, part)
                for direction, at in enumerate(directions)
                for part, node in enumerate(below)
            ]
            below = [at("s", k) for at in directions]
        y = letter("y", k)
        found += [Edge(node, y, "y", len(self.signs) - 1, part, k, k, part) for part, node in enumerate(below)]
        return [*found, Edge(y, self.error, "E", len(self.signs) - 1, 0, k, k)] if has_error else found

    def into(self, node: str, *roles: str) -> tuple[str, ...]:
        """The names of the edges into a node, of these roles or of all."""
        return tuple(edge.name for edge in self._ending[_state(node)] if not roles or edge.role in roles)

    @cached_property
    def leading_to_error(self) -> list[Edge]:
        """Every edge that the error's gradient passes in the backward pass, the error's own first."""
        found, waiting, seen = [], [self.error], {self.error}
        while waiting:
            for edge in self._ending[waiting.pop(0)]:
                start = _state(edge.start)
                if edge.before in self.steps:
                    found.append(edge)
                    waiting += [] if start in seen else [start]
                    seen.add(start)
        return found

    def between(self, node: str) -> tuple[str, ...]:
        """The names of the edges on every path from a node to the error, in the order of the backward pass."""
        waiting, seen = [_state(node)], {_state(node)}
        while waiting:
            ends = {_state(edge.end) for edge in self._starting[waiting.pop()]} - seen
            waiting += ends
            seen |= ends
        return tuple(edge.name for edge in self.leading_to_error if _state(edge.start) in seen)


def _state(node: str) -> str:
    """The node that stands for a whole state: an LSTM's c_k leads wherever its s_k does."""
    return f"s{node[1:]}" if node.startswith("c") else node
