"""The parts of a derivation as plain data: matrices, their terms, and the factors of a term."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .notation import plain


@dataclass(frozen=True)
class Quantity:
    """A vector or matrix of the network at a step.

    Attributes:
        latex: its symbol or formula.
        value: its numbers, in row vectors as the formula has them; None without numbers.
    """

    latex: str
    value: Tensor | None = None

    @property
    def text(self) -> str:
        """Its symbol as plain text."""
        return plain(self.latex)


@dataclass(frozen=True)
class TermFactor:
    """One factor of a term.

    Attributes:
        latex: the factor, for example ∂s_3/∂s_2.
        quantities: the one matrix or vector that it is, or two for ∂s_k/∂W, which has three axes: the row that W
            is multiplied with, and Φ'(a_k).
        edges: the edges of `bptt.diagram` that it follows backwards, each "from→to": "s_2→s_3".
        steps: how many derivatives it stands for; above 1 where a long product is folded.
    """

    latex: str
    quantities: tuple[Quantity, ...]
    edges: tuple[str, ...] = ()
    steps: int = 1

    @property
    def text(self) -> str:
        """The factor as plain text."""
        return plain(self.latex)


@dataclass(frozen=True)
class Term:
    """One step's contribution to a gradient: a path back through the unfolded network.

    Attributes:
        first: the first step k it stands for.
        last: the last one; they differ where several terms are folded into their sum.
        factors: multiplied, left to right, they are the term; none for a folded stretch.
        value: its numbers, shaped as the matrix in the formula; None without numbers.
        share: the part of it that points along the gradient; all shares sum to 1. None without numbers.
    """

    first: int
    last: int
    factors: tuple[TermFactor, ...]
    value: Tensor | None = None
    share: float | None = None

    @property
    def count(self) -> int:
        """How many terms it stands for."""
        return self.last - self.first + 1

    @property
    def label(self) -> str:
        """Its steps: "k = 3", or "k = 2..195"."""
        return f"k = {self.first}" if self.count == 1 else f"k = {self.first}..{self.last}"

    @property
    def latex(self) -> str:
        r"""The product of its factors; \cdots for a folded stretch."""
        return " ".join(factor.latex for factor in self.factors) or r"\cdots"

    @property
    def text(self) -> str:
        """The product of its factors as plain text."""
        return " · ".join(factor.text for factor in self.factors) or f"⋯ {self.count} terms ⋯"

    @property
    def path(self) -> tuple[str, ...]:
        """The edges of `bptt.diagram` that the term follows backwards."""
        return tuple(edge for factor in self.factors for edge in factor.edges)


@dataclass(frozen=True)
class MatrixDerivation:
    """∂E_t/∂W for one matrix.

    Attributes:
        name: the parameter's name.
        symbol: the matrix in LaTeX.
        left: ∂E_t/∂W in LaTeX.
        terms: the terms of its sum, the nearest step first.
        total: the same sum in closed form: Σ s_{k-1}ᵀ δ_k.
        use: a row g times the last factor, "g ∂s_k/∂W = s_{k-1}ᵀ (g ⊙ Φ'(a_k))"; "" without paths.
        gradient: its numbers, the sum of the terms' values; None without numbers.
    """

    name: str
    symbol: str
    left: str
    terms: tuple[Term, ...]
    total: str
    use: str = ""
    gradient: Tensor | None = None

    @property
    def latex(self) -> str:
        """The derivative as the sum of its terms."""
        return f"{self.left} = " + " + ".join(term.latex for term in self.terms)

    @property
    def text(self) -> str:
        """The derivative as the sum of its terms, as plain text."""
        return f"{plain(self.left)} = " + " + ".join(term.text for term in self.terms)
