import pytest
import torch

import bptt
from bptt.insight.every_error import every_error
from bptt.insight.walks import error_and_adjoint, record
from support import assert_close, normal

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


def pairs_of(net, x, d, **choices):
    h, records = record(net, x)
    _, dz = error_and_adjoint(net, h, d, "squared_error")
    return every_error(net, records, dz, h, **choices)


@pytest.mark.parametrize("name", networks())
def test_every_row_is_the_explanation_of_its_step(name, monkeypatch):
    monkeypatch.setattr("bptt.insight.every_error.ROOM", 4 * T * H * 2)  # a few steps at a time
    net, x, d = networks()[name], normal(T, I), normal(T, O, seed=1)
    pairs = pairs_of(net, x, d, detail=T, matrices=True)
    for t in range(1, T + 1):
        e = bptt.explain(net, x, d, t)
        for layer, d_states in e.state_gradients.items():
            assert_close(pairs.states[layer][t - 1, :t], d_states.flip(0), f"∂E_{t}/∂s of {layer}")
            assert_close(pairs.flow[layer][t - 1, :t], d_states.norm(dim=1).flip(0), f"flow of {layer}")
            assert_close(pairs.deltas[layer][t - 1, :t], e.deltas[layer].flip(0), f"delta of {layer}")
            assert not pairs.flow[layer][t - 1, t:].any()
        for weight, parts in e.contributions.items():
            assert_close(pairs.parts[weight][t - 1, :t], parts.flip(0), f"contributions to {weight}")
            assert_close(pairs.norm[weight][t - 1, :t], parts.flatten(1).norm(dim=1).flip(0), weight)
            assert_close(pairs.total[weight][t - 1], e.gradient[weight].norm(), weight)
            along = (parts * e.gradient[weight]).flatten(1).sum(1) / e.gradient[weight].square().sum()
            assert_close(pairs.share[weight][t - 1, :t], along.nan_to_num(0.0).flip(0), f"shares of {weight}")


def test_only_the_vectors_of_the_lags_asked_for_are_kept():
    pairs = pairs_of(networks()["gru"], normal(T, I), normal(T, O, seed=1), detail=2)
    assert tuple(pairs.deltas["l1"].shape) == (T, 2, 3 * H)
    assert pairs.parts == {}
