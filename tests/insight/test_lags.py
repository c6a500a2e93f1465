import pytest
import torch

import bptt
from bptt.insight.lags import gradient_by_lag
from support import assert_close, normal


@pytest.mark.parametrize(
    "recurrent",
    [lambda: bptt.RNN(2, 4, leak=0.5), lambda: bptt.GRU(2, 4, 2), lambda: bptt.LSTM(2, 4, 2, proj_size=3)],
)
def test_every_lag_is_the_mean_of_what_explain_finds(recurrent):
    model = bptt.SequenceModel(recurrent(), 2).double()
    x, d = normal(9, 2), normal(9, 2, seed=1)
    lags = 4
    found = gradient_by_lag(model, x, d, lags=lags)
    explained = [bptt.explain(model, x, d, t).state_gradients for t in range(lags + 1, 10)]
    for layer in found:
        wanted = torch.stack(
            [torch.stack([e[layer][-1 - lag].norm() for e in explained]).mean() for lag in range(lags + 1)]
        )
        assert_close(found[layer], wanted, layer, 1e-12)


def test_the_mean_is_over_the_steps_that_have_an_error():
    model = bptt.SequenceModel(bptt.RNN(2, 4), 2).double()
    x, d = normal(9, 2), normal(9, 2, seed=1)
    last = gradient_by_lag(model, x, d, lambda y, d: bptt.squared_error(y[-1], d[-1]), lags=4)["l0"]
    assert_close(last, bptt.explain(model, x, d, 9).state_gradients["l0"].norm(dim=-1)[-5:].flip(0), "l0", 1e-12)


def test_lags_are_cut_to_the_sequence():
    found = gradient_by_lag(bptt.Elman(2, 3, 1), torch.ones(3, 2), torch.ones(3, 1))
    assert found["l0"].shape == (3,)


@pytest.mark.parametrize(
    ("net", "x", "words"),
    [
        (lambda: bptt.Elman(2, 3, 1), torch.ones(2, 3, 2), r"\(T, I\)"),
        (lambda: bptt.SequenceModel(bptt.GRU(2, 3, bidirectional=True), 1), torch.ones(3, 2), "bidirectional"),
    ],
)
def test_bad_calls(net, x, words):
    with pytest.raises(ValueError, match=words):
        gradient_by_lag(net(), x, torch.ones(*x.shape[:-1], 1))


def test_a_long_sequence_is_sampled():
    net = bptt.Elman(1, 3, 1, dtype=torch.float64)
    x, d = normal(60, 1), normal(60, 1, seed=1)
    found = gradient_by_lag(net, x, d, lags=4, most=3)["l0"]
    explained = [bptt.explain(net, x, d, t).state_gradient for t in (5, 33, 60)]
    wanted = torch.stack([torch.stack([e[-1 - lag].norm() for e in explained]).mean() for lag in range(5)])
    assert_close(found, wanted, "sampled", 1e-12)
