"""The places of nodes and edges in a network's picture, folded or unfolded in time."""

from __future__ import annotations

import math
from typing import NamedTuple

from .edges import Edge, UnfoldedNetwork
from .notation import Letters, Step, letter
from .svg import Curve, Point, straight

RADIUS = 23.0
COLUMN = 130.0
ROW = 112.0
Y_E, Y_Y = 26.0, 112.0  # the height of E and of y
SHIFT = 31.0  # of a direction to its side, where there are two
ASIDE = 13.0  # between an edge and the gradient over it
FOLD = 52.0  # half the width of "⋯ 187 steps ⋯"


class Node(NamedTuple):
    """A letter in a circle; E in a box, an initial state bare."""

    latex: str
    at: Point
    idle: bool = False  # E_t does not depend on it
    bare: bool = False


class LabelPlace(NamedTuple):
    """The place of a letter or a number beside an edge."""

    at: Point
    anchor: str = "middle"


class DrawnEdge(NamedTuple):
    """An arrow of the forward pass, and the curve that the gradient takes back."""

    edge: Edge
    line: Curve
    back: Curve
    letter: LabelPlace  # of the edge
    number: LabelPlace  # of the gradient
    idle: bool = False

    @property
    def name(self) -> str:
        return self.edge.name


class Fold(NamedTuple):
    """Steps that are not drawn."""

    steps: range
    at: list[Point]  # one place for each row of states


class Layout(NamedTuple):
    """A whole picture."""

    nodes: list[Node]
    edges: list[DrawnEdge]
    folds: list[Fold]
    size: Point  # its width and height


class _End(NamedTuple):
    """The place of an edge's end: a node, or a folded stretch of steps."""

    at: Point
    cut: float = RADIUS  # by which an edge stops before the middle
    fold: range | None = None


def unfolded(network: UnfoldedNetwork, spans: list[range]) -> Layout:
    """A column for each step, one for each folded stretch of them; E stands above y at its step."""
    rows, column = _Rows(network), COLUMN + (44 if network.both else 0)
    nodes, folds, ends = [], [], {}
    first_x = x = 24 + column * 0.8 + (SHIFT if network.both else 0)  # the initial states stand before it
    for place, span in enumerate(spans):
        if place:
            x += column + (FOLD - RADIUS if max(len(span), len(spans[place - 1])) > 1 else 0)
        if len(span) == 1:
            nodes += rows.nodes(x, span[0], span[0] == network.t)
            continue
        middles = {at: complex(x, rows.state(x, at).imag) for at in network.places}
        folds.append(Fold(span, list(middles.values())))
        ends |= {at("s", k): _End(middle, FOLD, span) for at, middle in middles.items() for k in span}
    for at in network.places:
        beside, first = (x, spans[-1][-1]) if at.direction else (first_x, 1)
        nodes.append(Node(at.before("s", first), rows.state(beside + at.back * column * 0.8, at), bare=True))
    ends |= {node.latex: _End(node.at, 15.0 if node.bare else RADIUS) for node in nodes}
    margin = column * 0.8 + SHIFT + 24 if network.both else 78
    return Layout(nodes, _edges(network, ends), folds, complex(x + margin, rows.y_x + RADIUS + 6))


def folded(network: UnfoldedNetwork) -> Layout:
    """The network of one step alone: one column, each state with a loop."""
    rows, wide = _Rows(network), 50 if network.has_cell_state else 0
    x = 220.0 + wide if network.both else 110.0
    nodes = rows.nodes(x, network.t, True)
    edges = _edges(network, {node.latex: _End(node.at) for node in nodes})
    loops = (edge for edge in network.edges if edge.role in ("s", "c"))
    edges += [_loop_edge(edge, rows.state(x, edge.at), network.both) for edge in loops]
    width = 2 * x if network.both else x + (260 if network.has_cell_state else 190)
    return Layout(nodes, edges, [], complex(width, rows.y_x + RADIUS + 6))


class _Rows:
    """The heights of one network's nodes."""

    def __init__(self, network: UnfoldedNetwork) -> None:
        self.network = network
        self.height = ROW + (40 if network.has_cell_state else 0)
        self.y_x = Y_Y + ROW + len(network.places) * self.height

    def state(self, x: float, at: Letters) -> Point:
        """The place of a state in a column."""
        aside = (SHIFT if at.direction else -SHIFT) if self.network.both else 0
        return complex(x + aside, self.y_x - ROW - self.network.places.index(at) * self.height)

    def nodes(self, x: float, k: Step, error: bool) -> list[Node]:
        """The nodes of a column."""
        states = [Node(at("s", k), self.state(x, at)) for at in self.network.places]
        y = Node(letter("y", k), complex(x, Y_Y), idle=not error)
        ends = [y, Node(letter("E", k), complex(x, Y_E))] if error else [y]
        return [Node(letter("x", k), complex(x, self.y_x)), *states, *ends]


