import torch

import bptt
from bptt.insight.agreement.result import remarks


def test_a_row_for_each_route_then_the_remarks():
    model = bptt.LSTM(2, 3, proj_size=2)
    check = bptt.check_gradient(model, torch.ones(5, 1, 2), torch.zeros(5, 1, 2), bptt.squared_error)
    *table, looked, why, verdict = str(check).splitlines()
    rows = [row for row in table if row][-7:]
    assert [row.split()[0] for row in rows] == [
        "fused",
        "fused,",
        "reference",
        "checkpointed",
        "torch.nn",
        "autograd",
        "differences",
    ]
    assert rows[0].split() == ["fused", "-"]
    assert rows[2].split()[3] == "passed"
    assert float(rows[2].split()[1]) < 1e-6
    assert float(rows[2].split()[2]) < 1e-10
    assert looked.startswith("Finite differences looked at ")
    assert why == "Does not apply: fused (a projected LSTM has no native kernel)."
    assert verdict == check.verdict


def test_a_wrong_way_is_marked():
    wrong = bptt.Activation(torch.sin, torch.sin, keeps="input")
    model = bptt.RNN(2, 3, nonlinearity=wrong)
    check = bptt.check_gradient(model, torch.ones(5, 1, 2), torch.zeros(5, 1, 3), bptt.squared_error)
    (row,) = [row for row in str(check).splitlines() if row.lstrip().startswith("reference")]
    assert row.split()[3] == "WRONG"


def test_a_small_model_is_looked_at_in_every_entry():
    check = bptt.check_gradient(bptt.GRU(1, 1), torch.ones(2, 1, 1), torch.zeros(2, 1, 1), bptt.squared_error)
    assert remarks(check) == ["Finite differences looked at 15 of 15 entries."]
