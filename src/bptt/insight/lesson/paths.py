"""The edges of the unfolded network, and those between one use of a matrix and E_t.

An edge is "from→to", each end a letter in plain text: "x_3→s_3", "s_2→s_3", "s_3→y_3", "y_3→E_3". Where layers or
directions are several, states carry them: "s_3⁽¹⁾→s_3⁽²⁾", "s_4◂→s_3◂" walking backwards. An LSTM's cell state has
edges of its own: "c_2→c_3".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ...equations import LSTMEquations
from .edges import Network, cell_of
from .notation import Letters, letter, letters, plain


class Place(NamedTuple):
    """One layer and direction."""

    layer: int
    direction: int  # 1 walks backwards in time


def edge(start: str, end: str) -> str:
    """The edge between two nodes, given in LaTeX."""
    return f"{plain(start)}→{plain(end)}"


def inputs_of(signs: list[list[Letters]], layer: int, k: int) -> list[str]:
    """The nodes, in LaTeX, that enter a layer at step k: x_k, or the states of the layer below."""
    return [letter("x", k)] if layer == 0 else [below("s", k) for below in signs[layer - 1]]


def output_edges(net: Network, k: int) -> list[str]:
    """The edges into y_k."""
    return [edge(at("s", k), letter("y", k)) for at in letters(net)[-1]]


def recurrent_edges(net: Network, at: Letters, k: int) -> list[str]:
    """The edges into one layer's and direction's state at step k from the step before it."""
    bases = ("s", "c") if isinstance(cell_of(net), LSTMEquations) else ("s",)
    return [edge(at.before(base, k), at(base, k)) for base in bases]


def way_back(net: Network, t: int, steps: int, place: Place, k: int) -> tuple[str, ...]:
    """Every edge on some way from E_t back to the state of a place at step k.

    Args:
        net: the network.
        t: the step whose error it is.
        steps: T, the length of the sequence.
        place, k: where it ends.
    """
    signs = letters(net)
    spans = _spans(signs, t, steps, place, k)
    found = [edge(letter("y", t), letter("E", t))]
    found += [
        edge(signs[p.layer][p.direction]("s", t), letter("y", t)) for p in spans if p.layer == len(signs) - 1
    ]
    for p, span in sorted(spans.items(), reverse=True):
        at = signs[p.layer][p.direction]
        for j in _backwards(span, at):
            if j + at.back in span:
                found += recurrent_edges(net, at, j)
            below = [q for q in spans if q.layer == p.layer - 1 and j in spans[q]]
            found += [edge(signs[q.layer][q.direction]("s", j), at("s", j)) for q in below]
    return tuple(found)


def _backwards(span: range, at: Letters) -> Iterator[int]:
    """The steps of a span in the order of the way back."""
    return reversed(span) if at.back == -1 else iter(span)


def _spans(signs: list[list[Letters]], t: int, steps: int, place: Place, k: int) -> dict[Place, range]:
    """For each layer and direction the steps whose state depends on the start and that E_t depends on."""
    ahead: dict[Place, range] = {}
    low, high = k, k
    for layer in range(place.layer, len(signs)):
        directions = [place.direction] if layer == place.layer else range(len(signs[layer]))
        for direction in directions:
            ahead[Place(layer, direction)] = range(1, high + 1) if direction else range(low, steps + 1)
        spans = [ahead[Place(layer, direction)] for direction in directions]
        low, high = min(span.start for span in spans), max(span.stop for span in spans) - 1
    found: dict[Place, range] = {}
    low, high = t, t
    for layer in reversed(range(place.layer, len(signs))):
        directions = range(len(signs[layer]))
        behind = [range(low, steps + 1) if direction else range(1, high + 1) for direction in directions]
        for direction, span in zip(directions, behind, strict=True):
            both = ahead.get(Place(layer, direction), range(0))
            meet = range(max(span.start, both.start), min(span.stop, both.stop))
            if meet:
                found[Place(layer, direction)] = meet
        low, high = min(span.start for span in behind), max(span.stop for span in behind) - 1
    return found
