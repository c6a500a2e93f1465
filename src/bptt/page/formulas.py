"""The derivation's formulas as data: the page sets its numbers for t, k and ℓ in them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import cast

from ..equations import ElmanEquations
from ..insight.lesson.notation import LessonNetwork, general_letters, letter, matrices, partial
from ..insight.lesson.notation import T as TRANSPOSED
from ..insight.lesson.recursions import ReadoutFormulas, cell_formulas, equations, in_letters, recursion
from ..insight.lesson.symbols import ChainSymbols
from ..networks import Elman
from .network import LOSSES


@dataclass(frozen=True)
class MatrixFormulas:
    """∂E_t/∂W of one matrix, in LaTeX."""

    left: str
    total: str  # the sum over k in closed form
    operand: str | None  # the row that the matrix is multiplied with at step k, transposed; None for a bias
    delta: str  # the row that the product receives at step k


@dataclass(frozen=True)
class Formulas:
    """A network's forward and backward pass in LaTeX, in the letters t, k and ℓ."""

    equations: list[str]  # from x_k to E_t
    recursion: list[str]  # from E_t to every delta_k
    output: str  # ∂E_t/∂y_t = ...
    onto_state: str  # ∂E_t/∂s_t = ...
    deltas: list[str]  # delta_k = ...
    passed: str  # ∂E_t/∂s_{k-1} = ...
    jacobian: str  # ∂s_k/∂s_{k-1} = ... of the lesson's cell; "" of gates
    matrices: dict[str, MatrixFormulas]


def formulas(net: LessonNetwork, losses: list[str]) -> dict[str, dict[str, Formulas]]:
    """By loss, and within it "plain" and for an Elman cell "leaky"."""
    if not isinstance(net.cell, ElmanEquations):
        return {loss: {"plain": _formulas(_variant(net, loss), loss)} for loss in losses}
    leaks = {"plain": 1.0, "leaky": 0.5}
    return {
        loss: {name: _formulas(_variant(net, loss, leak), loss) for name, leak in leaks.items()} for loss in losses
    }


def _variant(net: LessonNetwork, loss: str, leak: float | None = None) -> LessonNetwork:
    """The network with another loss, and another leak."""
    found = copy.copy(net)
    if isinstance(found, Elman):
        found.softmax = loss == "cross_entropy"
    else:
        found.recurrent = copy.copy(found.recurrent)
    if leak is not None:
        cell = cast("ElmanEquations", net.cell)
        (found if isinstance(found, Elman) else found.recurrent).cell = ElmanEquations(cell.activation, leak)
    return found


def _formulas(net: LessonNetwork, loss: str) -> Formulas:
    readout = ReadoutFormulas(net, "t", LOSSES[loss])
    symbols, cell, (at,) = ChainSymbols(net, readout), cell_formulas(net), general_letters(net)
    of_matrix = {}
    for matrix in matrices(net):
        place = matrix.at
        delta = readout.derivative if place is None else symbols.delta(matrix, place, "k")
        left, operand = partial("E_t", matrix.latex), symbols.operand(matrix, "k", TRANSPOSED)
        of_matrix[matrix.name] = MatrixFormulas(left, symbols.total(matrix, "t"), operand, delta)
    before = partial("E_t", at("s", "k-1"))
    jacobian = f"{partial(at('s'), at('s', 'k-1'))} = {symbols.jacobian('k')}" if symbols.written_out else ""
    return Formulas(
        equations=equations(net, readout),
        recursion=recursion(net, readout),
        output=f"{readout.derivative} = {readout.slope()}",
        onto_state=f"{partial('E_t', letter('s', 't'))} = {readout.onto_state}",
        deltas=[in_letters(line, at, "k", "t") for line in cell.deltas],
        passed=f"{before} = {in_letters(cell.passed, at, 'k', 't')}",
        jacobian=jacobian,
        matrices=of_matrix,
    )
