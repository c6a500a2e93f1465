from bptt.insight.lesson.derivation_parts import MatrixDerivation, Term, TermFactor
from bptt.insight.lesson.notation import partial


def factor(of, by, *edges):
    return TermFactor(partial(of, by), (), edges)


TERM = Term(2, 2, (factor("E_2", "s_2", "y_2→E_2", "s_2→y_2"), factor("s_2", "W_s", "s_1→s_2")))
REST = Term(1, 40, ())


def test_a_term_reads_left_to_right_and_names_its_path():
    assert TERM.text == "∂E_2/∂s_2 · ∂s_2/∂W_s"
    assert TERM.latex == r"\frac{\partial E_2}{\partial s_2} \frac{\partial s_2}{\partial W_s}"
    assert TERM.path == ("y_2→E_2", "s_2→y_2", "s_1→s_2")
    assert (TERM.label, TERM.count) == ("k = 2", 1)


def test_a_folded_stretch_says_how_many_it_stands_for():
    assert (REST.label, REST.count, REST.text, REST.latex) == ("k = 1..40", 40, "⋯ 40 terms ⋯", r"\cdots")


def test_a_derivative_is_the_sum_of_its_terms():
    derived = MatrixDerivation("W_s", "W_s", partial("E_2", "W_s"), (TERM, REST), "")
    assert derived.text == "∂E_2/∂W_s = ∂E_2/∂s_2 · ∂s_2/∂W_s + ⋯ 40 terms ⋯"
    assert derived.latex.endswith(r"\partial W_s} + \cdots")
