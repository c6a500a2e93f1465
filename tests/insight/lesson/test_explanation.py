import copy
import pickle
import re
from dataclasses import replace

import pytest
import torch

import bptt
from bptt.insight.lesson.explanation import explanation_html


def test_it_can_be_kept_and_copied():
    e = bptt.explain(bptt.Elman(2, 3, 1), torch.ones(3, 2), torch.ones(3, 1))
    for again in (pickle.loads(pickle.dumps(e)), copy.deepcopy(e)):
        assert again.numbers() == e.numbers()
        assert again._repr_html_() == e._repr_html_()


def test_one_layer_needs_no_name_and_several_do():
    e = bptt.explain(bptt.SequenceModel(bptt.RNN(2, 3, 2), 1), torch.ones(3, 2), torch.ones(3, 1))
    with pytest.raises(ValueError, match=r"state_gradients.*l0, l1"):
        _ = e.state_gradient


def explained(T, t=None):
    torch.manual_seed(0)
    net = bptt.Elman(2, 3, 1)
    return bptt.explain(net, torch.randn(T, 2), torch.randn(T, 1), t=t)


def test_every_matrix_and_step_has_its_row_and_shares_sum_to_one():
    text = str(explained(5, t=3))
    assert text.startswith("E_3 = ")
    blocks = text.split("\n\n")
    assert [block.split()[0] for block in blocks[1:]] == [
        "∂E_3/∂W_x",
        "∂E_3/∂W_s",
        "∂E_3/∂W_y",
        "‖∂E_3/∂s_k‖:",
    ]
    for block in blocks[1:4]:
        rows = block.splitlines()[2:]
        assert [row.split()[0] for row in rows] == ["1", "2", "3"]
        assert abs(sum(float(row.split()[2].rstrip("%")) for row in rows) - 100) < 0.3


def test_a_long_way_back_is_folded():
    text = str(explained(200))
    assert "1 to 188" in text
    assert len(text.splitlines()) < 80


def test_a_single_step():
    text = str(explained(1))
    assert "1 step" in text
    assert "nan" not in text


def test_a_zero_gradient_has_no_shares_to_divide():
    net = bptt.Elman(2, 3, 1)
    net.W_y = torch.zeros(3, 1)
    assert "nan" not in str(bptt.explain(net, torch.ones(3, 2), torch.zeros(3, 1)))


def test_no_share_is_a_negative_zero():
    torch.manual_seed(0)
    net = bptt.SequenceModel(bptt.GRU(2, 3), 1)
    e = bptt.explain(net, torch.randn(40, 2), torch.randn(40, 1))
    for text in (str(e), explanation_html(e)):
        assert " 0.0%" in text or "(0.0%)" in text
        assert "-0.0%" not in text


def test_every_step_has_a_row_and_shares_sum_to_one():
    e = bptt.explain(bptt.Elman(2, 3, 1), torch.randn(4, 2), torch.randn(4, 1))
    table = explanation_html(e)
    *rows, total = [re.findall(r"<t[hd][^>]*>([^<]*)", row) for row in table.split("<tr>")[2:]]
    assert [row[0] for row in [*rows, total]] == ["1", "2", "3", "4", "sum"]
    for column in (1, 2, 3):
        assert abs(sum(float(re.search(r"\((.*)%\)", row[column])[1]) for row in rows) - 100) < 0.3
    assert float(rows[1][-1]) == float(f"{e.state_gradient[1].norm():.3g}")


def test_a_parameters_name_is_text():
    e = explained(1)
    of_name = {"<b>": e.gradient["W_x"]}
    assert "&lt;b&gt;" in explanation_html(
        replace(e, gradient=of_name, contributions={"<b>": e.contributions["W_x"]})
    )
