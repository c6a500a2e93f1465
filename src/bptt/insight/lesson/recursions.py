"""A network's equations and its recursion of delta, in LaTeX: the step and the adjoint of each cell.

Lines are written in letters: <s> is the state at step k with its layer and direction, <s-> and <s+> the states
before and after it, <p^r> a gate's part, <W_s> a weight and <W_s^T> its transpose, <ds> ∂E_t/∂s_k.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ...equations import ElmanEquations, GRUEquations, LSTMEquations
from ...losses import cross_entropy, squared_error
from ..plain_models import Criterion
from .backward import criterion_name
from .notation import DrawnNetwork, Letters, Step, T, general_letters, letter, partial, top

EPSILON = r"\varepsilon"


class ReadoutFormulas:
    """The read-out of the last state, its error E_t, and the error's derivative."""

    def __init__(self, net: DrawnNetwork, t: Step, criterion: Criterion) -> None:
        self.net, self.t, self.criterion = net, t, criterion
        self.softmax = net.softmax or criterion is cross_entropy
        self.result = letter("z" if self.softmax else "y", t)  # of the read-out
        self.derivative = partial(letter("E", t), self.result)
        self.has_matrix = net.readout_names()[0] is not None
        self.onto_state = f"{self.derivative} {letter('W', 'y', T)}" if self.has_matrix else self.derivative
        self.entering = partial("L", self.result)  # of a recorded walk

    def lines(self) -> list[str]:
        """From the last layer's state to E_t."""
        if not self.has_matrix:
            linear = f"{letter('E', self.t)} = {self.entering} {letter('y', self.t, T)}"
            return [f"{self.result} = {top(self.net, self.t)}", linear]
        bias = "" if self.net.readout_names()[1] is None else " + b_y"
        lines = [f"{self.result} = {top(self.net, self.t)} W_y{bias}"]
        y, d = letter("y", self.t), letter("d", self.t)
        if self.softmax:
            lines.append(rf"{y} = \mathrm{{softmax}}({self.result})")
        error = f"({d} - {y})^2"
        if self.criterion is cross_entropy:
            error = rf"-\sum_i {letter('d', f'{self.t},i')} \log {letter('y', f'{self.t},i')}"
        elif self.criterion is not squared_error:
            error = rf"{_upright(criterion_name(self.criterion))}({y}, {d})"
        elif len(self.net.readout_matrix()) > 1:
            error = rf"\lVert {d} - {y} \rVert^2"
        return [*lines, f"{letter('E', self.t)} = {error}"]

    def slope(self) -> str:
        """∂E_t/∂(the read-out's result) in closed form."""
        y, d = letter("y", self.t), letter("d", self.t)
        if not self.has_matrix:
            return self.entering
        if self.criterion is cross_entropy:
            return f"{y} - {d}"
        if self.criterion is not squared_error:
            return self.derivative
        through = rf" (\mathrm{{diag}}({y}) - {letter('y', self.t, T)} {y})" if self.softmax else ""
        return f"2 ({y} - {d}){through}"


class CellFormulas(NamedTuple):
    """A cell's step and its adjoint, in <letters>."""

    step: list[str]
    deltas: list[str]  # delta_k from the adjoint of the state after step k
    passed: str  # the part of the adjoint that a step hands to the state before it


def cell_formulas(net: DrawnNetwork, x: str = "x_k") -> CellFormulas:
    """The formulas of a network's cell, whose input is x."""
    names = net.weight_names()[0][0]
    b_x, b_s = names.b_ih is not None, names.b_hh is not None
    if net.row_vectors:  # the lesson's network has one bias, b_s
        b_x, b_s = False, b_x
    inward, back = f"{x} <W_x>" + " + <b_x>" * b_x, "<s-> <W_s>" + " + <b_s>" * b_s
    cell: Any = net.cell
    if isinstance(cell, GRUEquations):
        return _gru(inward, back)
    if isinstance(cell, LSTMEquations):
        return _lstm(f"{inward} + {back}", names.W_hr is not None)
    return _elman(f"{inward} + {back}", cell)


def _elman(a: str, cell: ElmanEquations) -> CellFormulas:
    phi = rf"\Phi = {_upright(cell.activation.name)}"
    if cell.leak == 1:
        step = rf"<s> = \Phi(<a>),\quad {phi}"
        return CellFormulas([f"<a> = {a}", step], [r"<\delta> = <ds> \odot \Phi'(<a>)"], r"<\delta> <W_s^T>")
    step = rf"<s> = (1-\alpha)\,<s-> + \alpha\,\Phi(<a>),\quad {phi},\ \alpha = {cell.leak:g}"
    delta = r"<\delta> = \alpha\,<ds> \odot \Phi'(<a>)"
    return CellFormulas([f"<a> = {a}", step], [delta], r"<\delta> <W_s^T> + (1-\alpha)\,<ds>")


def _gru(inward: str, back: str) -> CellFormulas:
    return CellFormulas(
        [
            rf"(<p^r>, <p^z>, <p^n>) = {inward},\quad (<q^r>, <q^z>, <q^n>) = {back}",
            r"<r> = \sigma(<p^r> + <q^r>),\quad <z> = \sigma(<p^z> + <q^z>)",
            r"<n> = \tanh(<p^n> + <r> \odot <q^n>)",
            r"<s> = (1 - <z>) \odot <n> + <z> \odot <s->",
        ],
        [
            r"<\delta^z> = <ds> \odot (<s-> - <n>) \odot <z> \odot (1 - <z>)",
            r"<\delta^n> = <ds> \odot (1 - <z>) \odot (1 - <n> \odot <n>)",
            r"<\delta^r> = <\delta^n> \odot <q^n> \odot <r> \odot (1 - <r>)",
            r"<\delta> = (<\delta^r>, <\delta^z>, <\delta^n>),\quad "
            r"<\tilde\delta> = (<\delta^r>, <\delta^z>, <r> \odot <\delta^n>)",
        ],
        r"<\tilde\delta> <W_s^T> + <ds> \odot <z>",
    )


