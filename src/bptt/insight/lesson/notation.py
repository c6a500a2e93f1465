"""The lesson's letters for a network's parts, in LaTeX, and LaTeX as plain text.

Everything is in row vectors, s_k = Φ(x_k W_x + s_{k-1} W_s): W_x, W_s and W_y of a `SequenceModel` are its
weight_ih, weight_hh and readout.weight transposed, b_x and b_s its bias_ih and bias_hh, W_p its weight_hr. Where
there are several layers or directions the letters carry them above: s_3^{(2)}, s_3^{←}.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from torch import Tensor

from ...equations import Equations, Weights
from ...networks import Elman, SequenceModel


class WalkedModule(NamedTuple):
    """A recorded recurrent module as a network that puts out its states, y_t = s_t."""

    cell: Equations
    names: list[list[Weights[str]]]
    identity: Tensor
    row_vectors: bool  # whether its weights are those of an `Elman`

    softmax = False

    def weight_names(self) -> list[list[Weights[str]]]:
        """The names of the module's weights, by layer and direction."""
        return self.names

    def readout_names(self) -> tuple[None, None]:
        return None, None

    def readout_matrix(self) -> Tensor:
        return self.identity


LessonNetwork = Elman | SequenceModel
DrawnNetwork = LessonNetwork | WalkedModule
Step = int | str  # 3, or "k" where it may be any

T = r"\mathsf{T}"
ROLES = {"W_ih": "x", "W_hh": "s", "b_ih": "b_x", "b_hh": "b_s", "W_hr": "p"}  # of the fields of `Weights`


class Letters(NamedTuple):
    """The letters of one layer and direction."""

    above: str = ""  # the superscript: "", "(2)", r"\leftarrow", r"(2)\leftarrow"
    back: int = -1  # the step before k is k + back: -1, or +1 for a backward direction
    layer: int = 0

    def __call__(self, base: str, k: Step = "k", above: str = "") -> str:
        """A letter at step k; `above` is a gate or T: p_k^{(2) r}."""
        return letter(base, k, " ".join(part for part in (self.above, above) if part))

    @property
    def direction(self) -> int:
        return int(self.back == 1)

    @property
    def name(self) -> str:
        """The layer's and direction's name, "l0" or "l0_reverse"."""
        return f"l{self.layer}" + "_reverse" * self.direction

    def matrix(self, role: str) -> str:
        """The matrix of a role: W_x^{(2)}."""
        return letter("W", role, self.above)

    def before(self, base: str, k: Step = "k") -> str:
        """A letter at the step that comes before k in this direction."""
        return self(base, self.step_before(k))

    def step_before(self, k: Step) -> Step:
        """The step that comes before k in this direction."""
        return moved(k, self.back)

    def step_after(self, k: Step) -> Step:
        """The step that comes after k in this direction."""
        return moved(k, -self.back)


class Matrix(NamedTuple):
    """A weight of the network and where it stands."""

    name: str  # the parameter's name
    latex: str  # its letter: W_s, b_y, W_x^{(2)}
    role: str  # "x", "s", "b_x", "b_s", "p", "y" or "b_y"
    field: str = ""  # its field of `Weights`; "" for the read-out's
    at: Letters | None = None  # its layer and direction; None for the read-out's


def letter(base: str, sub: Step, above: str = "") -> str:
    """W_s, s_{12}, W_x^{(2)}."""
    sub = str(sub)
    return f"{base}_{sub if len(sub) == 1 else f'{{{sub}}}'}" + (f"^{{{above}}}" if above else "")


def moved(k: Step, by: int) -> Step:
    """The step `by` after k: 3 and -1 make 2, "k" and -1 make "k-1"."""
    return k + by if isinstance(k, int) else f"{k}{by:+d}"


def partial(of: str, by: str) -> str:
    r"""∂of/∂by: \frac{\partial E_3}{\partial s_2}."""
    return rf"\frac{{\partial {of}}}{{\partial {by}}}"


def letters(net: DrawnNetwork) -> list[list[Letters]]:
    """The letters by layer and direction."""
    found, names = [], net.weight_names()
    for layer, directions in enumerate(names):
        number = f"({layer + 1})" if len(names) > 1 else ""
        arrows = {r"\rightarrow": -1, r"\leftarrow": 1} if len(directions) > 1 else {"": -1}
        found.append([Letters(number + arrow, back, layer) for arrow, back in arrows.items()])
    return found


