"""The edges of the unfolded network, and those on a path between two of its nodes.

An edge is named "from→to", each end a letter in plain text: "x_3→s_3", "s_2→s_3", "s_3→y_3", "y_3→E_3". The states
of several layers or directions carry them: "s_3⁽¹⁾→s_3⁽²⁾", and backwards in time "s_4◂→s_3◂". The cell state of
an LSTM has its own edges: "c_2→c_3".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import Literal, NamedTuple

from ...equations import LSTMEquations
from .notation import DrawnNetwork, Letters, Step, letter, letters, plain


class Edge(NamedTuple):
    """An edge of the forward pass; its ends and the letter on it in LaTeX."""

    start: str
    end: str
    latex: str  # its matrix, or the cell state; "" for none
    role: Literal["x", "s", "c", "y", "E"]  # of its matrix; "c": the cell state; "E": y_t enters the error
    at: Letters  # of its state: the end's, or the start's where the end is an output
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

    def __init__(self, net: DrawnNetwork, steps: Sequence[Step], t: Step) -> None:
        self.net, self.steps, self.t, self.error = net, steps, t, letter("E", t)
        self.layers = letters(net)
        self.places = list(chain(*self.layers))  # every layer and direction
        self.both = len(self.layers[0]) > 1
        self.has_cell_state = isinstance(net.cell, LSTMEquations)
        self.edges = [edge for k in steps for edge in self._column(k, k == t)]
        for at in self.places:
            for k in steps[:: -at.back]:
                edge = Edge(at.before("s", k), at("s", k), at.matrix("s"), "s", at, k, at.step_before(k))
                self.edges.append(edge)
                if self.has_cell_state:
                    c = at.before("c", k)
                    self.edges.append(edge._replace(start=c, end=at("c", k), latex=c, role="c"))
        self._ending: dict[str, list[Edge]] = defaultdict(list)
        self._starting: dict[str, list[Edge]] = defaultdict(list)
        for edge in self.edges:
            self._ending[_state(edge.end)].append(edge)
            if edge.before in steps:  # an initial state leads to nothing earlier
                self._starting[_state(edge.start)].append(edge)

    def _column(self, k: Step, has_error: bool) -> list[Edge]:
        """The edges within one step, from x_k up to y_k, and to E_k."""
        below, y, found = [letter("x", k)], letter("y", k), []
        for directions in self.layers:
            for at in directions:
                for part, node in enumerate(below):  # the matrix is named once
                    latex = "" if part else at.matrix("x")
                    found.append(Edge(node, at("s", k), latex, "x", at, k, k, part))
            below = [at("s", k) for at in directions]
        latex = "" if self.net.readout_names()[0] is None else "W_y"
        found += [Edge(at("s", k), y, latex, "y", at, k, k, part) for part, at in enumerate(self.layers[-1])]
        return [*found, Edge(y, self.error, "", "E", self.layers[-1][0], k, k)] if has_error else found

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
