"""The terms of ∂E_t/∂W: a path of derivatives each for the lesson's network, operand and delta for every other.

The lesson's network has one path from E_t to each use of a matrix, so its chain rule is written factor by factor:

    ∂E_3/∂W_s = ∂E_3/∂y_3 ∂y_3/∂s_3 ∂s_3/∂W_s + ∂E_3/∂y_3 ∂y_3/∂s_3 ∂s_3/∂s_2 ∂s_2/∂W_s + ...

where ∂s_k/∂W counts the use of W at step k alone, s_{k-1} held. Gates, layers and directions multiply the paths;
there delta_k sums up all that reach step k, and a term is operandᵀ delta_k (Werbos 1990, equations 8-13).
"""

from __future__ import annotations

from functools import cached_property, reduce
from typing import Any

import torch
from torch import Tensor

from ...equations import ElmanEquations, GRUEquations
from ..text_tables import stretches
from .backward import ErrorBackward, activation_slopes
from .derivation_parts import Quantity, Term, TermFactor
from .edges import UnfoldedNetwork
from .notation import LessonNetwork, Letters, Matrix, Step, T, letter, partial, top
from .recursions import ReadoutFormulas


class Chain:
    """The terms of one network's gradients of E_t; with numbers where it was walked.

    Args:
        net: the network.
        steps: T, the length of the sequence.
        readout: the read-out and its error.
        shown: how many terms are written one by one at most.
        back: the error's backward pass over one sequence; None without numbers.
    """

    def __init__(
        self, net: LessonNetwork, steps: int, readout: ReadoutFormulas, shown: int, back: ErrorBackward | None
    ) -> None:
        self.net, self.t, self.readout, self.shown, self.back = net, readout.t, readout, shown, back
        self.unfolded = UnfoldedNetwork(net, range(1, steps + 1), readout.t)
        self.signs = self.unfolded.signs
        self.cell: Any = net.cell
        self.terms_of_layers = steps if len(self.signs[0]) > 1 else readout.t
        self.written_out = len(self.signs) == len(self.signs[0]) == 1 and isinstance(self.cell, ElmanEquations)

    def terms(self, matrix: Matrix) -> list[Term]:
        """The terms of ∂E_t/∂(matrix), the last step first, without values."""
        if matrix.layer < 0:
            return [Term(self.t, self.t, (self._at_output, self._readout_use(matrix)))]
        make = self._path if self.written_out else self._operand_and_delta
        return [
            Term(span[0], span[-1], make(matrix, span[0]) if len(span) == 1 else ())
            for span in reversed(stretches(self.terms_of_layers, self.t, self.shown))
        ]

    def total(self, matrix: Matrix) -> str:
        """∂E_t/∂(matrix) in closed form: Σ_k operandᵀ delta_k."""
        operand = self._operand(matrix, "k", T)
        product = "" if operand is None else operand + r"\,"
        if matrix.layer < 0:
            return product + self.readout.derivative
        return rf"\sum_{{k=1}}^{{{self.terms_of_layers}}} {product}{self._delta(matrix, 'k')}"

    def use(self, matrix: Matrix) -> str:
        """A row g times ∂s_k/∂W, W at step k alone: "... = ..." in LaTeX; "" without paths."""
        if matrix.layer < 0:
            of, row = letter(self.readout.letter, self.t), "g"
        elif self.written_out:
            of, row = letter("s", "k"), rf"(g \odot {self._slope_latex('k')})"
        else:
            return ""
        operand = self._operand(matrix, "k", T)
        return rf"g\,{partial(of, matrix.latex)} = " + (row if operand is None else rf"{operand}\,{row}")

    def _letters(self, matrix: Matrix) -> Letters:
        return self.signs[matrix.layer][matrix.direction]

    def _operand(self, matrix: Matrix, k: Step, above: str = "") -> str | None:
        """The row that the matrix is multiplied with at step k, with T above transposed; None for a bias."""
        at = self._letters(matrix)
        if matrix.role == "y":
            return top(self.net, self.t, above)
        if matrix.role == "x":
            return letter("x", k, above) if matrix.layer == 0 else letter("s", k, f"({matrix.layer}){above}")
        if matrix.role == "s":
            return at("s", at.step_before(k), above)
        if matrix.role == "p":
            product = rf"({at('o', k)} \odot \tanh {at('c', k)})"
            return f"{product}^{{{above}}}" if above else product
        return None

    def _delta(self, matrix: Matrix, k: Step) -> str:
        """The adjoint that the matrix's product at step k receives, in LaTeX."""
        at = self._letters(matrix)
        if matrix.role == "p":
            return partial(letter("E", self.t), at("s", k))
        recurrent = matrix.role in ("s", "b_s") and isinstance(self.cell, GRUEquations)
        return at(r"\tilde\delta" if recurrent else r"\delta", k)

    @cached_property
    def _at_output(self) -> TermFactor:
        """∂E_t/∂y_t."""
        value = None if self.back is None else self.back.dz[0]
        quantity = Quantity(self.readout.slope(), value)
        return TermFactor(self.readout.derivative, (quantity,), self.unfolded.into(letter("E", self.t)))

    @cached_property
    def _through_readout(self) -> TermFactor:
        """∂y_t/∂s_t."""
        quantity = Quantity(letter("W", "y", T), None if self.back is None else self.net.readout_matrix())
        latex = partial(letter(self.readout.letter, self.t), top(self.net, self.t))
        return TermFactor(latex, (quantity,), self.unfolded.into(letter("y", self.t)))

    def _readout_use(self, matrix: Matrix) -> TermFactor:
        """∂y_t/∂W_y, or ∂y_t/∂b_y."""
        latex, value = self._operand(matrix, self.t) or "I", None
        if self.back is not None:
            outputs = self.back.dz.shape[1]
            value = self.back.h_t[0] if matrix.role == "y" else torch.eye(outputs).to(self.back.dz)
        edges = self.unfolded.into(letter("y", self.t))
        return TermFactor(
            partial(letter(self.readout.letter, self.t), matrix.latex), (Quantity(latex, value),), edges
        )

    def _path(self, matrix: Matrix, k: int) -> tuple[TermFactor, ...]:
        """∂E_t/∂y_t ∂y_t/∂s_t ... ∂s_k/∂W."""
        return (self._at_output, self._through_readout, *self._back_to(k), self._use_at(matrix, k))

    def _back_to(self, k: int) -> list[TermFactor]:
        """∂s_t/∂s_{t-1} ... ∂s_{k+1}/∂s_k, the middle folded where there are many."""
        found = [self._jacobian(j) for j in range(self.t, k, -1)]
        if len(found) <= self.shown:
            return found
        middle = found[2:-1]
        values = [v for factor in middle if (v := factor.quantities[0].value) is not None]
        latex = partial(letter("s", self.t - 2), letter("s", k + 1))
        product = Quantity(latex, reduce(torch.matmul, values) if values else None)
        edges = tuple(edge for factor in middle for edge in factor.edges)
        return [*found[:2], TermFactor(r"\cdots", (product,), edges, len(middle)), found[-1]]

    def _jacobian(self, k: int) -> TermFactor:
        """∂s_k/∂s_{k-1} = (1-α) I + α diag(Φ'(a_k)) W_sᵀ."""
        latex = rf"\mathrm{{diag}}(\Phi'({letter('a', k)}))\,{letter('W', 's', T)}"
        leak, value = self.cell.leak, None
        if leak != 1:
            latex = rf"(1-\alpha) I + \alpha\,{latex}"
        if self.back is not None:
            W_s = self.back.records[0].weights.W_hh.detach()
            value = self._slope(k)[:, None] * W_s + (1 - leak) * torch.eye(len(W_s)).to(W_s)
        edges = self.unfolded.into(letter("s", k), "s")
        return TermFactor(partial(letter("s", k), letter("s", k - 1)), (Quantity(latex, value),), edges)

    def _use_at(self, matrix: Matrix, k: int) -> TermFactor:
        """∂s_k/∂W, W at step k alone: the row that W is multiplied with, and Φ'(a_k)."""
        quantities = [Quantity(self._slope_latex(k), None if self.back is None else self._slope(k))]
        operand = self._operand(matrix, k)
        if operand is not None:
            quantities.insert(0, Quantity(operand, self._numbers_at(matrix, k)[1]))
        return TermFactor(partial(letter("s", k), matrix.latex), tuple(quantities), self._use_edges(matrix, k))

    def _slope(self, k: int) -> Tensor:
        """α Φ'(a_k), (S)."""
        return self.cell.leak * self._slopes[k - 1, 0]

    @cached_property
    def _slopes(self) -> Tensor:
        assert self.back is not None
        return activation_slopes(self.back.records[0])

    def _slope_latex(self, k: Step) -> str:
        return ("" if self.cell.leak == 1 else r"\alpha\,") + rf"\Phi'({letter('a', k)})"

    def _operand_and_delta(self, matrix: Matrix, k: int) -> tuple[TermFactor, ...]:
        """operandᵀ delta_k."""
        delta_value, operand_value = self._numbers_at(matrix, k)
        latex, operand = self._delta(matrix, k), self._operand(matrix, k)
        edges = self.unfolded.between(self._letters(matrix)("s", k))
        delta = TermFactor(latex, (Quantity(latex, delta_value),), edges)
        if operand is None:
            return (delta,)
        quantity, transposed = Quantity(operand, operand_value), self._operand(matrix, k, T) or ""
        return TermFactor(transposed, (quantity,), self._use_edges(matrix, k)), delta

    def _numbers_at(self, matrix: Matrix, k: int) -> tuple[Tensor | None, Tensor | None]:
        """delta and operand of a recurrent matrix at step k; None without numbers, or for a bias's operand."""
        if self.back is None:
            return None, None
        layer = self.back.layers[matrix.layer * len(self.signs[0]) + matrix.direction]
        factor = getattr(layer.walk.factors, matrix.field)
        return factor.delta[k - 1, 0], None if factor.operand is None else factor.operand[k - 1, 0]

    def _use_edges(self, matrix: Matrix, k: int) -> tuple[str, ...]:
        """The edges that carry a matrix's product into the state at step k."""
        return self.unfolded.into(self._letters(matrix)("s", k), matrix.role)
