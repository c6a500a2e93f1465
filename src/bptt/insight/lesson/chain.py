"""The terms of ∂E_t/∂W: a path of derivatives each for the lesson's network, operand and delta for every other.

The lesson's network has one path from E_t to each use of a matrix, so its chain rule is written factor by factor:

    ∂E_3/∂W_s = ∂E_3/∂y_3 ∂y_3/∂s_3 ∂s_3/∂W_s + ∂E_3/∂y_3 ∂y_3/∂s_3 ∂s_3/∂s_2 ∂s_2/∂W_s + ...

where ∂s_k/∂W counts the use of W at step k alone, s_{k-1} held. Gates, layers and directions multiply the paths;
there delta_k sums up all that reach step k, and a term is operandᵀ delta_k (Werbos 1990, equations 8-13).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, reduce
from typing import Any, cast

import torch
from torch import Tensor

from ..text_tables import stretches
from .backward import ErrorBackward, activation_slopes
from .derivation_parts import MatrixDerivation, Quantity, Term, TermFactor
from .edges import UnfoldedNetwork
from .explanation import Explanation
from .notation import DrawnNetwork, Letters, Matrix, T, letter, partial, top
from .recursions import ReadoutFormulas
from .symbols import ChainSymbols


class Chain:
    """The derivatives of E_t by one network's matrices; with numbers where its backward pass was computed.

    Args:
        net: the network.
        steps: T, the length of the sequence.
        readout: the read-out and its error.
        shown: how many terms are written one by one at most.
        back: the error's backward pass over one sequence; None without numbers.
        e: its explanation; None without numbers.
    """

    def __init__(
        self,
        net: DrawnNetwork,
        steps: int,
        readout: ReadoutFormulas,
        shown: int,
        back: ErrorBackward | None = None,
        e: Explanation | None = None,
    ) -> None:
        self.net, self.readout, self.shown, self.back, self.e = net, readout, shown, back, e
        self.t = cast("int", readout.t)
        self.unfolded = UnfoldedNetwork(net, range(1, steps + 1), self.t)
        self.symbols, self.cell = ChainSymbols(net, readout), cast("Any", net.cell)
        self.steps = steps if self.unfolded.both else self.t  # that have a term

    def derivative(self, matrix: Matrix) -> MatrixDerivation:
        """∂E_t/∂(matrix): its terms, the last step first, its closed form, and their numbers."""
        left = partial(letter("E", self.t), matrix.latex)
        gradient = None if self.e is None else self._oriented(self.e.gradient[matrix.name])
        terms, total, use = (
            tuple(self._terms(matrix)),
            self.symbols.total(matrix, self.steps),
            self.symbols.use(matrix),
        )
        return MatrixDerivation(matrix.name, matrix.latex, left, terms, total, use, gradient)

    def _terms(self, matrix: Matrix) -> list[Term]:
        if matrix.at is None:
            return [self._term(matrix, range(self.t, self.t + 1), (self._at_output, self._readout_use(matrix)))]
        make = self._path if self.symbols.written_out else self._operand_and_delta
        spans = reversed(stretches(self.steps, self.t, self.shown))
        return [
            self._term(matrix, span, make(matrix, matrix.at, span[0]) if len(span) == 1 else ()) for span in spans
        ]

    def _term(self, matrix: Matrix, span: range, factors: tuple[TermFactor, ...]) -> Term:
        if self.e is None:
            return Term(span[0], span[-1], factors)
        part = self.e.part(matrix.name, span)
        return Term(span[0], span[-1], factors, self._oriented(part.value), part.share)

    def _oriented(self, value: Tensor) -> Tensor:
        """A matrix as the formulas have it, in row vectors."""
        return value if self.net.row_vectors or value.dim() == 1 else value.mT

    def _number(self, of: Callable[[ErrorBackward], Tensor | None]) -> Tensor | None:
        """A number of the backward pass; None without numbers."""
        return None if self.back is None else of(self.back)

    @cached_property
    def _at_output(self) -> TermFactor:
        """∂E_t/∂y_t."""
        quantity = Quantity(self.readout.slope(), self._number(lambda back: back.dz[0]))
        return TermFactor(self.readout.derivative, (quantity,), self.unfolded.into(letter("E", self.t)))

    @cached_property
    def _through_readout(self) -> TermFactor:
        """∂y_t/∂s_t."""
        quantity = Quantity(self.symbols.readout(), self._number(lambda _: self.net.readout_matrix()))
        latex = partial(self.readout.result, top(self.net, self.t))
        return TermFactor(latex, (quantity,), self.unfolded.into(letter("y", self.t)))

    def _readout_use(self, matrix: Matrix) -> TermFactor:
        """∂y_t/∂W_y, or ∂y_t/∂b_y."""
        quantity = Quantity(top(self.net, self.t), self._number(lambda back: back.h_t[0]))
        if matrix.role == "b_y":
            quantity = Quantity("I", self._number(lambda back: torch.ones_like(back.dz[0]).diag()))
        latex = partial(self.readout.result, matrix.latex)
        return TermFactor(latex, (quantity,), self.unfolded.into(letter("y", self.t)))

    def _path(self, matrix: Matrix, at: Letters, k: int) -> tuple[TermFactor, ...]:
        """∂E_t/∂y_t ∂y_t/∂s_t ... ∂s_k/∂W."""
        return (self._at_output, self._through_readout, *self._back_to(k), self._use_at(matrix, at, k))

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
        leak = self.cell.leak

        def value(back: ErrorBackward) -> Tensor:
            W_s = back.walks["l0"].record.weights.W_hh.detach()
            return self._slopes[k - 1, :, None] * W_s + (1 - leak) * torch.eye(len(W_s), device="cpu").to(W_s)

        edges = self.unfolded.into(letter("s", k), "s")
        quantity = Quantity(self.symbols.jacobian(k), self._number(value))
        return TermFactor(partial(letter("s", k), letter("s", k - 1)), (quantity,), edges)

    def _use_at(self, matrix: Matrix, at: Letters, k: int) -> TermFactor:
        """∂s_k/∂W, W at step k alone: the row that W is multiplied with, and Φ'(a_k)."""
        quantities = [Quantity(self.symbols.slope(k), self._number(lambda _: self._slopes[k - 1]))]
        operand = self.symbols.operand(matrix, k)
        if operand is not None:
            quantities.insert(0, Quantity(operand, self._numbers_at(matrix, at, k)[1]))
        edges = self.unfolded.into(letter("s", k), matrix.role)
        return TermFactor(partial(letter("s", k), matrix.latex), tuple(quantities), edges)

    @cached_property
    def _slopes(self) -> Tensor:
        """α Φ'(a_k), (K, S)."""
        assert self.back is not None
        return self.cell.leak * activation_slopes(self.back.walks["l0"].record)[:, 0]

    def _operand_and_delta(self, matrix: Matrix, at: Letters, k: int) -> tuple[TermFactor, ...]:
        """operandᵀ delta_k."""
        latex, operand, state = self.symbols.delta(matrix, at, k), self.symbols.operand(matrix, k), at("s", k)
        delta_value, operand_value = self._numbers_at(matrix, at, k)
        delta = TermFactor(latex, (Quantity(latex, delta_value),), self.unfolded.between(state))
        if operand is None:
            return (delta,)
        quantity, transposed = Quantity(operand, operand_value), self.symbols.operand(matrix, k, T) or ""
        return TermFactor(transposed, (quantity,), self.unfolded.into(state, matrix.role)), delta

    def _numbers_at(self, matrix: Matrix, at: Letters, k: int) -> tuple[Tensor | None, Tensor | None]:
        """delta and operand of a matrix at step k; None without numbers, or for a bias's operand."""
        if self.back is None:
            return None, None
        factor = getattr(self.back.walks[at.name].factors, matrix.field)
        return factor.delta[k - 1, 0], None if factor.operand is None else factor.operand[k - 1, 0]
