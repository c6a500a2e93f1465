"""`{derived} GRU`: a cell's equations and their backward pass, by `bptt.derivation`."""

from collections.abc import Iterable

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import bptt

NETWORKS = {
    "Elman": lambda: bptt.Elman(1, 1, 1),
    "GRU": lambda: bptt.SequenceModel(bptt.GRU(1, 1), 1),
    "LSTM": lambda: bptt.SequenceModel(bptt.LSTM(1, 1), 1),
}


class Derived(SphinxDirective):
    """The network, the recursion of delta and the gradient of each matrix, for the error at step 3."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        found = bptt.derivation(NETWORKS[self.arguments[0]](), t=3)
        gradients = (f"{matrix.left} = {matrix.total}" for matrix in found.matrices)
        return [_block(rows) for rows in (found.equations, found.recursion, gradients)]


def _block(rows: Iterable[str]) -> nodes.Node:
    formula = r"\begin{aligned}" + r" \\ ".join(row.replace(" = ", " &= ", 1) for row in rows) + r"\end{aligned}"
    return nodes.math_block(formula, formula, nowrap=True, number=None, label=None)


def setup(app):
    app.add_directive("derived", Derived)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
