import torch

import bptt


def explained(T, t=None):
    torch.manual_seed(0)
    net = bptt.Elman(2, 3, 1)
    return bptt.explain(net, torch.randn(T, 2), torch.randn(T, 1), t)


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
