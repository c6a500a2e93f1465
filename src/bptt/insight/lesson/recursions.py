"""A network's equations and its recursion of delta, in LaTeX: what `equations` computes, step and adjoint."""

from __future__ import annotations

import re

from ...equations import ElmanEquations, GRUEquations, LSTMEquations
from ..walks import Loss
from .edges import Network, cell_of
from .notation import Letters, T, general_letters, letter, partial, top


class Output:
    """What is read out of the last state, its error, and the error's derivative, at step t."""

    def __init__(self, net: Network, t: int, loss: Loss) -> None:
        self.net, self.t, self.loss = net, t, loss
        self.letter = "z" if net.softmax or loss == "cross_entropy" else "y"  # of what the read-out puts out

    def lines(self) -> list[str]:
        """From the last layer's state to E_t."""
        bias = "" if self.net.readout_names()[1] is None else " + b_y"
        lines = [f"{letter(self.letter, self.t)} = {top(self.net, self.t)} W_y{bias}"]
        y, d = letter("y", self.t), letter("d", self.t)
        if self.letter == "z":
            lines.append(rf"{y} = \mathrm{{softmax}}({letter('z', self.t)})")
        error = f"({d} - {y})^2"
        if self.loss == "cross_entropy":
            error = rf"-\sum_i {letter('d', f'{self.t},i')} \log {letter('y', f'{self.t},i')}"
        elif self.loss != "squared_error":
            error = rf"{_word(getattr(self.loss, '__name__', 'loss'))}({y}, {d})"
        elif len(self.net.readout_matrix()) > 1:
            error = rf"\lVert {d} - {y} \rVert^2"
        return [*lines, f"{letter('E', self.t)} = {error}"]

    def slope(self) -> str:
        """∂E_t/∂(what the read-out puts out) in closed form."""
        y, d = letter("y", self.t), letter("d", self.t)
        if self.loss == "cross_entropy":
            return f"{y} - {d}"
        if self.loss != "squared_error":
            return partial(letter("E", self.t), letter(self.letter, self.t))
        through = "" if self.letter == "y" else rf" (\mathrm{{diag}}({y}) - {letter('y', self.t, T)} {y})"
        return f"2 ({y} - {d}){through}"

    def enters(self) -> str:
        """∂E_t/∂(the last layer's state at step t)."""
        return f"{partial(letter('E', self.t), letter(self.letter, self.t))} {letter('W', 'y', T)}"


def equations(net: Network, output: Output) -> list[str]:
    """The way forward, from x_k to E_t, a line each."""
    signs, lines = general_letters(net), []
    deep, both = len(net.weight_names()) > 1, len(signs) > 1
    for at in signs:
        lines += _step(net, at, r"s_k^{(\ell-1)}" if deep else "x_k")
    joined = ",".join(at("s") for at in signs)
    if deep:
        lines.append("s_k^{(0)} = x_k" + (rf",\quad s_k^{{(\ell)}} = ({joined})" if both else ""))
    elif both:
        lines.append(f"s_k = ({joined})")
    return [*lines, *output.lines()]


def recursion(net: Network, output: Output) -> list[str]:
    """The way back, from E_t to every delta_k, a line each."""
    signs = general_letters(net)
    deep, both = len(net.weight_names()) > 1, len(signs) > 1
    if deep or both:
        lines = _entering(len(net.weight_names()), signs, output, deep)
    else:
        lines = [f"{partial(letter('E', output.t), letter('s', output.t))} = {output.enters()}"]
    for at in signs:
        if deep or both:
            lines.append(
                f"{_of_state(at, output, 'k')} = {at(EPSILON)} + {_passed(net, at, output, at.moved('k'))}"
            )
        lines += _deltas(net, at, output)
        if not (deep or both):
            lines.append(f"{_of_state(at, output, 'k-1')} = {_passed(net, at, output, 'k')}")
    return lines


EPSILON = r"\varepsilon"


def _entering(layers: int, signs: list[Letters], output: Output, deep: bool) -> list[str]:
    """What enters each layer's states from above, epsilon."""
    last = f"({layers})" if deep else ""
    lines = [
        rf"{letter(EPSILON, output.t, last)} = {output.enters()},\quad "
        rf"{letter(EPSILON, 'k', last)} = 0 \text{{ for }} k \neq {output.t}"
    ]
    if deep:
        arrows = [at.above.removeprefix(r"(\ell)") for at in signs]
        products = [rf"\delta_k^{{(\ell+1){arrow}}} W_x^{{(\ell+1){arrow}{T}}}" for arrow in arrows]
        lines.append(rf"\varepsilon_k^{{(\ell)}} = {' + '.join(products)} \text{{ for }} \ell < {layers}")
    if len(signs) > 1:
        whole = letter(EPSILON, "k", r"(\ell)" if deep else "")
        lines.append(f"({','.join(at(EPSILON) for at in signs)}) = {whole}")
    return lines


