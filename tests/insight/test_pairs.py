import pytest
import torch

import bptt
from bptt.insight import pairs
from support import assert_close, normal


@pytest.mark.parametrize("model", [bptt.GRU(2, 3, 2), bptt.LSTM(2, 3, 2, bidirectional=True)])
@pytest.mark.parametrize("swept", [1, 200])
def test_sweeps_one_by_one_find_what_one_sweep_finds(model, swept, monkeypatch):
    model = model.double()
    x, d = normal(7, 2, 2), normal(7, 2, 3 * model.num_directions, seed=1)
    wanted = bptt.contributions(model, x, d, bptt.squared_error, pairs=True).by_pair
    monkeypatch.setattr(pairs, "SWEPT", swept)
    found = bptt.contributions(model, x, d, bptt.squared_error, pairs=True).by_pair
    for name in wanted.weights:
        assert_close(found.weights[name], wanted.weights[name], name, 1e-7)
    for layer in wanted.states:
        assert_close(found.states[layer], wanted.states[layer], layer, 1e-12)


def test_contributions_of_a_batch_that_cancel_have_norm_zero():
    """Two sequences with the same states and opposite errors."""
    model = bptt.GRU(2, 3)
    x = normal(6, 1, 2, dtype=torch.float32).expand(6, 2, 2)
    d = torch.zeros(6, 2, 3)
    signs = torch.tensor([1.0, -1.0])[:, None]
    c = bptt.contributions(model, x, d, lambda y, d: (signs * y).sum(), pairs=True)
    alone = bptt.contributions(model, x[:, :1], d[:, :1], lambda y, d: y.sum(), pairs=True)
    for name, norms in c.by_pair.weights.items():
        assert norms.norm() < 1e-3 * alone.by_pair.weights[name].norm(), name
    assert_close(c.by_pair.states["l0"], 2**0.5 * alone.by_pair.states["l0"], "states")
