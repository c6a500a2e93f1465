"""A network's equations and its recursion of delta, in LaTeX: what `equations` computes, step and adjoint.

Lines are written in letters: <s> is the state at step k with its layer and direction, <s-> and <s+> the states
before and after it, <p^r> a gate's part, <W_s> a weight and <W_s^T> its transpose, <ds> ∂E_t/∂s_k.
"""

from __future__ import annotations

import re
from typing import Any

from ...equations import GRUEquations, LSTMEquations
from ...networks import cross_entropy, squared_error
from ..recorded import Criterion
from .backward import criterion_name
from .notation import LessonNetwork, Letters, Step, T, general_letters, letter, partial, top

DELTA, EPSILON = r"\delta", r"\varepsilon"


class ReadoutFormulas:
    """The read-out of the last state, its error E_t, and the error's derivative."""

    def __init__(self, net: LessonNetwork, t: int, criterion: Criterion) -> None:
        self.net, self.t, self.criterion = net, t, criterion
        self.letter = "z" if net.softmax or criterion is cross_entropy else "y"  # of the read-out's result

    def lines(self) -> list[str]:
        """From the last layer's state to E_t."""
        bias = "" if self.net.readout_names()[1] is None else " + b_y"
        lines = [f"{letter(self.letter, self.t)} = {top(self.net, self.t)} W_y{bias}"]
        y, d = letter("y", self.t), letter("d", self.t)
        if self.letter == "z":
            lines.append(rf"{y} = \mathrm{{softmax}}({letter('z', self.t)})")
        error = f"({d} - {y})^2"
        if self.criterion is cross_entropy:
            error = rf"-\sum_i {letter('d', f'{self.t},i')} \log {letter('y', f'{self.t},i')}"
        elif self.criterion is not squared_error:
            error = rf"{_upright(criterion_name(self.criterion))}({y}, {d})"
        elif len(self.net.readout_matrix()) > 1:
            error = rf"\lVert {d} - {y} \rVert^2"
        return [*lines, f"{letter('E', self.t)} = {error}"]

    @property
    def derivative(self) -> str:
        """∂E_t/∂(the read-out's result), as a derivative."""
        return partial(letter("E", self.t), letter(self.letter, self.t))

    def slope(self) -> str:
        """The same in closed form."""
        y, d = letter("y", self.t), letter("d", self.t)
        if self.criterion is cross_entropy:
            return f"{y} - {d}"
        if self.criterion is not squared_error:
            return self.derivative
        through = "" if self.letter == "y" else rf" (\mathrm{{diag}}({y}) - {letter('y', self.t, T)} {y})"
        return f"2 ({y} - {d}){through}"


def equations(net: LessonNetwork, readout: ReadoutFormulas) -> list[str]:
    """The forward pass, from x_k to E_t, a line each."""
    signs = general_letters(net)
    deep, both = len(net.weight_names()) > 1, len(signs) > 1
    step = _step(net, r"s_k^{(\ell-1)}" if deep else "x_k")
    lines = [_in_letters(line, at) for at in signs for line in step]
    joined = ",".join(at("s") for at in signs)
    if deep:
        lines.append("s_k^{(0)} = x_k" + (rf",\quad s_k^{{(\ell)}} = ({joined})" if both else ""))
    elif both:
        lines.append(f"s_k = ({joined})")
    return [*lines, *readout.lines()]


def recursion(net: LessonNetwork, readout: ReadoutFormulas) -> list[str]:
    """The backward pass, from E_t to every delta_k, a line each."""
    signs, layers = general_letters(net), len(net.weight_names())
    alone = layers == len(signs) == 1
    lines = _entering(layers, signs, readout)
    if alone:
        lines = [_in_letters(rf"<ds> = {readout.derivative} <W_y^T>", signs[0], readout.t, readout.t)]
    for at in signs:
        passed = _in_letters(_passed(net), at, "k" if alone else at.step_after("k"), readout.t)
        deltas = [_in_letters(line, at, "k", readout.t) for line in _deltas(net)]
        of_state = partial(letter("E", readout.t), at("s", at.step_before("k") if alone else "k"))
        entering = "" if alone else f"{at(EPSILON)} + "
        line = f"{of_state} = {entering}{passed}"
        lines += [*deltas, line] if alone else [line, *deltas]
    return lines


