import pytest

import bptt
from bptt.insight.lesson.notation import Letters, letter, letters, matrices, partial, plain


def test_the_lessons_letters():
    net = bptt.Elman(2, 3, 1, bias=True)
    assert [(m.name, m.latex) for m in matrices(net)] == [(n, n) for n in ("W_x", "W_s", "b_s", "W_y", "b_y")]
    assert letters(net) == [[Letters()]]


def test_layers_and_directions_stand_above():
    model = bptt.SequenceModel(bptt.LSTM(2, 4, 2, bidirectional=True, proj_size=3), 1)
    found = matrices(model)
    assert [m.name for m in found] == list(dict(model.named_parameters()))
    by_name = {m.name: m.latex for m in found}
    assert by_name["recurrent.weight_hh_l1_reverse"] == r"W_s^{(2)\leftarrow}"
    assert by_name["recurrent.weight_hr_l0"] == r"W_p^{(1)\rightarrow}"
    assert by_name["recurrent.bias_ih_l0"] == r"b_x^{(1)\rightarrow}"
    backward = letters(model)[1][1]
    assert backward.before("s", 3) == r"s_4^{(2)\leftarrow}"
    assert backward("s", backward.step_after("k")) == r"s_{k-1}^{(2)\leftarrow}"
    assert backward("p", above="r") == r"p_k^{(2)\leftarrow r}"


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (partial("E_3", "W_s"), "∂E_3/∂W_s"),
        (partial("E_{12}", r"W_s^{(2)\leftarrow}"), "∂E_12/∂W_s⁽²⁾◂"),
        (partial("E_3", "y_3") + " " + partial("y_3", "s_3"), "∂E_3/∂y_3 · ∂y_3/∂s_3"),
        (r"\sum_{k=1}^{3} s_{k-1}^{\mathsf{T}}\,\tilde\delta_k", "Σ_(k = 1..3) s_(k-1)ᵀ δ̃_k"),
        (r"\begin{bmatrix} -1 & 2 \\ 3\cdot 10^{-7} & 4 \end{bmatrix}", "[−1 2; 3e-7 4]"),
        (r"\lVert d_3 - y_3 \rVert^2", "‖d_3 − y_3‖²"),
        (r"\sigma(p_k^{(\ell)\rightarrow r})", "σ(p_k⁽ˡ⁾▸ʳ)"),
        (r"\mathrm{diag}(\Phi'(a_3))\,W_s^{\mathsf{T}}", "diag(Φ'(a_3)) W_sᵀ"),
    ],
)
def test_plain_text(latex, text):
    assert plain(latex) == text


def test_a_subscript_of_several_digits_is_braced():
    assert letter("s", 12, "(2)") == "s_{12}^{(2)}"
