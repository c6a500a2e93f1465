"""The printed equations are computed as they stand: every line is turned into Python and evaluated."""

import re

import pytest
import torch

import bptt
from bptt.insight.lesson.notation import matrices
from bptt.insight.lesson.recursions import ReadoutFormulas, equations, recursion
from support import assert_close, normal

NETS = {
    "elman": lambda: bptt.Elman(2, 3, 1, bias=True, leak=0.4),
    "rnn": lambda: bptt.SequenceModel(bptt.RNN(2, 3), 1),
    "gru": lambda: bptt.SequenceModel(bptt.GRU(2, 3), 1),
    "lstm": lambda: bptt.SequenceModel(bptt.LSTM(2, 3), 1),
    "projected": lambda: bptt.SequenceModel(bptt.LSTM(2, 3, proj_size=2), 1),
}
LETTER = r"d?[A-Za-z]_(?:\w|\{[^}]*\})(?:\^\{\w\})?"


@pytest.mark.parametrize("name", list(NETS))
def test_the_lines_as_they_stand_compute_every_delta(name):
    net = NETS[name]().double()
    x, d = normal(3, 2), normal(3, 1, seed=1)
    output, e = ReadoutFormulas(net, 3, bptt.squared_error), bptt.explain(net, x, d, t=3)
    parameters = {n: p if net.row_vectors or p.dim() == 1 else p.mT for n, p in net.named_parameters()}
    v = {m.latex: parameters[m.name].detach() for m in matrices(net)}
    v |= {f"{latex}^{{T}}": weight.mT for latex, weight in v.items() if latex.startswith("W")}
    v |= {f"x_{k}": x[k - 1] for k in (1, 2, 3)} | {"d_3": d[2]}
    v |= dict.fromkeys(("s_0", "c_0", "dc_4", "f_4"), torch.zeros(3).double())
    v["s_0"] = torch.zeros(e.state_gradient.shape[1]).double()

    *step, y, error = equations(net, output)
    for k in (1, 2, 3):
        evaluate(step, k, v)
    evaluate([y, error], 3, v)
    assert_close(v["E_3"].sum(), e.error, "E_3")
    v["dy_3"] = eval(python(output.slope()), {"v": v})
    first, *back = recursion(net, output)
    evaluate([first], 3, v)
    for k in (3, 2, 1):
        evaluate(back, k, v)
        assert_close(v[f"D_{k}"], e.delta[k - 1], f"delta {k}")
        assert_close(v[f"ds_{k}"], e.state_gradient[k - 1], f"ds {k}")
    recurrent = "e" if name == "gru" else "D"
    W_s = sum(torch.outer(v[f"s_{k - 1}"], v[f"{recurrent}_{k}"]) for k in (1, 2, 3))
    gradient = e.gradient["W_s" if net.row_vectors else "recurrent.weight_hh_l0"]
    assert_close(W_s, gradient if net.row_vectors else gradient.mT, "W_s")


def evaluate(lines, k, v):
    """Every "left = right" of the lines, at step k."""
    for part in (part for line in lines for part in line.split(r",\quad ")):
        if not part.startswith(r"\Phi"):
            part = re.sub(r"_\{k([+-]1)\}|_k", lambda m: f"_{k + int(m[1] or 0)}", part)
            left, right = part.split(" = ", 1)
            names = {"v": v, "torch": torch, "slope": lambda a: 1 - torch.tanh(a) ** 2}
            value = eval(python(right), names)
            value = torch.cat(value, -1) if isinstance(value, tuple) else value
            letters = re.findall(LETTER, letters_of(left))
            v |= dict(zip(letters, value.chunk(len(letters), -1), strict=True))


def letters_of(latex):
    """∂E_3/∂s_k as ds_k, delta as D, delta~ as e."""
    latex = re.sub(r"\\frac\{\\partial E_3\}\{\\partial (\w)_(\w)\}", r"d\1_\2", latex)
    return latex.replace(r"\tilde\delta", "e").replace(r"\delta", "D").replace(r"\mathsf{T}", "T")


def python(latex):
    """An expression in letters, as Python over a dict v of their values."""
    latex = letters_of(latex).replace(r"\alpha\,", "0.4 * ").replace(r"(1-\alpha)\,", "0.6 * ")
    latex = latex.replace(r"\odot", "*").replace("^2", "**2").replace("2 (", "2 * (")
    latex = re.sub(rf"\\tanh ({LETTER})", r"torch.tanh(\1)", latex)
    for function, name in ((r"\tanh(", "torch.tanh("), (r"\sigma(", "torch.sigmoid("), (r"\Phi(", "torch.tanh(")):
        latex = latex.replace(function, name)
    latex = latex.replace(r"\Phi'(", "slope(")
    latex = re.sub(r"(?<=[\w})]) (?=W_)", " @ ", latex)
    return re.sub(LETTER, lambda m: f"v[{m[0]!r}]", latex)


def test_several_layers_take_what_enters_from_above():
    deep = bptt.SequenceModel(bptt.RNN(2, 3, num_layers=2, bidirectional=True), 1)
    lines = recursion(deep, ReadoutFormulas(deep, 3, bptt.squared_error))
    assert lines[0] == (
        r"\varepsilon_3^{(2)} = \frac{\partial E_3}{\partial y_3} W_y^{\mathsf{T}},\quad "
        r"\varepsilon_k^{(2)} = 0 \text{ for } k \neq 3"
    )
    assert lines[-2] == (
        r"\frac{\partial E_3}{\partial s_k^{(\ell)\leftarrow}} = \varepsilon_k^{(\ell)\leftarrow} + "
        r"\delta_{k-1}^{(\ell)\leftarrow} W_s^{(\ell)\leftarrow\mathsf{T}}"
    )


@pytest.mark.parametrize(
    ("criterion", "softmax", "error", "slope"),
    [
        (bptt.squared_error, False, r"\lVert d_3 - y_3 \rVert^2", "2 (y_3 - d_3)"),
        (bptt.cross_entropy, True, r"-\sum_i d_{3,i} \log y_{3,i}", "y_3 - d_3"),
        (max, True, r"\mathrm{max}(y_3, d_3)", r"\frac{\partial E_3}{\partial z_3}"),
    ],
)
def test_the_error_and_its_slope(criterion, softmax, error, slope):
    output = ReadoutFormulas(bptt.Elman(2, 3, 2, softmax=softmax), 3, criterion)
    assert output.lines()[-1] == f"E_3 = {error}"
    assert output.slope() == slope
    assert output.result == ("z_3" if softmax else "y_3")
