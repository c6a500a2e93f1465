"""The part of E_t's gradient that passes over each edge of the unfolded or folded network."""

from __future__ import annotations

from typing import NamedTuple

from .edges import Edge, UnfoldedNetwork
from .explanation import Explanation
from .notation import Matrix, matrices, plain

DIED = 1e-6  # of the gradient at the start: below it a flow has died
FAINT = 0.01
WEAK = 0.1
GROWN = 2.0


class Flow(NamedTuple):
    """The gradient over one edge in the backward pass."""

    part: float  # its norm as a part of ‖∂E_t/∂s_t‖; folded, of the largest matrix's gradient
    title: str  # its numbers in words
    shown: str = ""  # a number, or a letter in LaTeX, beside the edge

    @property
    def kind(self) -> str:
        """How much is left: "grown", "strong", "weak", "faint" or "dead"."""
        levels = {"grown": GROWN, "strong": WEAK, "weak": FAINT, "faint": DIED}
        return next((kind for kind, least in levels.items() if self.part >= least), "dead")


def flows(unfolded: UnfoldedNetwork, e: Explanation) -> dict[str, Flow]:
    """The flow over every edge that E_t's gradient passes, by the edge's name."""
    by_place = {(matrix.at, matrix.role): matrix for matrix in matrices(unfolded.net)}
    top = [e.state_gradients[at.name][e.t - 1] for at in unfolded.layers[-1]]
    start = sum(part.norm().item() ** 2 for part in top) ** 0.5

    def flow(edge: Edge) -> Flow:
        matrix, row = by_place.get((edge.at, edge.role)), int(edge.before) - 1
        shown = ""
        if edge.role == "E":
            gradient = e.output_gradient
        elif edge.role == "y":
            gradient, matrix = top[edge.part], by_place.get((None, "y"))
        elif edge.role == "x":
            parts = 1 if edge.at.layer == 0 else len(top)
            gradient = e.input_gradients[edge.at.name][row].chunk(parts, -1)[edge.part]
            shown = "" if unfolded.both else edge.at(r"\delta", edge.step)
        else:
            gradient = (e.recurrent_gradients if edge.role == "s" else e.cell_gradients)[edge.at.name][row]
        norm = gradient.norm().item()
        part = norm / start if start > 0 else 0.0
        title = f"∂E_{e.t}/∂{plain(edge.start)}: norm {norm:.3g}"
        if edge.role == "E":
            return Flow(1.0, title)
        title += f", {percent(part)} of what reached the states at step {e.t}"
        title += "" if matrix is None else _contribution(e, matrix, int(edge.step))
        return Flow(part, title, percent(part) if edge.role in ("s", "c") else shown)

    return {edge.name: flow(edge) for edge in unfolded.leading_to_error}


def _contribution(e: Explanation, matrix: Matrix, step: int) -> str:
    """The contribution of a matrix's use at one step, in words."""
    part, latex = e.part(matrix.name, range(step, step + 1)), plain(matrix.latex)
    return f"\n{latex} at step {step}: norm {part.norm:.3g} of ∂E_{e.t}/∂{latex}, share {percent(part.share)}"


def percent(part: float) -> str:
    """A part of 1 as a percentage that never rounds to nothing: 48 %, 0.3 %, 2e-05 %."""
    return f"{100 * part:.2g} %" if abs(part) < 0.1 else f"{100 * part:.0f} %"


def folded_flows(folded: UnfoldedNetwork, e: Explanation) -> dict[str, Flow]:
    """Each matrix's whole gradient over its edges of the folded network, by the edge's name."""
    found = {}
    norms = {name: gradient.norm().item() for name, gradient in e.gradient.items()}
    largest, steps = max(norms.values()), len(next(iter(e.contributions.values())))
    for matrix in matrices(folded.net):
        norm = norms[matrix.name]
        summed = f", the sum over {steps} steps" if steps > 1 and matrix.role != "y" else ""
        title = f"∂E_{e.t}/∂{plain(matrix.latex)}: norm {norm:.3g}{summed}"
        shown = "" if folded.both and matrix.role != "s" else f"{norm:.3g}"
        flow = Flow(norm / largest if largest > 0 else 0.0, title, shown)
        edges = (edge for edge in folded.edges if edge.role == matrix.role and matrix.at in (edge.at, None))
        found |= {edge.name: flow for edge in edges}
    return found