def general_letters(net: DrawnNetwork) -> list[Letters]:
    """The letters of any layer, by direction: with an ℓ for its number where there are several."""
    return [at._replace(above=at.above.replace("(1)", r"(\ell)")) for at in letters(net)[0]]


def top(net: DrawnNetwork, k: Step, above: str = "") -> str:
    """The last layer's state at step k, all directions."""
    layers = len(net.weight_names())
    return letter("s", k, (f"({layers})" if layers > 1 else "") + above)


def matrices(net: DrawnNetwork) -> list[Matrix]:
    """Every weight with its letter, in the order of `Explanation.gradient`."""
    found = []
    for directions, signs in zip(net.weight_names(), letters(net), strict=True):
        for weights, at in zip(directions, signs, strict=True):
            for field, name in weights._asdict().items():
                role = ROLES[
                    "b_hh" if net.row_vectors and field == "b_ih" else field
                ]  # the lesson's one bias is b_s
                latex = letter("b", role[-1], at.above) if role.startswith("b") else at.matrix(role)
                found += [] if name is None else [Matrix(name, latex, role, field, at)]
    weight, bias = net.readout_names()
    if weight is None:
        return found
    found.append(Matrix(weight, "W_y", "y"))
    return found if bias is None else [*found, Matrix(bias, "b_y", "b_y")]


_PLAIN = [  # in this order
    (r"\\sum_\{k=1\}\^\{(\d+)\}", r"Σ_{k = 1..\1}"),
    (r"\\frac\{\\partial ([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}\{", r"∂\1/{"),
    (r"\\begin\{bmatrix\}\s*", "["),
    (r"\s*\\end\{bmatrix\}", "]"),
    (r" \\\\ ", "; "),
    (r" & ", " "),
    (r"\\(?:text|mathrm)\{([^{}]*)\}", r"\1"),
    (r"\\cdot 10\^\{(-?\d+)\}", r"e\1"),
    (r"\\tilde\\delta", "δ̃"),
    (r"\\partial ", "∂"),
    (r"_\{([^{}]*[-+=][^{}]*)\}", r"_(\1)"),
    (r"_\{([^{}]*)\}", r"_\1"),
    (r"\\mathsf\{T\}", "ᵀ"),
    (r"\\lVert | \\rVert", "‖"),
    (r"\\%", "%"),
    (r"\\,|\\q?quad|\\ ", " "),
]
_SIGNS = {
    r"\delta": "δ",
    r"\varepsilon": "ε",
    r"\sigma": "σ",
    r"\alpha": "α",
    r"\Phi": "Φ",
    r"\odot": "⊙",
    r"\times": "×",
    r"\cdots": "⋯",
    r"\cdot": "·",
    r"\sum": "Σ",
    r"\leftarrow": "◂",
    r"\rightarrow": "▸",
    r"\tanh": "tanh",
    r"\log": "log",
    r"\ell": "ℓ",
    r"\in": "∈",
    r"\neq": "≠",
    r"\leq": "≤",
    r"\colon": ":",
    r"\{": "{",
    r"\}": "}",
}
_RAISED = str.maketrans("0123456789()+-ℓrznifgo", "⁰¹²³⁴⁵⁶⁷⁸⁹⁽⁾⁺⁻ˡʳᶻⁿⁱᶠᵍᵒ", " ")


@lru_cache(10_000)
def plain(latex: str) -> str:
    """The lesson's LaTeX as text for a terminal.

    >>> plain(partial("E_3", "s_{12}") + r" = \\delta_3 W_s^{(2)\\mathsf{T}}")
    '∂E_3/∂s_12 = δ_3 W_s⁽²⁾ᵀ'
    """
    for pattern, text in _PLAIN:
        latex = re.sub(pattern, text, latex)
    for sign, text in _SIGNS.items():
        latex = re.sub(re.escape(sign) + (r"(?![a-zA-Z])" if sign[-1].isalpha() else ""), text, latex)
    latex = re.sub(r"/\{(∂[^{}]*(?:\{[^{}]*\}[^{}]*)*)\}", r"/\1", latex)
    latex = re.sub(r"\^\{([^{}]*)\}|\^(\w)", lambda m: (m[1] or m[2]).translate(_RAISED), latex)
    latex = re.sub(r"(^|[ \[(;])-", r"\1−", latex)
    latex = re.sub(r"(∂\S+/∂\S+) (?=∂)", r"\1 · ", latex)
    return re.sub(r" {2,}", " ", latex).strip()
