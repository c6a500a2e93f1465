"""The network drawn as SVG, folded or unfolded in time, with the gradient on its edges."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from ...files import creating
from ..text_tables import stretches
from .explanation import Explanation
from .flows import Flow, flows, folded_flows
from .layout import RADIUS, DrawnEdge, Fold, Layout, Node, folded, unfolded
from .notation import LessonNetwork, Step, plain
from .svg import arrow, band, cross, document, hovered, lowered, straight, symbol, words

MOST = 12  # columns without a fold
SHOWN, FIRST = 9, 3  # columns with folds, and how many of them are the first steps
MEANING = {
    "grown": "more than twice",
    "strong": "10 % or more",
    "weak": "1 to 10 %",
    "dead": "below 1 %",
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


def draw_unfolded(net: LessonNetwork, e: Explanation | None, t: int) -> Diagram:
    """A column for each step, with the flow over every edge of an explanation, or the forward pass up to E_t."""
    steps, t = (t, t) if e is None else (len(next(iter(e.state_gradients.values()))), e.t)
    spans = stretches(steps, t, MOST if steps <= MOST else SHOWN, FIRST)
    layout = unfolded(net, spans, t)
    label = f"The network unfolded over {steps} step{'s' * (steps > 1)}"
    if e is None:
        return _drawn(layout, {}, label, "")
    label += f", with the gradient of E_{t} flowing back over every edge"
    measure = lowered(f"back: the gradient of E_{t}, as a part of ‖∂E_{t}/∂s_{t}‖")
    return _drawn(layout, flows(net, e), label, measure, _error_words(e))


def draw_folded(net: LessonNetwork, e: Explanation | None, t: Step) -> Diagram:
    """One column with loops, with the gradient of every matrix of an explanation; t stands in the letters."""
    label = "The network folded in time"
    if e is None:
        return _drawn(folded(net, t), {}, label, "")
    label += f", with the gradient of E_{e.t} by each matrix"
    measure = lowered(f"back: ‖∂E_{e.t}/∂W‖ of each matrix, as a part of the largest")
    return _drawn(folded(net, e.t), folded_flows(net, e), label, measure, _error_words(e))


def unfolded_svg(net: LessonNetwork, e: Explanation) -> str:
    """The picture of an explanation, for a notebook."""
    return draw_unfolded(net, e, e.t).svg


def _error_words(e: Explanation) -> str:
    return lowered(f"(d_{e.t} − y_{e.t})²") if e.loss == "squared_error" else e.loss.replace("_", " ")


def _drawn(layout: Layout, over: dict[str, Flow], label: str, measure: str, error: str = "") -> Diagram:
    """A layout with the flows over its edges; with flows comes a legend, headed by their measure."""
    back = [edge for edge in layout.edges if edge.name in over]
    died = _where_it_died(back, over)
    parts = [_edge(edge, idle=edge.idle and bool(over)) for edge in layout.edges]
    parts += [_flow(edge, over[edge.name], edge.name in died) for edge in back]
    parts += [_fold(fold) for fold in layout.folds]
    parts += [_node(node, idle=node.idle and bool(over)) for node in layout.nodes]
    parts += [words(error, (x - 35, y + 5), "end") for latex, (x, y), *_ in layout.nodes if latex.startswith("E")]
    width, height = layout.size
    if over:
        legend, legend_height = _legend({over[edge.name].kind for edge in back}, bool(died), measure, height)
        parts.append(legend)
        width, height = max(width, 24 + 6.6 * len(measure)), height + legend_height
    return Diagram(document("".join(parts), (width, height), label), label)


def _where_it_died(back: list[DrawnEdge], over: dict[str, Flow]) -> set[str]:
    """The edges of each row that carry less than 1 %, while the edge before them going back carries more."""
    rows: dict[str, list[DrawnEdge]] = {}
    for edge in back:
        before, after = edge.name.split("→")
        if before[0] == after[0]:
            rows.setdefault(re.sub(r"\d+", "", edge.name), []).append(edge)
    alive = {edge.name.split("→")[0] for edge in back if over[edge.name].kind != "dead"}
    found = set()
    for row in rows.values():
        for edge, later in zip(row, [*row[1:], None], strict=True):
            source = edge.name.split("→")[1] in alive if later is None else over[later.name].kind != "dead"
            if over[edge.name].kind == "dead" and source:
                found.add(edge.name)
    return found


def _edge(edge: DrawnEdge, idle: bool) -> str:
    body = arrow(edge.line) + (symbol(edge.latex, edge.label, edge.anchor, 17) if edge.latex else "")
    return hovered(body, "", "idle" if idle else "", edge=edge.name)


def _flow(edge: DrawnEdge, flow: Flow, died: bool) -> str:
    """The gradient back over an edge, the more the wider, with its number beside it."""
    width = min(7.5, max(1.3, 5.5 + 2.1 * math.log10(max(flow.part, 1e-9))))
    body = band(edge.back, flow.kind, width)
    if flow.shown.startswith("\\"):
        body += symbol(flow.shown, edge.number, edge.number_anchor, 15, flow.kind)
    elif flow.shown:
        body += words(flow.shown, edge.number, edge.number_anchor, 13, flow.kind)
    if died:
        body += cross(edge.back.at(0.5), flow.kind)
    return hovered(body, flow.title, flow=edge.name)


def _fold(fold: Fold) -> str:
    text = f"⋯ {len(fold.steps)} steps ⋯"
    return "".join(words(text, (x, y + 5), size=15) for x, y in fold.at)


def _node(node: Node, idle: bool) -> str:
    x, y = node.at
    shape = f'<circle class="node" cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}"/>'
    if node.latex.startswith("E"):
        shape = f'<rect class="node" x="{x - 26:.1f}" y="{y - 19:.1f}" width="52" height="38" rx="7"/>'
    body = ("" if node.bare else shape) + symbol(node.latex, (x, y + 6))
    return hovered(body, "", "idle" if idle else "", node=plain(node.latex))


def _legend(kinds: set[str], died: bool, measure: str, top: float) -> tuple[str, float]:
    """The meaning of widths and colours, and the height of the legend."""
    y = top + 34
    body = arrow(straight((24, y), (60, y))) + words("forward", (72, y + 4.5), "start")
    body += words(measure, (24, y + 27), "start")
    for kind in (kind for kind in MEANING if kind in kinds):
        y += 22 if kind != next(k for k in MEANING if k in kinds) else 44
        width = {"grown": 7.0, "strong": 5.0, "weak": 2.4, "dead": 1.3}[kind]
        meaning = MEANING[kind] + (": it has died (×)" if kind == "dead" and died else "")
        body += band(straight((60, y), (24, y)), kind, width) + words(meaning, (72, y + 4.5), "start")
    return body, y - top + 14
