"""Where the nodes and edges of a network's picture stand, folded and unfolded in time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from ...equations import LSTMEquations
from .edges import Network, cell_of
from .notation import Letters, letter, letters
from .paths import edge
from .svg import Line, Point, straight

RADIUS = 23.0
COLUMN = 130.0
ROW = 112.0
SHIFT = 31.0  # of a direction to its side, where there are two
ASIDE = 13.0  # between an edge and the gradient that goes back over it
FOLD = 52.0  # half the room of "⋯ 187 steps ⋯"


class Node(NamedTuple):
    """A letter in a circle; E in a box, an initial state bare."""

    latex: str
    at: Point
    idle: bool = False  # E_t does not depend on it
    bare: bool = False


class Edge(NamedTuple):
    """An arrow of the way forward, and the line the gradient takes back."""

    name: str  # "s_2→s_3"
    latex: str  # the matrix on it; "" for none
    line: Line
    back: Line
    label: Point
    anchor: str  # of the label
    number: Point  # where a number of what goes back stands
    number_anchor: str = "middle"
    idle: bool = False


class Fold(NamedTuple):
    """Steps that are not drawn."""

    steps: range
    at: list[Point]  # one place for each row of states


class Layout(NamedTuple):
    """A whole picture; y grows downwards."""

    nodes: list[Node]
    edges: list[Edge]
    folds: list[Fold]
    size: Point


def unfolded(net: Network, spans: list[range], error: int) -> Layout:
    """The network unfolded: a column for each step, one for each folded stretch; E above y at step `error`."""
    frame = _Frame(net)
    columns = frame.columns(spans)
    nodes, edges, folds = [], [], []
    for x, span in zip(columns, spans, strict=True):
        if len(span) > 1:
            folds.append(Fold(span, [(x, frame.state(x, *place)[1]) for place in frame.places()]))
            continue
        nodes += frame.nodes(x, span[0], span[0] == error)
        edges += frame.risers(x, span[0], span[0] == error)
    for place in frame.places():
        start, row = frame.row(place, columns, spans)
        nodes += start
        edges += row
    return Layout(nodes, edges, folds, (columns[-1] + frame.margin_right, frame.y_x + RADIUS + 6))


def folded(net: Network, k: object) -> Layout:
    """The network folded: one column, each state with a loop; k is the step in the letters."""
    frame = _Frame(net)
    x = (270.0 if frame.memory else 220.0) if frame.both else 110.0
    edges = [*frame.risers(x, k, True), *(loop for place in frame.places() for loop in frame.loops(x, place, k))]
    return Layout(
        frame.nodes(x, k, True),
        edges,
        [],
        (2 * x if frame.both else x + (260 if frame.memory else 190), frame.y_x + RADIUS + 6),
    )


class _Frame:
    """Rows and columns of one network's picture."""

    def __init__(self, net: Network) -> None:
        self.signs = letters(net)
        self.memory = isinstance(cell_of(net), LSTMEquations)
        self.both = len(self.signs[0]) > 1
        self.row_height = ROW + (40 if self.memory else 0)
        self.y_e = 26.0
        self.y_y = self.y_e + 86
        self.y_x = self.y_y + ROW + len(list(self.places())) * self.row_height
        self.column = COLUMN + (44 if self.both else 0)
        self.margin_right = self.column * 0.8 + SHIFT + 24 if self.both else 78

    def places(self) -> Iterator[tuple[int, int]]:
        """Layers and directions, from below."""
        for layer, signs in enumerate(self.signs):
            yield from ((layer, direction) for direction in range(len(signs)))

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
        """Where a state stands in a column."""
        above = layer * len(self.signs[0]) + direction + 1
        aside = (SHIFT if direction else -SHIFT) if self.both else 0
        return x + aside, self.y_x - ROW - (above - 1) * self.row_height

    def nodes(self, x: float, k: object, error: bool) -> list[Node]:
        """The nodes of a column."""
        found = [Node(letter("x", k), (x, self.y_x))]
        found += [Node(self.signs[layer][d]("s", k), self.state(x, layer, d)) for layer, d in self.places()]
        found.append(Node(letter("y", k), (x, self.y_y), idle=not error))
        return [*found, Node(letter("E", k), (x, self.y_e))] if error else found

    def risers(self, x: float, k: object, error: bool) -> Iterator[Edge]:
        """The edges of a column, upwards."""
        below = [(letter("x", k), (x, self.y_x))]
        for layer, signs in enumerate(self.signs):
            here = [(at("s", k), self.state(x, layer, direction)) for direction, at in enumerate(signs)]
            for at, end in zip(signs, here, strict=True):
                for place, start in enumerate(below):  # the matrix is named once
                    yield _riser(start, end, letter("W", "x", at.above) if place == 0 else "")
            below = here
        for start in below:
            yield _riser(start, (letter("y", k), (x, self.y_y)), "W_y", idle=not error)
        if error:
            yield _riser((letter("y", k), (x, self.y_y)), (letter("E", k), (x, self.y_e + 19 - RADIUS)), "")

    def row(
        self, place: tuple[int, int], columns: list[float], spans: list[range]
    ) -> tuple[list[Node], list[Edge]]:
        """A row's initial state and the edges between its states, in the direction it walks."""
        at = self.signs[place[0]][place[1]]
        order = list(zip(columns, spans, strict=True))[:: -at.back]
        ahead = -at.back * self.column * 0.8
        first = (order[0][1][-1] if place[1] else order[0][1][0]) + at.back
        x, y = self.state(order[0][0] - ahead, *place)
        nodes, edges, before = [Node(at("s", first), (x, y), bare=True)], [], ((x, y), 15.0)
        for x, span in order:
            k = span[-1] if place[1] else span[0]
            end = ((x, y), FOLD) if len(span) > 1 else (self.state(x, *place), RADIUS)
            edges.append(_run(at, k, before, end))
            if self.memory:
                edges.append(_arc(at, k, before, end))
            before = end
        return nodes, edges

    def loops(self, x: float, place: tuple[int, int], k: object) -> Iterator[Edge]:
        """The loops of a folded state: out at its side, back in as the state before."""
        at, (x, y) = self.signs[place[0]][place[1]], self.state(x, *place)
        side = -1 if self.both and place[1] == 0 else 1
        loops = [("s", letter("W", "s", at.above), 78)] + [("c", at.before("c", k), 165)] * self.memory
        for base, latex, wide in loops:
            line, back = _loop((x, y), side, wide, 0), _loop((x, y), side, wide, 13).back()
            inside, outside = ("end", "start")[::side]
            label = (line.at(0.5)[0] - side * 8, y + 5), inside
            if base == "c":
                label = (line.at(0.5)[0] + side * 8, y + 5), outside
            number = (back.at(0.5)[0] + side * 9, y + 5), outside
            yield Edge(edge(at.before(base, k), at(base, k)), latex, line, back, *label, *number)


