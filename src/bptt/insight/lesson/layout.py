"""The places of nodes and edges in a network's picture, folded or unfolded in time."""

from __future__ import annotations

import math
from typing import NamedTuple

from .edges import Edge, UnfoldedNetwork
from .notation import LessonNetwork, Letters, Step, letter
from .svg import Curve, Point, straight

RADIUS = 23.0
COLUMN = 130.0
ROW = 112.0
SHIFT = 31.0  # of a direction to its side, where there are two
ASIDE = 13.0  # between an edge and the gradient that goes back over it
FOLD = 52.0  # half the width of "⋯ 187 steps ⋯"


class Node(NamedTuple):
    """A letter in a circle; E in a box, an initial state bare."""

    latex: str
    at: Point
    idle: bool = False  # E_t does not depend on it
    bare: bool = False


class DrawnEdge(NamedTuple):
    """An arrow of the forward pass, and the curve that the gradient takes back."""

    name: str  # "s_2→s_3"
    latex: str  # the matrix on it; "" for none
    line: Curve
    back: Curve
    label: Point
    anchor: str  # of the label
    number: Point  # of the flow's number
    number_anchor: str = "middle"
    idle: bool = False


class Fold(NamedTuple):
    """Steps that are not drawn."""

    steps: range
    at: list[Point]  # one place for each row of states


class Layout(NamedTuple):
    """A whole picture; y grows downwards."""

    nodes: list[Node]
    edges: list[DrawnEdge]
    folds: list[Fold]
    size: Point


class _End(NamedTuple):
    """The place of an edge's end: a node, or a folded stretch of steps."""

    at: Point
    cut: float = RADIUS  # by which an edge stops before the middle
    fold: range | None = None


def unfolded(net: LessonNetwork, spans: list[range], error: int) -> Layout:
    """The network unfolded: a column for each step, one for each folded stretch; E above y at step `error`."""
    network = UnfoldedNetwork(net, range(1, spans[-1].stop), error)
    frame = _Frame(network)
    columns = frame.columns(spans)
    nodes, folds, ends = [], [], {}
    for x, span in zip(columns, spans, strict=True):
        if len(span) == 1:
            nodes += frame.nodes(x, span[0], span[0] == error)
            continue
        middles = [(x, frame.state(x, *place)[1]) for place in frame.places]
        folds.append(Fold(span, middles))
        for (layer, direction), middle in zip(frame.places, middles, strict=True):
            at = network.signs[layer][direction]
            ends |= {at("s", k): _End(middle, FOLD, span) for k in span}
    for layer, direction in frame.places:
        at = network.signs[layer][direction]
        x = columns[0 if at.back == -1 else -1] + at.back * frame.column * 0.8
        first = 1 if at.back == -1 else spans[-1][-1]
        nodes.append(Node(at.before("s", first), frame.state(x, layer, direction), bare=True))
    ends |= {node.latex: _End(node.at, 15.0 if node.bare else RADIUS) for node in nodes}
    return Layout(
        nodes,
        frame.edges(network.edges, ends, error),
        folds,
        (columns[-1] + frame.margin_right, frame.y_x + RADIUS + 6),
    )


def folded(net: LessonNetwork, k: Step) -> Layout:
    """The network folded: one column, each state with a loop; k is the step in the letters."""
    network = UnfoldedNetwork(net, [k], k)
    frame = _Frame(network)
    x = (270.0 if frame.memory else 220.0) if frame.both else 110.0
    nodes = frame.nodes(x, k, True)
    edges = frame.edges(network.edges, {node.latex: _End(node.at) for node in nodes}, k)
    edges += [frame.loop(edge, x) for edge in network.edges if edge.role in ("s", "c")]
    width = 2 * x if frame.both else x + (260 if frame.memory else 190)
    return Layout(nodes, edges, [], (width, frame.y_x + RADIUS + 6))


