"""The network drawn as SVG, folded or unfolded in time, with the gradient on its edges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...files import creating
from ..text_tables import stretches
from .edges import UnfoldedNetwork
from .explanation import Explanation
from .flows import Flow, flows, folded_flows
from .layout import RADIUS, DrawnEdge, Layout, Node, folded, unfolded
from .notation import DrawnNetwork, Step, plain
from .svg import arrow, band, cross, document, hovered, lowered, straight, symbol, words

MOST = 12  # columns without a fold
SHOWN, FIRST = 9, 3  # columns with folds, and how many of them are the first steps
KINDS = {  # of a flow: the meaning in the legend, and the width there
    "grown": ("more than twice", 7.0),
    "strong": ("10 % or more", 5.0),
    "weak": ("1 to 10 %", 2.4),
    "faint": ("below 1 %", 1.3),
    "dead": ("below 10⁻⁶", 1.3),
}


@dataclass(frozen=True)
class Diagram:
    """A picture as SVG, which a notebook displays.

    Attributes:
        svg: one self-contained element, readable in light and dark. Its groups carry ``data-node`` ("s_2"),
            ``data-edge`` ("s_1→s_2") and, for the gradient over an edge, ``data-flow`` (the same name).
        label: a description in words.
    """

    svg: str
    label: str

    def save(self, path: str | Path) -> None:
        """Write it to a new file.

        Raises:
            FileExistsError: the file exists; it is left as it is.
        """
        with creating(Path(path)) as file:
            file.write(f"{self.svg}\n".encode())

    def _repr_svg_(self) -> str:
        return self.svg


def draw_unfolded(net: DrawnNetwork, e: Explanation | None, t: int) -> Diagram:
    """A column for each step, with the flow over every edge of an explanation, or the forward pass up to E_t."""
    steps, t = (t, t) if e is None else (e.steps, e.t)
    network = UnfoldedNetwork(net, range(1, steps + 1), t)
    layout = unfolded(network, stretches(steps, t, MOST if steps <= MOST else SHOWN, FIRST))
    label = f"The network unfolded over {steps} step{'s' * (steps > 1)}"
    if e is None:
        return _drawn(layout, label)
    label += f", with the gradient of E_{t} flowing back over every edge"
    return _drawn(layout, label, e, flows(network, e), f"the gradient of E_{t}, as a part of ‖∂E_{t}/∂s_{t}‖")


def draw_folded(net: DrawnNetwork, e: Explanation | None, t: Step) -> Diagram:
    """One column with loops, with the gradient of every matrix of an explanation; t stands in the letters."""
    label, t = "The network folded in time", t if e is None else e.t
    network = UnfoldedNetwork(net, [t], t)
    if e is None:
        return _drawn(folded(network), label)
    label += f", with the gradient of E_{e.t} by each matrix"
    measure = f"‖∂E_{e.t}/∂W‖ of each matrix, as a part of the largest"
    return _drawn(folded(network), label, e, folded_flows(network, e), measure)


def unfolded_svg(net: DrawnNetwork, e: Explanation) -> str:
    """The picture of an explanation, for a notebook."""
    return draw_unfolded(net, e, e.t).svg


def _drawn(
    layout: Layout, label: str, e: Explanation | None = None, over: Mapping[str, Flow] = {}, measure: str = ""
) -> Diagram:
    """A layout; of an explanation with the flows over its edges, and a legend headed by their measure."""
    back = [edge for edge in layout.edges if edge.name in over]
    died = _where_it_died(back, over)
    parts = [_edge(edge, idle=edge.idle and bool(over)) for edge in layout.edges]
    parts += [_flow(edge, over[edge.name], edge.name in died) for edge in back]
    parts += [words(f"⋯ {len(fold.steps)} steps ⋯", at + 5j, size=15) for fold in layout.folds for at in fold.at]
    parts += [_node(node, idle=node.idle and bool(over)) for node in layout.nodes]
    error, size = "", layout.size
    if e is not None:
        error = lowered(f"(d_{e.t} − y_{e.t})²") if e.loss == "squared_error" else e.loss.replace("_", " ")
    parts += [words(error, node.at + (-35 + 5j), "end") for node in layout.nodes if node.latex.startswith("E")]
    if over:
        measure = lowered(f"back: {measure}")
        legend, height = _legend({over[edge.name].kind for edge in back}, bool(died), measure, size.imag)
        parts.append(legend)
        size = complex(max(size.real, 24 + 6.6 * len(measure)), size.imag + height)
    return Diagram(document("".join(parts), size, label), label)


def _where_it_died(back: list[DrawnEdge], over: Mapping[str, Flow]) -> set[str]:
    """The edges of each row that have died, while the edge before them going back has not."""
    dead = {edge.name for edge in back if over[edge.name].kind == "dead"}
    alive = {edge.edge.start for edge in back if edge.name not in dead}
    rows: dict[object, list[DrawnEdge]] = {}
    for edge in back:
        if edge.edge.start[0] == edge.edge.end[0]:  # from a state to a state
            rows.setdefault((edge.edge.role, edge.edge.at, edge.edge.part), []).append(edge)
    found = set()
    for row in rows.values():
        alive_before = [*(later.name not in dead for later in row[1:]), row[-1].edge.end in alive]
        found |= {
            edge.name for edge, before in zip(row, alive_before, strict=True) if before and edge.name in dead
        }
    return found


def _edge(edge: DrawnEdge, idle: bool) -> str:
    letter = symbol(edge.edge.latex, *edge.letter, 17) if edge.edge.latex else ""
    return hovered(arrow(edge.line) + letter, "", "idle" if idle else "", edge=edge.name)


def _flow(edge: DrawnEdge, flow: Flow, died: bool) -> str:
    """The gradient back over an edge, the more the wider, with its number beside it."""
    width, colour = min(7.5, max(1.3, 5.5 + 2.1 * math.log10(max(flow.part, 1e-9)))), _colour(flow.kind)
    body = band(edge.back, colour, width)
    if flow.shown.startswith("\\"):
        body += symbol(flow.shown, *edge.number, 15, colour)
    elif flow.shown:
        body += words(flow.shown, *edge.number, 13, colour)
    if died:
        body += cross(edge.back.at(0.5), colour)
    return hovered(body, flow.title, flow=edge.name)


def _colour(kind: str) -> str:
    """The colour of a flow: that of the way back, but where it has died."""
    return "dead" if kind == "dead" else "back"


def _node(node: Node, idle: bool) -> str:
    x, y = node.at.real, node.at.imag
    shape = f'<circle class="node" cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}"/>'
    if node.latex.startswith("E"):
        shape = f'<rect class="node" x="{x - 26:.1f}" y="{y - 19:.1f}" width="52" height="38" rx="7"/>'
    body = ("" if node.bare else shape) + symbol(node.latex, node.at + 6j)
    return hovered(body, "", "idle" if idle else "", node=plain(node.latex))


def _legend(kinds: set[str], died: bool, measure: str, top: float) -> tuple[str, float]:
    """The meaning of widths and colours, and the height of the legend."""
    at = 24 + (top + 34) * 1j
    body = arrow(straight(at, at + 36)) + words("forward", at + (48 + 4.5j), "start")
    at += 22j
    body += words(measure, at + 5j, "start")
    for kind, (meaning, width) in KINDS.items():
        if kind in kinds:
            at += 22j
            meaning += ": it has died (×)" if kind == "dead" and died else ""
            body += band(straight(at + 36, at), _colour(kind), width) + words(meaning, at + (48 + 4.5j), "start")
    return body, at.imag - top + 14
