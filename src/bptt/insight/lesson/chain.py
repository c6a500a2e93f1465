"""The terms of ∂E_t/∂W: a path of derivatives each for the lesson's network, operand and delta for every other.

The lesson's network has one path from E_t to each use of a matrix, so its chain rule is written factor by factor:

    ∂E_3/∂W_s = ∂E_3/∂y_3 ∂y_3/∂s_3 ∂s_3/∂W_s + ∂E_3/∂y_3 ∂y_3/∂s_3 ∂s_3/∂s_2 ∂s_2/∂W_s + ...

where ∂s_k/∂W counts the use of W at step k alone, s_{k-1} held. Gates, layers and directions multiply the paths;
there delta_k sums up all that reach step k, and a term is operandᵀ delta_k (Werbos 1990, equations 8-13).
"""

from __future__ import annotations

from functools import cached_property, reduce

import torch
from torch import Tensor
from torch.nn.functional import linear

from ...equations import ElmanEquations, GRUEquations
from ..text import stretches
from .edges import Network, TakenBack, cell_of
from .notation import Matrix, T, letter, letters, partial, top
from .paths import Place, edge, inputs_of, output_edges, recurrent_edges, way_back
from .recursions import Output
from .terms import Factor, Quantity, Term


class Chain:
    """The terms of one network's gradients of E_t; with numbers where it was walked.

    Args:
        net: the network.
        t: the step whose error it is.
        steps: T, the length of the sequence.
        output: what is read out, and its error.
        shown: how many terms are written one by one at most.
        taken: what `take_back` found for one sequence; None without numbers.
    """

    def __init__(
        self, net: Network, t: int, steps: int, output: Output, shown: int, taken: TakenBack | None
    ) -> None:
        self.net, self.t, self.steps, self.output = net, t, steps, output
        self.shown, self.taken = shown, taken
        self.signs = letters(net)
        self.cell = cell_of(net)
        self.written_out = len(self.signs) == len(self.signs[0]) == 1 and isinstance(self.cell, ElmanEquations)

    def terms(self, matrix: Matrix) -> list[Term]:
        """The terms of ∂E_t/∂(matrix), the last step first, without values."""
        if matrix.layer < 0:
            return [Term(self.t, self.t, (self.at_output, self._readout_use(matrix)))]
        backward = len(self.signs[0]) > 1
        steps = self.steps if backward else self.t
        make = self._path if self.written_out else self._delta
        return [
            Term(span[0], span[-1], make(matrix, span[0]) if len(span) == 1 else ())
            for span in reversed(stretches(steps, self.t, self.shown))
        ]

    def total(self, matrix: Matrix) -> str:
        """∂E_t/∂(matrix) in closed form: Σ_k operandᵀ delta_k."""
        if matrix.layer < 0:
            operand = "" if matrix.role == "b_y" else top(self.net, self.t, T) + r"\,"
            return operand + partial(letter("E", self.t), letter(self.output.letter, self.t))
        steps = self.steps if len(self.signs[0]) > 1 else self.t
        operand = self.operand(matrix, "k")
        return (
            rf"\sum_{{k=1}}^{{{steps}}} " + ("" if operand is None else operand + r"\,") + self.delta(matrix, "k")
        )

    def operand(self, matrix: Matrix, k: object, above: str = T) -> str | None:
        """What the matrix is multiplied with at step k, transposed unless `above` is empty; None for a bias."""
        at = self.signs[matrix.layer][matrix.direction]
        if matrix.role == "x":
            return letter("x", k, above) if matrix.layer == 0 else letter("s", k, f"({matrix.layer}){above}")
        if matrix.role == "s":
            return at.before("s", k, above)
        if matrix.role == "p":
            product = rf"({at('o', k)} \odot \tanh {at('c', k)})"
            return f"{product}^{{{above}}}" if above else product
        return None

    def delta(self, matrix: Matrix, k: object) -> str:
        """The adjoint that the matrix's product at step k receives, in LaTeX."""
        at = self.signs[matrix.layer][matrix.direction]
        if matrix.role == "p":
            return partial(letter("E", self.t), at("s", k))
        recurrent = matrix.role in ("s", "b_s") and isinstance(self.cell, GRUEquations)
        return at(r"\tilde\delta" if recurrent else r"\delta", k)

    @cached_property
    def at_output(self) -> Factor:
        """∂E_t/∂y_t."""
        of, by = letter("E", self.t), letter(self.output.letter, self.t)
        value = None if self.taken is None else self.taken.dz[0]
        return Factor(partial(of, by), (Quantity(self.output.slope(), value),), (edge(letter("y", self.t), of),))

    @cached_property
    def through_readout(self) -> Factor:
        """∂y_t/∂s_t."""
        value = None if self.taken is None else self.net.readout_matrix()
        return Factor(
            partial(letter(self.output.letter, self.t), top(self.net, self.t)),
            (Quantity(letter("W", "y", T), value),),
            tuple(output_edges(self.net, self.t)),
        )

    def _readout_use(self, matrix: Matrix) -> Factor:
        quantity = Quantity(top(self.net, self.t), None if self.taken is None else self.taken.h_t[0])
        if matrix.role == "b_y":
            quantity = Quantity(
                "I", None if self.taken is None else torch.eye(len(self.taken.dz[0])).to(self.taken.dz)
            )
        edges = tuple(output_edges(self.net, self.t))
        return Factor(partial(letter(self.output.letter, self.t), matrix.latex), (quantity,), edges)

    def _path(self, matrix: Matrix, k: int) -> tuple[Factor, ...]:
        """∂E_t/∂y_t ∂y_t/∂s_t ... ∂s_k/∂W."""
        return (self.at_output, self.through_readout, *self._back_to(k), self._use(matrix, k))

    def _back_to(self, k: int) -> list[Factor]:
        """∂s_t/∂s_{t-1} ... ∂s_{k+1}/∂s_k, the middle folded where there are many."""
        steps = range(self.t, k, -1)
        if len(steps) <= self.shown:
            return [self._jacobian(j) for j in steps]
        middle = [self._jacobian(j) for j in steps[2:-1]]
        values = [factor.quantities[0].value for factor in middle]
        product = None if self.taken is None else reduce(torch.matmul, [v for v in values if v is not None])
        latex = partial(letter("s", steps[2]), letter("s", steps[-1]))
        edges = tuple(edge for factor in middle for edge in factor.edges)
        folded = Factor(r"\cdots", (Quantity(latex, product),), edges, len(middle))
        return [*(self._jacobian(j) for j in steps[:2]), folded, self._jacobian(steps[-1])]

    def _jacobian(self, k: int) -> Factor:
        """∂s_k/∂s_{k-1} = (1-α) I + α diag(Φ'(a_k)) W_sᵀ."""
        latex = rf"\mathrm{{diag}}(\Phi'({letter('a', k)}))\,{letter('W', 's', T)}"
        leak, value = self.cell.leak, None
        if leak != 1:
            latex = rf"(1-\alpha) I + \alpha\,{latex}"
        if self.taken is not None:
            W_s = self.taken.records[0].weights.W_hh.detach()
            value = self._slope(k)[:, None] * W_s + (1 - leak) * torch.eye(len(W_s)).to(W_s)
        at = self.signs[0][0]
        edges = tuple(recurrent_edges(self.net, at, k))
        return Factor(partial(letter("s", k), letter("s", k - 1)), (Quantity(latex, value),), edges)

    @torch.no_grad()
    def _slope(self, k: int) -> Tensor:
        """α Φ'(a_k), (S)."""
        assert self.taken is not None
        record = self.taken.records[0]
        p = linear(record.x[k - 1], record.weights.W_ih, record.weights.b_ih)
        phi = self.cell.step(p, (record.unfolded.states[k - 1],), record.weights)[1].phi[0]
        return self.cell.leak * self.cell.activation.adjoint(torch.ones_like(phi), phi)

    def _slope_latex(self, k: object) -> str:
        return ("" if self.cell.leak == 1 else r"\alpha\,") + rf"\Phi'({letter('a', k)})"

    def _use(self, matrix: Matrix, k: int) -> Factor:
        """∂s_k/∂W, W at step k alone: what W is multiplied with, and Φ'(a_k)."""
        quantities = [Quantity(self._slope_latex(k), None if self.taken is None else self._slope(k))]
        if matrix.role in ("x", "s"):
            latex = letter("x", k) if matrix.role == "x" else letter("s", k - 1)
            quantities.insert(0, Quantity(latex, self._numbers_at(matrix, k)[1]))
        return Factor(partial(letter("s", k), matrix.latex), tuple(quantities), self._use_edges(matrix, k))

    def use(self, matrix: Matrix) -> str:
        """What a row g times ∂s_k/∂W is, W at step k alone: "... = ..." in LaTeX; "" without paths."""
        if matrix.layer < 0:
            of, row = letter(self.output.letter, self.t), "g"
            operand = None if matrix.role == "b_y" else top(self.net, self.t, T)
        elif self.written_out:
            of, row = letter("s", "k"), rf"(g \odot {self._slope_latex('k')})"
            operand = self.operand(matrix, "k")
        else:
            return ""
        return rf"g\,{partial(of, matrix.latex)} = " + (row if operand is None else rf"{operand}\,{row}")

    def _delta(self, matrix: Matrix, k: int) -> tuple[Factor, ...]:
        """operandᵀ delta_k."""
        delta, operand_value = self._numbers_at(matrix, k)
        back = way_back(self.net, self.t, self.steps, Place(matrix.layer, matrix.direction), k)
        latex = self.delta(matrix, k)
        factors = [Factor(latex, (Quantity(latex, delta),), back)]
        operand = self.operand(matrix, k)
        if operand is not None:
            quantity = Quantity(self.operand(matrix, k, above="") or "", operand_value)
            factors.insert(0, Factor(operand, (quantity,), self._use_edges(matrix, k)))
        return tuple(factors)

    def _numbers_at(self, matrix: Matrix, k: int) -> tuple[Tensor | None, Tensor | None]:
        """delta and operand of a recurrent matrix at step k; None without numbers, or for a bias's operand."""
        if self.taken is None:
            return None, None
        walk = self.taken.walks[matrix.layer * len(self.signs[0]) + matrix.direction]
        factor = getattr(walk.factors, matrix.field)
        return factor.delta[k - 1, 0], None if factor.operand is None else factor.operand[k - 1, 0]

    def _use_edges(self, matrix: Matrix, k: int) -> tuple[str, ...]:
        """The edges that carry a matrix's product into the state at step k."""
        at = self.signs[matrix.layer][matrix.direction]
        if matrix.role == "x":
            return tuple(edge(node, at("s", k)) for node in inputs_of(self.signs, matrix.layer, k))
        return (edge(at.before("s", k), at("s", k)),) if matrix.role == "s" else ()
