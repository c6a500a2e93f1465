"""What of E_t's gradient goes over each edge of the unfolded network, from an explanation."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ..text import share
from .edges import Network
from .explanation import Explanation
from .notation import Letters, Matrix, letter, letters, matrices, plain
from .paths import edge, inputs_of

DIED = 0.01  # of its start: below it a flow has died
WEAK = 0.1
GROWN = 2.0


class Flow(NamedTuple):
    """The gradient that goes back over one edge."""

    norm: float
    part: float  # of ‖∂E_t/∂s_t‖
    title: str  # numbers in words
    shown: str = ""  # the number, or the letter in LaTeX, that stands beside the edge, where there is room

    @property
    def kind(self) -> str:
        """How much is left: "grown", "strong", "weak" or "dead"."""
        if self.part > GROWN:
            return "grown"
        return "strong" if self.part >= WEAK else "weak" if self.part >= DIED else "dead"


def flows(net: Network, e: Explanation) -> dict[str, Flow]:
    """The flow over every edge, by the edge's name."""
    found, signs = {}, letters(net)
    E, K, layers = f"E_{e.t}", len(next(iter(e.state_gradients.values()))), list(e.state_gradients)
    top = [e.state_gradients[layer][e.t - 1] for layer in layers[-len(signs[0]) :]]
    start = sum(part.norm().item() ** 2 for part in top) ** 0.5

    def flow(gradient: Tensor, to: str, more: str = "", shown: bool = False) -> Flow:
        norm = gradient.norm().item()
        part = norm / start if start > 0 else 0.0
        title = f"∂{E}/∂{plain(to)}: norm {norm:.3g}, {percent(part)} of what reached the states at step {e.t}"
        return Flow(norm, part, f"{title}{more}", percent(part) if shown else "")

    by_place = {(m.layer, m.direction, m.role): m for m in matrices(net)}
    output = flow(e.output_gradient, letter("y", e.t))
    found[edge(letter("y", e.t), letter("E", e.t))] = output._replace(part=1.0, title=output.title.split(",")[0])
    for at, gradient in zip(signs[-1], top, strict=True):
        more = _contribution(net, e, by_place[-1, 0, "y"], e.t)
        found[edge(at("s", e.t), letter("y", e.t))] = flow(gradient, at("s", e.t), more)
    for place, name in enumerate(layers):
        layer, direction = divmod(place, len(signs[0]))
        at = signs[layer][direction]
        reached = range(1, K + 1)
        if len(signs[0]) > 1 and layer == len(signs) - 1:
            reached = range(e.t, K + 1) if direction else range(1, e.t + 1)
        for k in reached:
            more = _contribution(net, e, by_place[layer, direction, "x"], k)
            nodes = inputs_of(signs, layer, k)
            parts = e.input_gradients[name][k - 1].chunk(len(nodes), -1)
            for node, gradient in zip(nodes, parts, strict=True):
                found[edge(node, at("s", k))] = flow(gradient, node, more)._replace(shown=_delta(at, k))
            if k + at.back not in reached:
                continue
            before = k + at.back
            more = _contribution(net, e, by_place[layer, direction, "s"], k)
            over_s = e.recurrent_gradients[name][before - 1]
            found[edge(at("s", before), at("s", k))] = flow(over_s, at("s", before), more, shown=True)
            if name in e.cell_gradients:
                over_c = e.cell_gradients[name][before - 1]
                found[edge(at("c", before), at("c", k))] = flow(over_c, at("c", before), shown=True)
    return found


def _delta(at: Letters, k: int) -> str:
    """δ_k beside the edge it goes through, where there is room: with one direction."""
    return "" if at.above.endswith("arrow") else at(r"\delta", k)


def _contribution(net: Network, e: Explanation, matrix: Matrix, k: int) -> str:
    """The contribution of a matrix's use at step k, in words."""
    part = e.contributions[matrix.name][k - 1]
    along = share(part, e.gradient[matrix.name])
    return (
        f"\n{plain(matrix.latex)} at step {k}: norm {part.norm().item():.3g} of ∂E_{e.t}/∂{plain(matrix.latex)}, "
        f"share {percent(along)}"
    )


def percent(part: float) -> str:
    """A part of 1 as a percentage that never rounds to nothing: 48 %, 0.3 %, 2e-05 %."""
    return f"{100 * part:.2g} %" if abs(part) < 0.1 else f"{100 * part:.0f} %"


def folded_flows(net: Network, e: Explanation) -> dict[str, Flow]:
    """Each matrix's whole gradient over its edge of the folded network, by the edge's name."""
    signs, found = letters(net), {}
    largest = max(gradient.norm().item() for gradient in e.gradient.values())
    steps = len(next(iter(e.contributions.values())))
    for matrix in matrices(net):
        if matrix.role not in ("x", "s", "y"):
            continue
        at = signs[matrix.layer][matrix.direction]
        if matrix.role == "x":
            nodes = [(node, at("s", e.t)) for node in inputs_of(signs, matrix.layer, e.t)]
        elif matrix.role == "s":
            nodes = [(at.before("s", e.t), at("s", e.t))]
        else:
            nodes = [(sign("s", e.t), letter("y", e.t)) for sign in signs[-1]]
        norm = e.gradient[matrix.name].norm().item()
        summed = f", the sum over {steps} steps" if steps > 1 and matrix.role != "y" else ""
        title = f"∂E_{e.t}/∂{plain(matrix.latex)}: norm {norm:.3g}{summed}"
        flow = Flow(
            norm,
            norm / largest if largest > 0 else 0.0,
            title,
            "" if len(signs[0]) > 1 and matrix.role != "s" else f"{norm:.3g}",
        )
        found |= {edge(start, end): flow for start, end in nodes}
    return found
