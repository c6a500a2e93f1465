import pytest
import torch

import bptt
from bptt.insight.lags import errors_by_lag, gradient_by_lag
from bptt.insight.plain_models import error_and_adjoint, into_hidden, record_layers
from support import assert_close, normal


def by_lag(net, x, d, criterion=bptt.squared_error, **choices):
    h, records = record_layers(net, x)
    _, dz = error_and_adjoint(net, h, d, criterion)
    return gradient_by_lag(records, into_hidden(net, dz).unsqueeze(1), **choices)


@pytest.mark.parametrize(
    "recurrent",
    [lambda: bptt.RNN(2, 4, leak=0.5), lambda: bptt.GRU(2, 4, 2), lambda: bptt.LSTM(2, 4, 2, proj_size=3)],
)
def test_every_lag_is_the_mean_of_what_explain_finds(recurrent):
    model = bptt.SequenceModel(recurrent(), 2).double()
    x, d = normal(9, 2), normal(9, 2, seed=1)
    lags = 4
    found = by_lag(model, x, d, lags=lags)
    explained = [bptt.explain(model, x, d, t=t).state_gradients for t in range(lags + 1, 10)]
    for layer in found:
        wanted = torch.stack(
            [torch.stack([e[layer][-1 - lag].norm() for e in explained]).mean() for lag in range(lags + 1)]
        )
        assert_close(found[layer], wanted, layer, 1e-12)


def test_the_mean_is_over_the_steps_that_have_an_error():
    model = bptt.SequenceModel(bptt.RNN(2, 4), 2).double()
    x, d = normal(9, 2), normal(9, 2, seed=1)
    last = by_lag(model, x, d, lambda y, d: bptt.squared_error(y[-1], d[-1]), lags=4)["l0"]
    assert_close(last, bptt.explain(model, x, d, t=9).state_gradients["l0"].norm(dim=-1)[-5:].flip(0), "l0", 1e-12)


def test_lags_are_cut_to_the_sequence():
    found = by_lag(bptt.Elman(2, 3, 1), torch.ones(3, 2), torch.ones(3, 1), lags=40)
    assert found["l0"].shape == (3,)


def test_a_long_sequence_is_sampled():
    net = bptt.Elman(1, 3, 1, dtype=torch.float64)
    x, d = normal(60, 1), normal(60, 1, seed=1)
    found = by_lag(net, x, d, lags=4, most=3)["l0"]
    explained = [bptt.explain(net, x, d, t=t).state_gradient for t in (5, 33, 60)]
    wanted = torch.stack([torch.stack([e[-1 - lag].norm() for e in explained]).mean() for lag in range(5)])
    assert_close(found, wanted, "sampled", 1e-12)


T, I, H, O = 6, 2, 3, 2


def networks():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        like = {"dtype": torch.float64}
        return {
            "lesson": bptt.Elman(I, H, O, bias=True, leak=0.6, **like),
            "relu": bptt.Elman(I, H, O, "relu", **like),
            "gru": bptt.SequenceModel(bptt.GRU(I, H, 2, **like), O),
            "lstm": bptt.SequenceModel(bptt.LSTM(I, H, 2, proj_size=2, **like), O),
        }


def errors_of(net, x, d):
    h, records = record_layers(net, x)
    _, dz = error_and_adjoint(net, h, d, bptt.squared_error)
    return errors_by_lag(net, records, dz, h)


@pytest.mark.parametrize("name", networks())
def test_every_row_is_the_explanation_of_its_step(name, monkeypatch):
    monkeypatch.setattr("bptt.insight.lags.HELD", 4 * T * H * 2)  # a few steps at a time
    net, x, d = networks()[name], normal(T, I), normal(T, O, seed=1)
    found = errors_of(net, x, d)
    for t in range(1, T + 1):
        e = bptt.explain(net, x, d, t=t)
        for layer, d_states in e.state_gradients.items():
            assert_close(found.flow[layer][t - 1, :t], d_states.norm(dim=1).flip(0), f"flow of {layer}")
            assert not found.flow[layer][t - 1, t:].any()
        for weight, parts in e.contributions.items():
            assert_close(found.norm[weight][t - 1, :t], parts.flatten(1).norm(dim=1).flip(0), weight)
            assert_close(found.total[weight][t - 1], e.gradient[weight].norm(), weight)
            along = (parts * e.gradient[weight]).flatten(1).sum(1) / e.gradient[weight].square().sum()
            assert_close(found.share[weight][t - 1, :t], along.nan_to_num(0.0).flip(0), f"shares of {weight}")