class _Frame:
    """Rows and columns of one network's picture."""

    def __init__(self, network: UnfoldedNetwork) -> None:
        self.signs = network.signs
        self.places = [(layer, d) for layer, signs in enumerate(self.signs) for d in range(len(signs))]
        self.memory = network.has_cell_state
        self.both = len(self.signs[0]) > 1
        self.row_height = ROW + (40 if self.memory else 0)
        self.y_e = 26.0
        self.y_y = self.y_e + 86
        self.y_x = self.y_y + ROW + len(self.places) * self.row_height
        self.column = COLUMN + (44 if self.both else 0)
        self.margin_right = self.column * 0.8 + SHIFT + 24 if self.both else 78

    def columns(self, spans: list[range]) -> list[float]:
        """The middle of each column; the initial states stand before the first."""
        at, found, before = 24 + self.column * 0.8 + (SHIFT if self.both else 0), [], 1
        for span in spans:
            if found:
                at += self.column + (FOLD - RADIUS if max(len(span), before) > 1 else 0)
            found.append(at)
            before = len(span)
        return found

    def state(self, x: float, layer: int, direction: int) -> Point:
        """The place of a state in a column."""
        above = layer * len(self.signs[0]) + direction + 1
        aside = (SHIFT if direction else -SHIFT) if self.both else 0
        return x + aside, self.y_x - ROW - (above - 1) * self.row_height

    def nodes(self, x: float, k: Step, error: bool) -> list[Node]:
        """The nodes of a column."""
        found = [Node(letter("x", k), (x, self.y_x))]
        found += [Node(self.signs[layer][d]("s", k), self.state(x, layer, d)) for layer, d in self.places]
        found.append(Node(letter("y", k), (x, self.y_y), idle=not error))
        return [*found, Node(letter("E", k), (x, self.y_e))] if error else found

    def edges(self, edges: list[Edge], ends: dict[str, _End], error: Step) -> list[DrawnEdge]:
        """The edges whose two ends have a place, those within a fold left out."""
        drawn = []
        for edge in edges:
            start, end = (ends.get(f"s{node[1:]}" if edge.role == "c" else node) for node in edge[:2])
            if start is None or end is None or (start.fold is not None and start.fold is end.fold):
                continue
            at = self.signs[edge.layer][edge.direction]
            if edge.role == "s":
                drawn.append(_run(edge, at, start, end))
            elif edge.role == "c":
                drawn.append(_arc(edge, at, start, end))
            elif edge.role == "x":  # the matrix is named once
                drawn.append(_riser(edge, start.at, end.at, letter("W", "x", at.above) if edge.part == 0 else ""))
            elif edge.role == "y":
                drawn.append(_riser(edge, start.at, end.at, "W_y", idle=edge.step != error))
            else:
                drawn.append(_riser(edge, start.at, (end.at[0], end.at[1] + 19 - RADIUS), ""))
        return drawn

    def loop(self, edge: Edge, x: float) -> DrawnEdge:
        """The loop of a folded state: out at its side, back in as the state before."""
        at, (x, y) = self.signs[edge.layer][edge.direction], self.state(x, edge.layer, edge.direction)
        side = -1 if self.both and edge.direction == 0 else 1
        latex, wide = (letter("W", "s", at.above), 78) if edge.role == "s" else (edge.start, 165)
        line, back = _loop((x, y), side, wide, 0), _loop((x, y), side, wide, 13).back()
        inside, outside = ("end", "start")[::side]
        label = (line.at(0.5)[0] - side * 8, y + 5), inside
        if edge.role == "c":
            label = (line.at(0.5)[0] + side * 8, y + 5), outside
        return DrawnEdge(edge.name, latex, line, back, *label, (back.at(0.5)[0] + side * 9, y + 5), outside)


def _riser(edge: Edge, low: Point, high: Point, latex: str, idle: bool = False) -> DrawnEdge:
    """An edge upwards; its matrix on the left, the gradient on the right."""
    line = straight(low, high, RADIUS, RADIUS)
    cut_high = RADIUS if edge.role == "E" else _chord(RADIUS)  # a box is flat
    back = straight(low, high, _chord(RADIUS), cut_high, ASIDE).back()
    leans = high[0] - low[0]
    passes = low[1] - high[1] > 1.5 * ROW  # the other direction's state
    part = (0.25 if passes else 0.42) if abs(leans) > 1 else 0.5
    right = leans > 1 if latex != "W_y" else leans < -1  # where no other edge is near
    x, y = line.at(part)
    label, anchor = ((x + ASIDE + 10, y + 5), "start") if right else ((x - 9, y + 5), "end")
    beside = back.at(0.5)[0] + 9, back.at(0.5)[1] + 5
    return DrawnEdge(edge.name, latex, line, back, label, anchor, beside, "start", idle)


def _run(edge: Edge, at: Letters, start: _End, end: _End) -> DrawnEdge:
    """An edge along a row; its matrix above, the gradient below."""
    line = straight(start.at, end.at, start.cut, end.cut)
    back = straight(start.at, end.at, _chord(start.cut), _chord(end.cut), -at.back * ASIDE).back()
    x, y = line.at(0.5)
    matrix = letter("W", "s", at.above)
    return DrawnEdge(edge.name, matrix, line, back, (x, y - 9), "middle", (x, y + ASIDE + 19))


def _arc(edge: Edge, at: Letters, start: _End, end: _End) -> DrawnEdge:
    """The cell state's edge, an arc above the row; the gradient above it, its letter above both."""
    ahead = -at.back

    def bow(apart: float) -> Curve:
        x0 = start.at[0] + ahead * (0.6 * start.cut + 0.3 * apart)
        y0 = start.at[1] - 0.8 * min(start.cut, RADIUS) - apart
        x1 = end.at[0] - ahead * (0.6 * end.cut + 0.3 * apart)
        y1 = end.at[1] - 0.8 * min(end.cut, RADIUS) - apart
        third, rise = (x1 - x0) / 3, 66 + apart
        return Curve((x0, y0), (x0 + third, start.at[1] - rise), (x1 - third, end.at[1] - rise), (x1, y1))

    line = bow(0)
    x, y = line.at(0.5)
    return DrawnEdge(edge.name, edge.start, line, bow(11).back(), (x, y - 21), "middle", (x, y + 16))


def _loop(at: Point, side: int, wide: float, apart: float) -> Curve:
    """A loop from a node's upper side around to its lower one, `wide` across; `apart` farther out all around."""
    (x, y), rise = at, (0.9 if wide > 100 else 0.62) * RADIUS + 0.15 * apart
    near = x + side * math.sqrt(RADIUS**2 - rise**2)
    far = x + side * (1.33 * (wide + apart))
    high = 0.5 * wide + 1.2 * apart
    return Curve((near, y - rise), (far, y - rise - high), (far, y + rise + high), (near, y + rise))


def _chord(cut: float) -> float:
    """The point at which a line beside the middle meets a circle of this radius; other shapes are cut as given."""
    return math.sqrt(cut * cut - ASIDE * ASIDE) + 1.5 if cut == RADIUS else cut
