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


def contributed(T, **options):
    torch.manual_seed(0)
    net = bptt.SequenceModel(bptt.GRU(2, 3, 2), 1)
    return bptt.contributions(net, torch.randn(T, 2), torch.randn(T, 1), torch.nn.MSELoss(), **options)


def test_every_parameter_has_its_row_and_shares_sum_to_one():
    c = contributed(40)
    lines = str(c).splitlines()
    rows = [line for line in lines if line.startswith(("recurrent.", "readout."))]
    assert [row.split()[0] for row in rows] == list(c.by_step)
    for row in rows:
        assert abs(sum(float(part.rstrip("%")) for part in row.split()[2:]) - 100) < 0.5
    assert "lag" not in str(c)


def test_lags_are_told_with_pairs_alone_and_by_powers_of_two():
    lines = str(contributed(40, pairs=True)).splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("lag"))
    assert lines[place].split() == ["lag", "0", "1", "2", "4", "8", "16", "32"]
    assert [line.split()[0] for line in lines[place + 1 :]] == ["l0", "l1"]
    assert max(map(len, lines)) < 110


def test_contributions_of_a_single_step():
    assert "step 1" in str(contributed(1, at=1, pairs=True))
