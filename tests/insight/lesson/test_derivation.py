from functools import reduce

import pytest
import torch

import bptt
from support import assert_close, normal

LESSON = {
    "W_y": r"\frac{\partial E_3}{\partial W_y} = "
    r"\frac{\partial E_3}{\partial y_3} \frac{\partial y_3}{\partial W_y}",
    "W_s": r"\frac{\partial E_3}{\partial W_s} = "
    r"\frac{\partial E_3}{\partial y_3} \frac{\partial y_3}{\partial s_3} \frac{\partial s_3}{\partial W_s} + "
    r"\frac{\partial E_3}{\partial y_3} \frac{\partial y_3}{\partial s_3} \frac{\partial s_3}{\partial s_2} "
    r"\frac{\partial s_2}{\partial W_s} + "
    r"\frac{\partial E_3}{\partial y_3} \frac{\partial y_3}{\partial s_3} \frac{\partial s_3}{\partial s_2} "
    r"\frac{\partial s_2}{\partial s_1} \frac{\partial s_1}{\partial W_s}",
}


def test_the_lessons_formula_literally():
    d = bptt.derivation(bptt.Elman(2, 3, 1), t=3)
    assert d["W_y"].latex == LESSON["W_y"]
    assert d["W_s"].latex == LESSON["W_s"]
    assert d["W_x"].latex == LESSON["W_s"].replace("W_s", "W_x")
    assert d["W_s"].total == r"\sum_{k=1}^{3} s_{k-1}^{\mathsf{T}}\,\delta_k"
    assert d.error is None
    assert all(term.value is None for matrix in d.matrices for term in matrix.terms)


def absolute_error(y, d):
    return (y - d).abs().sum()


def multiplied(term):
    """A path's factors multiplied out, left to right; the last one takes the row g to operandᵀ (g ⊙ slope)."""
    *path, use = [[q.value for q in factor.quantities] for factor in term.factors]
    row = reduce(torch.matmul, [value for (value,) in path])
    *operand, slope = use
    return torch.outer(operand[0], row * slope) if operand else row * slope


@pytest.mark.parametrize("t", [1, 3, 5, 30])
@pytest.mark.parametrize(
    "options", [{}, {"activation": "gelu", "bias": True}, {"leak": 0.4}, {"activation": "relu", "softmax": True}]
)
@pytest.mark.parametrize("criterion", [bptt.squared_error, bptt.cross_entropy, absolute_error])
def test_every_term_is_its_factors_product_and_autograds(t, options, criterion):
    net = bptt.Elman(2, 3, 2, dtype=torch.float64, **options)
    x, d = normal(31, 2), normal(31, 2, seed=1).softmax(-1)
    found = bptt.derivation(net, x, d, criterion, t=t)
    by_step = autograds_terms(net, x[:t], d[t - 1], criterion)
    for matrix in found.matrices:
        for term in matrix.terms:
            wanted = sum(by_step[k][matrix.name] for k in range(term.first, term.last + 1))
            assert_close(term.value, wanted, f"{matrix.name} {term.label}", 1e-11)
            if term.factors and matrix.name in ("W_x", "W_s", "b_s"):
                assert_close(multiplied(term), wanted, f"product of {matrix.name} {term.label}", 1e-11)
        assert_close(sum(term.value for term in matrix.terms), matrix.gradient, matrix.name, 1e-12)
        assert sum(term.share for term in matrix.terms) == pytest.approx(1 if matrix.gradient.norm() else 0)


def autograds_terms(net, x, d, criterion):
    """∂E_t/∂W of W's use at each step alone: a copy of every matrix for each step, differentiated by autograd."""
    copies = [{n: p.detach().clone().requires_grad_() for n, p in net.named_parameters()} for _ in x]
    s = torch.zeros(3, dtype=torch.float64)
    for x_k, w in zip(x, copies, strict=True):
        a = x_k @ w["W_x"] + s @ w["W_s"] + w.get("b_s", 0)
        s = (1 - net.cell.leak) * s + net.cell.leak * net.cell.activation.function(a)
    z = s @ copies[-1]["W_y"] + copies[-1].get("b_y", 0)
    y = z.softmax(-1) if net.softmax else z
    error = criterion(z if criterion is bptt.cross_entropy else y, d)
    flat = [w for copy in copies for w in copy.values()]
    gradients = iter(torch.autograd.grad(error, flat, materialize_grads=True))
    return {k: {name: next(gradients) for name in copy} for k, copy in enumerate(copies, 1)}


MODELS = {
    "rnn": lambda: bptt.RNN(2, 4, nonlinearity="softplus", leak=0.5),
    "gru": lambda: bptt.GRU(2, 4),
    "lstm": lambda: bptt.LSTM(2, 4, num_layers=2, proj_size=3),
    "bidirectional": lambda: bptt.GRU(2, 4, num_layers=2, bidirectional=True),
}


