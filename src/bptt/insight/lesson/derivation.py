"""The lesson's chain rule written out: ∂E_t/∂W for every matrix, in symbols and with a network's own numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import overload

from torch import Tensor

from ... import checks
from ...losses import squared_error
from ..html_tables import details_html, scrolled
from ..plain_models import Criterion, checked_step
from ..recorder.record import Walks
from ..walks_or_model import or_of_walks
from .backward import ErrorBackward, backward_of_error, check_both_or_neither, check_network, criterion_name
from .chain import Chain
from .chosen_walk import WalkPlace, backward_of_walk, linearized_loss
from .derivation_parts import MatrixDerivation
from .explain import explanation_of
from .formulas import FormulaBlock, FormulaRow, equation, latex_of, number, numbers, svg_of, text_of
from .notation import DrawnNetwork, LessonNetwork, matrices
from .recursions import ReadoutFormulas, equations, recursion


@dataclass(frozen=True)
class Derivation:
    """The chain rule for E_t, the error at one step. Steps count from 1; formulas are in row vectors.

    Attributes:
        t: the step whose error this is.
        steps: T, the length of the sequence; t without numbers.
        loss: the loss's name.
        equations: the network's equations from x_k to E_t, in LaTeX, a line each.
        recursion: how delta_k = ∂E_t/∂a_k follows from delta_{k+1}, in LaTeX, a line each.
        matrices: ∂E_t/∂W for each matrix, with its terms.
        error: E_t; None without numbers.

    Show:
        print(derivation); ``derivation.latex``, an ``aligned`` block to typeset; ``derivation.svg``, a figure that
        takes the colour of the text around it. A notebook displays it.
    """

    t: int
    steps: int
    loss: str
    equations: tuple[str, ...]
    recursion: tuple[str, ...]
    matrices: tuple[MatrixDerivation, ...]
    error: Tensor | None = None

    def __getitem__(self, matrix: str) -> MatrixDerivation:
        """The derivative by a matrix, by its parameter's name or its letter: d["W_s"]."""
        for found in self.matrices:
            if matrix in (found.name, found.symbol):
                return found
        raise KeyError(f"no matrix {matrix!r}; there are {', '.join(found.name for found in self.matrices)}")

    @property
    def text(self) -> str:
        """Everything as plain text."""
        return text_of(self.blocks())

    @property
    def latex(self) -> str:
        """Everything as LaTeX, one ``aligned`` block; needs amsmath."""
        return latex_of(self.blocks())

    @cached_property
    def svg(self) -> str:
        """Everything typeset as an SVG of paths, in currentColor."""
        return svg_of(self.blocks(), f"The chain rule for E_{self.t} and every matrix")

    def blocks(self) -> list[FormulaBlock]:
        """Everything in rows of LaTeX: equations, each matrix's terms, their factors, the recursion of delta."""
        head = [equation(line) for line in self.equations]
        if self.error is not None:
            head[-1] = FormulaRow(head[-1].left, "=", f"{head[-1].right} = {number(self.error.item())}")
        return [
            FormulaBlock(r"\text{The network}", head),
            *(
                FormulaBlock(rf"\text{{Back to }} {matrix.symbol}", _matrix_rows(matrix))
                for matrix in self.matrices
            ),
            FormulaBlock(r"\text{The factors}", _factor_rows(self.matrices)),
            FormulaBlock(r"\text{The recursion of }\delta", [equation(line) for line in self.recursion]),
        ]

    def __str__(self) -> str:
        return self.text

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex}$"

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        latex = details_html("LaTeX", f'<pre style="max-height:30em;overflow:auto">{escape(self.latex)}</pre>')
        return scrolled(self.svg) + latex


def _derivation_of_walk(
    walks: Walks,
    loss: Tensor,
    *,
    t: int | None = None,
    shown: int = 6,
    module: str | None = None,
    loop: int | None = None,
    sequence: int | None = None,
) -> Derivation:
    _check_shown(shown)
    net, back = backward_of_walk(walks, loss, t, WalkPlace(module, loop, sequence))
    return _derivation(net, len(back.d_outputs), linearized_loss, shown, back.t, back)