def _entering(layers: int, signs: list[Letters], readout: ReadoutFormulas) -> list[str]:
    """What enters each layer's states from above, epsilon."""
    deep = layers > 1
    last = f"({layers})" if deep else ""
    lines = [
        rf"{letter(EPSILON, readout.t, last)} = {readout.derivative} {letter('W', 'y', T)},\quad "
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


def _step(net: LessonNetwork, x: str) -> list[str]:
    """The cell's step."""
    names = net.weight_names()[0][0]
    cell: Any = net.cell
    has_b_x, has_b_s = names.b_ih is not None, names.b_hh is not None
    if net.row_vectors:  # the lesson's network has one bias, b_s
        has_b_x, has_b_s = False, has_b_x
    inward = f"{x} <W_x>" + " + <b_x>" * has_b_x
    back = "<s-> <W_s>" + " + <b_s>" * has_b_s
    if isinstance(cell, GRUEquations):
        return [
            rf"(<p^r>, <p^z>, <p^n>) = {inward},\quad (<q^r>, <q^z>, <q^n>) = {back}",
            r"<r> = \sigma(<p^r> + <q^r>),\quad <z> = \sigma(<p^z> + <q^z>)",
            r"<n> = \tanh(<p^n> + <r> \odot <q^n>)",
            r"<s> = (1 - <z>) \odot <n> + <z> \odot <s->",
        ]
    if isinstance(cell, LSTMEquations):
        hidden = r"<o> \odot \tanh <c>"
        return [
            f"(<a^i>, <a^f>, <a^g>, <a^o>) = {inward} + {back}",
            r"<i> = \sigma(<a^i>),\quad <f> = \sigma(<a^f>),\quad <o> = \sigma(<a^o>),\quad <g> = \tanh <a^g>",
            r"<c> = <f> \odot <c-> + <i> \odot <g>",
            "<s> = " + (hidden if names.W_hr is None else f"({hidden}) <W_p>"),
        ]
    phi = rf"\Phi = {_upright(cell.activation.name)}"
    if cell.leak == 1:
        return [f"<a> = {inward} + {back}", rf"<s> = \Phi(<a>),\quad {phi}"]
    mixed = r"<s> = (1-\alpha)\,<s-> + \alpha\,\Phi(<a>)"
    return [f"<a> = {inward} + {back}", rf"{mixed},\quad {phi},\ \alpha = {cell.leak:g}"]


def _deltas(net: LessonNetwork) -> list[str]:
    """delta_k from the adjoint of the state after step k."""
    cell: Any = net.cell
    if isinstance(cell, GRUEquations):
        return [
            r"<\delta^z> = <ds> \odot (<s-> - <n>) \odot <z> \odot (1 - <z>)",
            r"<\delta^n> = <ds> \odot (1 - <z>) \odot (1 - <n> \odot <n>)",
            r"<\delta^r> = <\delta^n> \odot <q^n> \odot <r> \odot (1 - <r>)",
            r"<\delta> = (<\delta^r>, <\delta^z>, <\delta^n>),\quad "
            r"<\tilde\delta> = (<\delta^r>, <\delta^z>, <r> \odot <\delta^n>)",
        ]
    if isinstance(cell, LSTMEquations):
        ds = "<ds>" if net.weight_names()[0][0].W_hr is None else "(<ds> <W_p^T>)"
        return [
            rf"<dc> = {ds} \odot <o> \odot (1 - \tanh <c> \odot \tanh <c>) + <dc+> \odot <f+>",
            r"<\delta^i> = <dc> \odot <g> \odot <i> \odot (1 - <i>),\quad "
            r"<\delta^f> = <dc> \odot <c-> \odot <f> \odot (1 - <f>)",
            r"<\delta^g> = <dc> \odot <i> \odot (1 - <g> \odot <g>),\quad "
            rf"<\delta^o> = {ds} \odot \tanh <c> \odot <o> \odot (1 - <o>)",
            r"<\delta> = (<\delta^i>, <\delta^f>, <\delta^g>, <\delta^o>)",
        ]
    leak = "" if cell.leak == 1 else r"\alpha\,"
    return [rf"<\delta> = {leak}<ds> \odot \Phi'(<a>)"]


def _passed(net: LessonNetwork) -> str:
    """The part of the adjoint that a step hands to the state before it."""
    cell: Any = net.cell
    if isinstance(cell, GRUEquations):
        return r"<\tilde\delta> <W_s^T> + <ds> \odot <z>"
    leaks = not isinstance(cell, LSTMEquations) and cell.leak != 1
    return r"<\delta> <W_s^T>" + (r" + (1-\alpha)\,<ds>" if leaks else "")


def _in_letters(line: str, at: Letters, k: Step = "k", t: int = 0) -> str:
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