@pytest.mark.parametrize("name", list(MODELS))
def test_terms_of_every_cell_are_the_explanations(name):
    model = bptt.SequenceModel(MODELS[name](), 2).double()
    x, d = normal(12, 2), normal(12, 2, seed=1)
    found, e = bptt.derivation(model, x, d, t=9), bptt.explain(model, x, d, t=9)
    assert [matrix.name for matrix in found.matrices] == list(e.gradient)
    assert_close(found.error, e.error, "error")
    for matrix in found.matrices:
        parts = e.contributions[matrix.name]
        parts = parts.mT if parts.dim() == 3 else parts
        assert_close(
            matrix.gradient, e.gradient[matrix.name].mT if parts.dim() == 3 else parts.sum(0), matrix.name
        )
        for term in matrix.terms:
            assert_close(term.value, parts[term.first - 1 : term.last].sum(0), f"{matrix.name} {term.label}")
            values = [q.value for factor in term.factors for q in factor.quantities]
            if matrix.use == "" and term.factors:
                product = torch.outer(*values) if len(values) == 2 else values[0]
                assert_close(product, term.value, f"product of {matrix.name} {term.label}")
    assert sum(len(m.terms) for m in found.matrices if m.terms[0].first != m.terms[-1].first) > 0


def test_long_ways_are_folded_and_nothing_is_lost():
    found = bptt.derivation(bptt.Elman(2, 3, 1), torch.ones(200, 2), torch.ones(200, 1))
    terms = found["W_s"].terms
    assert sum(term.count for term in terms) == 200
    assert [term.first for term in terms] == [200, 199, 198, 197, 196, 2, 1]
    assert "⋯ 194 terms ⋯" in terms[5].text
    folded = terms[-1].factors[4]
    assert folded.steps == 199 - 3
    assert folded.quantities[0].text == "∂s_198/∂s_2"
    assert len(terms[-1].path) == 1 + 1 + 199 + 1
    assert len(bptt.derivation(bptt.Elman(2, 3, 1), t=9, shown=9)["W_s"].terms) == 9


def test_a_term_names_the_edges_of_its_path():
    terms = bptt.derivation(bptt.Elman(2, 3, 1), t=3)["W_s"].terms
    assert terms[1].path == ("y_3→E_3", "s_3→y_3", "s_2→s_3", "s_1→s_2")
    gru = bptt.derivation(bptt.SequenceModel(bptt.GRU(2, 3), 1), t=2)["W_x"].terms
    assert set(gru[1].path) == {"y_2→E_2", "s_2→y_2", "s_1→s_2", "x_1→s_1"}


def test_text_latex_and_svg_say_the_same():
    d = bptt.derivation(bptt.Elman(1, 2, 1), normal(3, 1).float(), normal(3, 1).float(), t=2)
    assert "∂E_2/∂W_s = ∂E_2/∂y_2 · ∂y_2/∂s_2 · ∂s_2/∂W_s\n" in str(d)
    assert d.latex.startswith("\\begin{aligned}")
    assert d.latex.count(r"\begin{") == d.latex.count(r"\end{")
    svg, html = d.svg, d._repr_html_()
    assert svg.startswith("<svg ")
    assert d._repr_svg_() == svg
    assert svg in html
    assert ">\\begin{aligned}\n&amp; \\text{The network}" in html, "LaTeX to copy"
    assert d.latex in d._repr_latex_()


@pytest.mark.parametrize("name", list(MODELS))
def test_no_latex_is_left_in_the_text(name):
    d = bptt.derivation(bptt.SequenceModel(MODELS[name](), 2), torch.ones(3, 2), torch.ones(3, 2), t=2)
    assert "\\" not in str(d)
    assert "{" not in str(d)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"t": 0}, ValueError, "t is 0.*1 to 5"),
        ({"t": 6}, ValueError, "t is 6.*1 to 5"),
        ({"t": 2.0}, TypeError, "float"),
        ({"x": None}, TypeError, "both x and d"),
        ({"x": torch.zeros(2, 5, 2)}, ValueError, r"one sequence \(T, I\)"),
        ({"x": [0.0]}, TypeError, "x must be a torch.Tensor"),
        ({"shown": 3}, ValueError, "shown must be at least 4"),
        ({"model": torch.nn.RNN(2, 3)}, TypeError, "SequenceModel"),
        ({"x": None, "d": None, "t": None}, TypeError, "pass t, the step whose error is derived, or x and d"),
        ({"x": None, "d": None, "t": "last"}, TypeError, "t must be an int"),
    ],
)
def test_bad_calls(change, error, words):
    call = {"model": bptt.Elman(2, 3, 1), "t": 3, "x": torch.zeros(5, 2), "d": torch.zeros(5, 1), **change}
    with pytest.raises(error, match=words):
        bptt.derivation(**call)


def test_a_matrix_that_is_not_there_is_said():
    with pytest.raises(KeyError, match=r"W_q.*W_x, W_s, W_y"):
        _ = bptt.derivation(bptt.Elman(2, 3, 1), t=3)["W_q"]