@overload
def derivation(
    walks: Walks,
    loss: Tensor = ...,
    *,
    errors: Tensor = ...,
    t: int | None = None,
    shown: int = 6,
    module: str | None = None,
    loop: int | None = None,
    sequence: int | None = None,
) -> Derivation: ...
@overload
def derivation(
    model: LessonNetwork,
    x: Tensor | None = None,
    d: Tensor | None = None,
    criterion: Criterion = squared_error,
    *,
    t: int | None = None,
    shown: int = 6,
) -> Derivation: ...
@or_of_walks(_derivation_of_walk)
def derivation(
    model: LessonNetwork,
    x: Tensor | None = None,
    d: Tensor | None = None,
    criterion: Criterion = squared_error,
    *,
    t: int | None = None,
    shown: int = 6,
) -> Derivation:
    """Write the chain rule for E_t and each matrix out: every term one path back through the unfolded network.

        ∂E_3/∂W_s = ∂E_3/∂y_3 ∂y_3/∂s_3 ∂s_3/∂W_s + ∂E_3/∂y_3 ∂y_3/∂s_3 ∂s_3/∂s_2 ∂s_2/∂W_s + ...

    ∂s_k/∂W counts the use of W at step k alone. Networks with gates, layers or directions have too many paths to
    write: there a term is operandᵀ delta_k, with the recursion of delta beside it.

    Args:
        model: a `bptt.Elman` or `bptt.SequenceModel`, or the walks of a recorded model with a loss, or errors=.
        x, d: one sequence (T, I) and its targets, for the numbers; None for symbols alone, of a sequence that ends
            at t.
        criterion: as `bptt.explain` takes it. Default `bptt.squared_error`.
        t: the step whose error is derived, from 1. Default the last; without x and d it is needed.
        shown: how many terms, and factors of a term, are written one by one; those between them are folded. At
            least 4, default 6.
        module, loop, sequence: as `bptt.explain` takes them, for walks alone.

    Returns:
        the derivation; print it.

    Raises:
        TypeError: model or t is of another type, or only one of x and d is given.
        ValueError: t is outside 1..T, x is batched, shown is below 4, or as `bptt.explain` says.

    Source: Werbos (1990), "Backpropagation through time", equations 8-13.

    >>> from bptt import Elman
    >>> print(derivation(Elman(2, 3, 1), t=2)["W_s"].text)
    ∂E_2/∂W_s = ∂E_2/∂y_2 · ∂y_2/∂s_2 · ∂s_2/∂W_s + ∂E_2/∂y_2 · ∂y_2/∂s_2 · ∂s_2/∂s_1 · ∂s_1/∂W_s
    """
    _check_shown(shown)
    check_network(model)
    check_both_or_neither(x, d)
    if x is None or d is None:
        if t is None:
            raise TypeError("pass t, the step whose error is derived, or x and d")
        checked_step(t)
        return _derivation(model, t, criterion, shown, t)
    if isinstance(x, Tensor) and x.dim() != 2:
        raise ValueError(f"x must be one sequence (T, I), got {tuple(x.shape)}; choose one of the batch")
    back = backward_of_error(model, x, d, criterion, t)
    return _derivation(model, len(x), criterion, shown, back.t, back)


def _check_shown(shown: int) -> None:
    checks.check_sizes(shown=shown)
    if shown < 4:
        raise ValueError(f"shown must be at least 4, got {shown}")


def _derivation(
    model: DrawnNetwork, steps: int, criterion: Criterion, shown: int, t: int, back: ErrorBackward | None = None
) -> Derivation:
    e = None if back is None else explanation_of(model, back, criterion)
    readout = ReadoutFormulas(model, t, criterion)
    chain = Chain(model, steps, readout, shown, back, e)
    return Derivation(
        t=t,
        steps=steps,
        loss=criterion_name(criterion),
        equations=tuple(equations(model, readout)),
        recursion=tuple(recursion(model, readout)),
        matrices=tuple(chain.derivative(matrix) for matrix in matrices(model)),
        error=None if e is None else e.error,
    )


def _matrix_rows(matrix: MatrixDerivation) -> list[FormulaRow]:
    """The terms in symbols, their closed form, and where there are numbers the value of each and of their sum."""
    rows = []
    for place, term in enumerate(matrix.terms):
        left, sign = (matrix.left, "=") if place == 0 else ("", "+")
        folded = "" if term.factors else rf"\ \text{{ {term.count} terms }}"
        rows.append(FormulaRow(left, sign, term.latex + folded))
    rows.append(FormulaRow("", "=", matrix.total))
    if matrix.gradient is None:
        return rows
    for place, term in enumerate(matrix.terms if len(matrix.terms) > 1 else ()):
        if term.value is not None and term.share is not None:
            note = rf"{term.label},\ \text{{share }} {100 * term.share:.1f}\,\%"
            rows.append(FormulaRow("", "=" if place == 0 else "+", numbers(term.value), note))
    return [*rows, FormulaRow("", "=", numbers(matrix.gradient))]


def _factor_rows(matrices: tuple[MatrixDerivation, ...]) -> list[FormulaRow]:
    """Every derivative on a path, equal to its formula and its number; then W's use, and the other numbers."""
    rows: dict[str, FormulaRow] = {}
    parts: dict[str, FormulaRow] = {}
    for matrix in matrices:
        of_terms = [(f, f is not term.factors[-1]) for term in matrix.terms for f in term.factors]
        for factor, leads_on in of_terms:
            for quantity in factor.quantities:
                value = "" if quantity.value is None else numbers(quantity.value)
                if matrix.use and leads_on and factor.steps == 1:
                    shown = quantity.latex + (f" = {value}" if value else "")
                    rows.setdefault(factor.latex, FormulaRow(factor.latex, "=", shown))
                elif value:
                    parts.setdefault(quantity.latex, FormulaRow(quantity.latex, "=", value))
        if matrix.use:
            rows[matrix.use] = equation(matrix.use)
    return [*rows.values(), *parts.values()]
