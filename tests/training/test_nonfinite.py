import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

import bptt
from bptt.training.nonfinite import first_non_finite
from support import normal


def network(kind, layers=2):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return bptt.SequenceModel(getattr(bptt, kind)(2, 3, layers, dtype=torch.float64), 1)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_finite_walk_has_none(kind):
    net = network(kind)
    assert first_non_finite(net, normal(6, 4, 2)) is None
    assert first_non_finite(net.recurrent, normal(6, 2)) is None
    assert first_non_finite(bptt.Elman(2, 3, 1, dtype=torch.float64), normal(6, 2)) is None


def test_weights_and_inputs_come_first():
    net = network("GRU")
    x = normal(6, 4, 2)
    x[3, 0, 0] = float("nan")
    assert first_non_finite(net, x) == "the input x"
    net.recurrent.weight_hh_l1.data[0, 0] = float("inf")
    assert first_non_finite(net, x) == "the weight recurrent.weight_hh_l1"


def test_the_step_and_layer_where_an_unbounded_state_overflows():
    net = bptt.SequenceModel(bptt.RNN(1, 1, 2, nonlinearity="relu", bias=False), 1)
    for weight in net.recurrent.parameters():
        weight.data.fill_(1.0)
    net.recurrent.weight_hh_l1.data.fill_(1e10)
    steps = torch.ones(8, 1)  # l1: 1, 2 + 1e10, ..., past 3.4e38 in its fifth step
    assert first_non_finite(net, steps) == "step 5, layer l1, activation Φ"
    assert first_non_finite(net, steps, before=20) == "step 25, layer l1, activation Φ"
    packed = pack_sequence([steps[:2], steps, steps[:6]], enforce_sorted=False)
    assert first_non_finite(net, packed) == "step 5, layer l1, activation Φ"
    net.recurrent.weight_hh_l0.data.fill_(1e20)
    assert first_non_finite(net, steps) == "step 3, layer l0, activation Φ"


def test_the_gate_of_a_cell_is_named():
    net = bptt.LSTM(1, 2)
    h, c = torch.zeros(1, 1, 2), torch.zeros(1, 1, 2)
    c[..., 1] = float("inf")
    assert first_non_finite(net, torch.ones(3, 1, 1), (h, c)) == "step 1, layer l0, cell state c before the step"
    net = bptt.GRU(1, 2)
    net.weight_hh_l0.data.fill_(3e38)
    h = torch.full((1, 1, 2), 1e38)
    assert first_non_finite(net, torch.ones(3, 1, 1), h).startswith("step 1, layer l0, recurrent part")