def _riser(start: tuple[str, Point], end: tuple[str, Point], latex: str, idle: bool = False) -> Edge:
    """An edge upwards; its matrix on the left, the gradient on the right."""
    (node, low), (name, high) = start, end
    line = straight(low, high, RADIUS, RADIUS)
    cut_high = RADIUS if name.startswith("E") else _chord(RADIUS)  # a box is flat
    back = straight(low, high, _chord(RADIUS), cut_high, ASIDE).back()
    leans = high[0] - low[0]
    passes = low[1] - high[1] > 1.5 * ROW  # the other direction's state
    part = (0.25 if passes else 0.42) if abs(leans) > 1 else 0.5
    right = leans > 1 if latex != "W_y" else leans < -1  # where no other edge is near
    x, y = line.at(part)
    label, anchor = ((x + ASIDE + 10, y + 5), "start") if right else ((x - 9, y + 5), "end")
    beside = back.at(0.5)[0] + 9, back.at(0.5)[1] + 5
    return Edge(edge(node, name), latex, line, back, label, anchor, beside, "start", idle)


def _run(at: Letters, k: int, before: tuple[Point, float], end: tuple[Point, float]) -> Edge:
    """An edge along a row; its matrix above, the gradient below."""
    (start, cut_start), (point, cut_end) = before, end
    line = straight(start, point, cut_start, cut_end)
    back = straight(start, point, _chord(cut_start), _chord(cut_end), -at.back * ASIDE).back()
    x, y = line.at(0.5)
    name = edge(at.before("s", k), at("s", k))
    return Edge(name, letter("W", "s", at.above), line, back, (x, y - 9), "middle", (x, y + ASIDE + 19))


def _arc(at: Letters, k: int, before: tuple[Point, float], end: tuple[Point, float]) -> Edge:
    """The cell state's way, in an arc above the row; the gradient above it, its letter above both."""
    (start, cut_start), (point, cut_end) = before, end
    ahead = -at.back

    def bow(apart: float) -> Line:
        x0, y0 = (
            start[0] + ahead * (0.6 * cut_start + 0.3 * apart),
            start[1] - 0.8 * min(cut_start, RADIUS) - apart,
        )
        x1, y1 = point[0] - ahead * (0.6 * cut_end + 0.3 * apart), point[1] - 0.8 * min(cut_end, RADIUS) - apart
        third = (x1 - x0) / 3
        return Line((x0, y0), (x0 + third, start[1] - 66 - apart), (x1 - third, point[1] - 66 - apart), (x1, y1))

    line = bow(0)
    x, y = line.at(0.5)
    name = edge(at.before("c", k), at("c", k))
    return Edge(name, at.before("c", k), line, bow(11).back(), (x, y - 21), "middle", (x, y + 16))


def _loop(at: Point, side: int, wide: float, apart: float) -> Line:
    """A loop from a node's upper side around to its lower one, so far out; `apart` farther out all around."""
    (x, y), rise = at, (0.9 if wide > 100 else 0.62) * RADIUS + 0.15 * apart
    near = x + side * math.sqrt(RADIUS**2 - rise**2)
    far = x + side * (1.33 * (wide + apart))
    high = 0.5 * wide + 1.2 * apart
    return Line((near, y - rise), (far, y - rise - high), (far, y + rise + high), (near, y + rise))


def _chord(cut: float) -> float:
    """Where a line beside the middle meets a circle of this radius; other shapes are met as the middle is."""
    return math.sqrt(cut * cut - ASIDE * ASIDE) + 1.5 if cut == RADIUS else cut
