"""The factors of the chain rule in LaTeX, for any step: the letters of a term, without its numbers."""

from __future__ import annotations

from typing import Any

from ...equations import ElmanEquations, GRUEquations
from .notation import DrawnNetwork, Letters, Matrix, Step, T, letter, letters, partial, top
from .recursions import ReadoutFormulas


class ChainSymbols:
    """The derivatives of E_t by one network's matrices, as formulas of the step k.

    Attributes:
        written_out: whether there is one path from E_t to each use of a matrix, so that it is written factor by
            factor; else a term is operandᵀ delta_k.
    """

    def __init__(self, net: DrawnNetwork, readout: ReadoutFormulas) -> None:
        self.net, self._readout, self._cell = net, readout, net.cell
        places = [at for layer in letters(net) for at in layer]
        self.written_out = len(places) == 1 and isinstance(self._cell, ElmanEquations)

    def total(self, matrix: Matrix, steps: Step) -> str:
        """∂E_t/∂(matrix) in closed form: Σ_k operandᵀ delta_k."""
        if matrix.at is None:
            return self._times(matrix, self._readout.derivative)
        return rf"\sum_{{k=1}}^{{{steps}}} {self._times(matrix, self.delta(matrix, matrix.at, 'k'))}"

    def use(self, matrix: Matrix) -> str:
        """A row g times ∂s_k/∂W, W at step k alone: "... = ..." in LaTeX; "" without paths."""
        if matrix.at is None:
            of, row = self._readout.result, "g"
        elif self.written_out:
            of, row = letter("s", "k"), rf"(g \odot {self.slope('k')})"
        else:
            return ""
        return rf"g\,{partial(of, matrix.latex)} = {self._times(matrix, row)}"

    def _times(self, matrix: Matrix, row: str) -> str:
        """operandᵀ times a row, at step k."""
        operand = self.operand(matrix, "k", T)
        return row if operand is None else rf"{operand}\,{row}"

    def operand(self, matrix: Matrix, k: Step, above: str = "") -> str | None:
        """The row that the matrix is multiplied with at step k, with T above transposed; None for a bias."""
        at = matrix.at
        if matrix.role == "y":
            return top(self.net, self._readout.t, above)
        if at is None or matrix.role.startswith("b"):
            return None
        if matrix.role == "x":
            return letter("x", k, above) if at.layer == 0 else letter("s", k, f"({at.layer}){above}")
        if matrix.role == "s":
            return at("s", at.step_before(k), above)
        product = rf"({at('o', k)} \odot \tanh {at('c', k)})"
        return f"{product}^{{{above}}}" if above else product

    def delta(self, matrix: Matrix, at: Letters, k: Step) -> str:
        """The adjoint that the matrix's product at step k receives, in LaTeX."""
        if matrix.role == "p":
            return partial(letter("E", self._readout.t), at("s", k))
        recurrent = matrix.role in ("s", "b_s") and isinstance(self._cell, GRUEquations)
        return at(r"\tilde\delta" if recurrent else r"\delta", k)

    def readout(self) -> str:
        """∂y_t/∂s_t."""
        return letter("W", "y", T) if self._readout.has_matrix else "I"

    def jacobian(self, k: Step) -> str:
        """∂s_k/∂s_{k-1} of the lesson's network."""
        latex = rf"\mathrm{{diag}}(\Phi'({letter('a', k)}))\,{letter('W', 's', T)}"
        return latex if self._leak == 1 else rf"(1-\alpha) I + \alpha\,{latex}"

    def slope(self, k: Step) -> str:
        """The factor of an Elman cell's delta: Φ'(a_k), with a leak α Φ'(a_k)."""
        return ("" if self._leak == 1 else r"\alpha\,") + rf"\Phi'({letter('a', k)})"

    @property
    def _leak(self) -> float:
        cell: Any = self._cell
        return cell.leak