def _step(net: Network, at: Letters, x: str) -> list[str]:
    """The cell's step."""
    names, cell = net.weight_names()[0][0], cell_of(net)
    own = net.row_vectors  # the lesson's network: one bias, b_s
    inward = f"{x} {letter('W', 'x', at.above)}"
    inward += "" if own or names.b_ih is None else f" + {letter('b', 'x', at.above)}"
    back = f"{at.before('s')} {letter('W', 's', at.above)}"
    back += "" if (names.b_ih if own else names.b_hh) is None else f" + {letter('b', 's', at.above)}"
    if isinstance(cell, GRUEquations):
        p, q, gates = r"p", r"q", ("r", "z", "n")
        return [
            f"{_gates(at, p, gates)} = {inward},\\quad {_gates(at, q, gates)} = {back}",
            rf"{at('r')} = \sigma({at('p', above='r')} + {at('q', above='r')}),\quad "
            rf"{at('z')} = \sigma({at('p', above='z')} + {at('q', above='z')})",
            rf"{at('n')} = \tanh({at('p', above='n')} + {at('r')} \odot {at('q', above='n')})",
            rf"{at('s')} = (1 - {at('z')}) \odot {at('n')} + {at('z')} \odot {at.before('s')}",
        ]
    if isinstance(cell, LSTMEquations):
        sigmas = r",\quad ".join(rf"{at(g)} = \sigma({at('a', above=g)})" for g in "ifo")
        hidden = rf"{at('o')} \odot \tanh {at('c')}"
        projected = names.W_hr is not None
        return [
            f"{_gates(at, 'a', ('i', 'f', 'g', 'o'))} = {inward} + {back}",
            rf"{sigmas},\quad {at('g')} = \tanh {at('a', above='g')}",
            rf"{at('c')} = {at('f')} \odot {at.before('c')} + {at('i')} \odot {at('g')}",
            f"{at('s')} = " + (f"({hidden}) {letter('W', 'p', at.above)}" if projected else hidden),
        ]
    phi = rf"\Phi({at('a')})"
    mixed = phi if cell.leak == 1 else rf"(1-\alpha)\,{at.before('s')} + \alpha\,{phi}"
    choices = rf"\Phi = {_word(cell.activation.name)}" + (rf",\ \alpha = {cell.leak:g}" if cell.leak != 1 else "")
    return [f"{at('a')} = {inward} + {back}", rf"{at('s')} = {mixed},\quad {choices}"]


def _deltas(net: Network, at: Letters, output: Output) -> list[str]:
    """delta_k from the adjoint of the state after step k."""
    cell, ds = cell_of(net), _of_state(at, output, "k")
    if isinstance(cell, GRUEquations):
        r, z, n, d_n = at("r"), at("z"), at("n"), _delta(at, "n")
        return [
            rf"{_delta(at, 'z')} = {ds} \odot ({at.before('s')} - {n}) \odot {z} \odot (1 - {z})",
            rf"{d_n} = {ds} \odot (1 - {z}) \odot (1 - {n} \odot {n})",
            rf"{_delta(at, 'r')} = {d_n} \odot {at('q', above='n')} \odot {r} \odot (1 - {r})",
            rf"{_delta(at)} = ({_delta(at, 'r')}, {_delta(at, 'z')}, {d_n}),\quad "
            rf"{at(TILDE)} = ({_delta(at, 'r')}, {_delta(at, 'z')}, {r} \odot {d_n})",
        ]
    if isinstance(cell, LSTMEquations):
        i, f, g, o, c = (at(name) for name in "ifgoc")
        if net.weight_names()[0][0].W_hr is not None:
            ds = f"({ds} {letter('W', 'p', at.above + T)})"
        E = letter("E", output.t)
        dc, dc_after = partial(E, c), partial(E, at.after("c"))
        tanh = rf"\tanh {c}"
        return [
            rf"{dc} = {ds} \odot {o} \odot (1 - {tanh} \odot {tanh}) + {dc_after} \odot {at.after('f')}",
            rf"{_delta(at, 'i')} = {dc} \odot {g} \odot {i} \odot (1 - {i}),\quad "
            rf"{_delta(at, 'f')} = {dc} \odot {at.before('c')} \odot {f} \odot (1 - {f})",
            rf"{_delta(at, 'g')} = {dc} \odot {i} \odot (1 - {g} \odot {g}),\quad "
            rf"{_delta(at, 'o')} = {ds} \odot {tanh} \odot {o} \odot (1 - {o})",
            f"{_delta(at)} = ({', '.join(_delta(at, gate) for gate in 'ifgo')})",
        ]
    leak = "" if cell.leak == 1 else r"\alpha\,"
    return [rf"{_delta(at)} = {leak}{ds} \odot \Phi'({at('a')})"]


TILDE = r"\tilde\delta"


def _passed(net: Network, at: Letters, output: Output, k: object) -> str:
    """What the step k hands to the state before it."""
    cell, W = cell_of(net), letter("W", "s", at.above + T)
    if isinstance(cell, GRUEquations):
        return rf"{at(TILDE, k)} {W} + {_of_state(at, output, k)} \odot {at('z', k)}"
    through = f"{at(DELTA, k)} {W}"
    if isinstance(cell, ElmanEquations) and cell.leak != 1:
        through += rf" + (1-\alpha)\,{_of_state(at, output, k)}"
    return through


DELTA = r"\delta"


def _delta(at: Letters, gate: str = "") -> str:
    return at(DELTA, above=gate)


def _of_state(at: Letters, output: Output, k: object) -> str:
    """∂E_t/∂s_k."""
    return partial(letter("E", output.t), at("s", k))


def _gates(at: Letters, base: str, gates: tuple[str, ...]) -> str:
    """Pre-activations of all gates side by side."""
    return f"({', '.join(at(base, above=gate) for gate in gates)})"


def _word(name: str) -> str:
    """A name set upright; anything but letters and digits is a space."""
    return r"\tanh" if name == "tanh" else rf"\mathrm{{{re.sub('[^A-Za-z0-9]+', ' ', name).strip() or 'loss'}}}"
