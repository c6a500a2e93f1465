import pytest
import torch

import bptt
from bptt.insight import pairs
from bptt.insight.pairs import by_lag, mean_by_lag
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


def test_by_lag_is_the_mean_over_the_errors_that_reach_so_far():
    by_pair = torch.tensor([[1.0, 0, 0], [0, 0, 0], [3, 5, 7]])  # errors at the steps 1 and 3
    ends = torch.tensor([0, 2])
    laid_out = by_lag(by_pair)
    assert laid_out.tolist() == [[1, 0, 0], [0, 0, 0], [7, 5, 3]]
    assert mean_by_lag(laid_out[ends], ends).tolist() == [4, 5, 3]
    assert by_lag(by_pair.mT, backwards=True).tolist() == [[7, 0, 0], [0, 5, 0], [1, 0, 3]]
