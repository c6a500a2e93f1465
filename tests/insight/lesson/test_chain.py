import bptt
from bptt.insight.lesson.chain import Chain
from bptt.insight.lesson.notation import matrices
from bptt.insight.lesson.recursions import ReadoutFormulas


def chain(net, t=3, steps=3):
    return Chain(net, steps, ReadoutFormulas(net, t, bptt.squared_error), 6)


def test_the_lessons_network_has_paths_and_every_other_one_deltas():
    net = bptt.Elman(2, 3, 1, leak=0.5)
    by_name = {m.name: m for m in matrices(net)}
    assert [t.text for t in chain(net, 1).derivative(by_name["W_x"]).terms] == [
        "∂E_1/∂y_1 · ∂y_1/∂s_1 · ∂s_1/∂W_x"
    ]
    jacobian = chain(net).derivative(by_name["W_s"]).terms[1].factors[2]
    assert jacobian.quantities[0].text == "(1−α) I + α diag(Φ'(a_3)) W_sᵀ".replace("1−α", "1-α")
    gru = bptt.SequenceModel(bptt.GRU(2, 3, 2), 1)
    first = {m.name: m for m in matrices(gru)}["recurrent.weight_hh_l1"]
    texts = [t.text for t in chain(gru).derivative(first).terms]
    assert texts == ["s_2⁽²⁾ᵀ · δ̃_3⁽²⁾", "s_1⁽²⁾ᵀ · δ̃_2⁽²⁾", "s_0⁽²⁾ᵀ · δ̃_1⁽²⁾"]


def test_a_backward_direction_sums_over_every_step():
    model = bptt.SequenceModel(bptt.RNN(2, 3, bidirectional=True), 1)
    backward = {m.name: m for m in matrices(model)}["recurrent.weight_hh_l0_reverse"]
    of_five = chain(model, 3, 5).derivative(backward)
    assert of_five.total.startswith(r"\sum_{k=1}^{5} s_{k+1}")
    assert [t.first for t in of_five.terms] == [5, 4, 3, 2, 1]


def test_the_last_factor_is_said_as_what_it_does_to_a_row():
    net = bptt.Elman(2, 3, 1, bias=True)
    uses = {m.name: chain(net).derivative(m).use for m in matrices(net)}
    assert uses["W_s"].endswith(r"s_{k-1}^{\mathsf{T}}\,(g \odot \Phi'(a_k))")
    assert uses["b_s"].endswith(r"= (g \odot \Phi'(a_k))")
    assert uses["b_y"].endswith("= g")