def _edges(network: UnfoldedNetwork, ends: dict[str, _End]) -> list[DrawnEdge]:
    """The edges whose two ends have a place, those within a fold left out."""
    drawn = []
    for edge in network.edges:
        start, end = (ends.get(f"s{node[1:]}" if edge.role == "c" else node) for node in edge[:2])
        if start is None or end is None or (start.fold is not None and start.fold is end.fold):
            continue
        if edge.role in ("s", "c"):
            drawn.append(_run(edge, start, end) if edge.role == "s" else _arc(edge, start, end))
        else:
            drawn.append(_riser(edge, start.at, end.at, idle=edge.role == "y" and edge.step != network.t))
    return drawn


def _riser(edge: Edge, low: Point, high: Point, idle: bool) -> DrawnEdge:
    """An edge upwards; its matrix on the left, the gradient on the right."""
    cut_high = _chord(RADIUS)
    if edge.role == "E":  # a box is flat
        high, cut_high = high + (19 - RADIUS) * 1j, RADIUS
    line = straight(low, high, RADIUS, RADIUS)
    back = straight(low, high, _chord(RADIUS), cut_high, ASIDE).back()
    leans = (high - low).real
    passes = (low - high).imag > 1.5 * ROW  # the other direction's state
    part = (0.25 if passes else 0.42) if abs(leans) > 1 else 0.5
    right = leans < -1 if edge.role == "y" else leans > 1  # where no other edge is near
    label = LabelPlace(line.at(part) + (ASIDE + 10 + 5j if right else -9 + 5j), "start" if right else "end")
    return DrawnEdge(edge, line, back, label, LabelPlace(back.at(0.5) + (9 + 5j), "start"), idle)


def _run(edge: Edge, start: _End, end: _End) -> DrawnEdge:
    """An edge along a row; its matrix above, the gradient below."""
    line = straight(start.at, end.at, start.cut, end.cut)
    back = straight(start.at, end.at, _chord(start.cut), _chord(end.cut), -edge.at.back * ASIDE).back()
    middle = line.at(0.5)
    return DrawnEdge(edge, line, back, LabelPlace(middle - 9j), LabelPlace(middle + (ASIDE + 19) * 1j))


def _arc(edge: Edge, start: _End, end: _End) -> DrawnEdge:
    """The cell state's edge, an arc above the row; the gradient above it, its letter above both."""
    ahead = -edge.at.back

    def bow(apart: float) -> Curve:
        def corner(end: _End, ahead: int) -> Point:
            return end.at + complex(ahead * (0.6 * end.cut + 0.3 * apart), -0.8 * min(end.cut, RADIUS) - apart)

        first, last = corner(start, ahead), corner(end, -ahead)
        third, high = (last - first).real / 3, start.at.imag - 66 - apart
        return Curve(first, complex(first.real + third, high), complex(last.real - third, high), last)

    line = bow(0)
    middle = line.at(0.5)
    return DrawnEdge(edge, line, bow(11).back(), LabelPlace(middle - 21j), LabelPlace(middle + 16j))


def _loop_edge(edge: Edge, state: Point, both: bool) -> DrawnEdge:
    """The loop of a folded state: out at its side, back in as the state before."""
    side = -1 if both and not edge.at.direction else 1
    inside, outside = ("end", "start")[::side]
    wide, rise = (78, 0.62 * RADIUS) if edge.role == "s" else (165, 0.9 * RADIUS)

    def loop(apart: float) -> Curve:  # from the node's upper side around to its lower one
        low = rise + 0.15 * apart
        high = low + 0.5 * wide + 1.2 * apart
        near, far = side * math.sqrt(RADIUS**2 - low**2), side * 1.33 * (wide + apart)
        return Curve(
            *(state + complex(*point) for point in ((near, -low), (far, -high), (far, high), (near, low)))
        )

    def beside(curve: Curve, by: float) -> Point:
        return complex(curve.at(0.5).real + by * side, state.imag + 5)

    line, back = loop(0), loop(13).back()
    label = LabelPlace(beside(line, -8), inside) if edge.role == "s" else LabelPlace(beside(line, 8), outside)
    return DrawnEdge(edge, line, back, label, LabelPlace(beside(back, 9), outside))


def _chord(cut: float) -> float:
    """The point at which a line beside the middle meets a circle of this radius; other shapes are cut as given."""
    return math.sqrt(cut * cut - ASIDE * ASIDE) + 1.5 if cut == RADIUS else cut