def _lstm(a: str, projects: bool) -> CellFormulas:
    hidden = r"<o> \odot \tanh <c>"
    ds = "(<ds> <W_p^T>)" if projects else "<ds>"
    return CellFormulas(
        [
            f"(<a^i>, <a^f>, <a^g>, <a^o>) = {a}",
            r"<i> = \sigma(<a^i>),\quad <f> = \sigma(<a^f>),\quad <o> = \sigma(<a^o>),\quad <g> = \tanh <a^g>",
            r"<c> = <f> \odot <c-> + <i> \odot <g>",
            f"<s> = ({hidden}) <W_p>" if projects else f"<s> = {hidden}",
        ],
        [
            rf"<dc> = {ds} \odot <o> \odot (1 - \tanh <c> \odot \tanh <c>) + <dc+> \odot <f+>",
            r"<\delta^i> = <dc> \odot <g> \odot <i> \odot (1 - <i>),\quad "
            r"<\delta^f> = <dc> \odot <c-> \odot <f> \odot (1 - <f>)",
            r"<\delta^g> = <dc> \odot <i> \odot (1 - <g> \odot <g>),\quad "
            rf"<\delta^o> = {ds} \odot \tanh <c> \odot <o> \odot (1 - <o>)",
            r"<\delta> = (<\delta^i>, <\delta^f>, <\delta^g>, <\delta^o>)",
        ],
        r"<\delta> <W_s^T>",
    )


def equations(net: DrawnNetwork, readout: ReadoutFormulas) -> list[str]:
    """The forward pass, from x_k to E_t, a line each."""
    signs = general_letters(net)
    deep, both = len(net.weight_names()) > 1, len(signs) > 1
    cell = cell_formulas(net, r"s_k^{(\ell-1)}" if deep else "x_k")
    lines = [in_letters(line, at) for at in signs for line in cell.step]
    joined = ",".join(at("s") for at in signs)
    if deep:
        lines.append("s_k^{(0)} = x_k" + (rf",\quad s_k^{{(\ell)}} = ({joined})" if both else ""))
    elif both:
        lines.append(f"s_k = ({joined})")
    return [*lines, *readout.lines()]


def recursion(net: DrawnNetwork, readout: ReadoutFormulas) -> list[str]:
    """The backward pass, from E_t to every delta_k, a line each."""
    signs, layers, cell = general_letters(net), len(net.weight_names()), cell_formulas(net)
    alone = layers == len(signs) == 1
    lines = _entering(layers, signs, readout)
    if alone:
        lines = [in_letters(rf"<ds> = {readout.onto_state}", signs[0], readout.t, readout.t)]
    for at in signs:
        passed = in_letters(cell.passed, at, "k" if alone else at.step_after("k"), readout.t)
        deltas = [in_letters(line, at, "k", readout.t) for line in cell.deltas]
        of_state = partial(letter("E", readout.t), at("s", at.step_before("k") if alone else "k"))
        entering = "" if alone else f"{at(EPSILON)} + "
        line = f"{of_state} = {entering}{passed}"
        lines += [*deltas, line] if alone else [line, *deltas]
    return lines


def _entering(layers: int, signs: list[Letters], readout: ReadoutFormulas) -> list[str]:
    """Epsilon, the gradient that enters each layer's states from above."""
    deep = layers > 1
    last = f"({layers})" if deep else ""
    lines = [
        rf"{letter(EPSILON, readout.t, last)} = {readout.onto_state},\quad "
        rf"{letter(EPSILON, 'k', last)} = 0 \text{{ for }} k \neq {readout.t}"
    ]
    if deep:
        arrows = [at.above.removeprefix(r"(\ell)") for at in signs]
        products = [rf"\delta_k^{{(\ell+1){arrow}}} W_x^{{(\ell+1){arrow}{T}}}" for arrow in arrows]
        lines.append(rf"\varepsilon_k^{{(\ell)}} = {' + '.join(products)} \text{{ for }} \ell < {layers}")
    if len(signs) > 1:
        whole = letter(EPSILON, "k", r"(\ell)" if deep else "")
        lines.append(f"({','.join(at(EPSILON) for at in signs)}) = {whole}")
    return lines


def in_letters(line: str, at: Letters, k: Step = "k", t: Step = 0) -> str:
    """A line with its <letters> at step k of one layer and direction."""

    def written(found: re.Match[str]) -> str:
        weight, transposed, of_error, base, step, gate = found.groups()
        if weight:
            return letter(weight[0], weight[2], at.above + (T if transposed else ""))
        where = {"": k, "-": at.step_before(k), "+": at.step_after(k)}[step]
        symbol = at(base, where, gate or "")
        return partial(letter("E", t), symbol) if of_error else symbol

    return re.sub(r"<(?:([Wb]_\w)(\^T)?|(d(?=[sc]))?([\\\w]+?)([-+]?)(?:\^(\w))?)>", written, line)


def _upright(name: str) -> str:
    """A name set upright; anything but letters and digits is a space."""
    return r"\tanh" if name == "tanh" else rf"\mathrm{{{re.sub('[^A-Za-z0-9]+', ' ', name).strip() or 'loss'}}}"
