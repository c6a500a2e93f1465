import pytest
import torch

import bptt
from bptt.insight.plain_models import record_layers, walk_back
from support import assert_close, normal


@pytest.mark.parametrize("recurrent", [lambda: bptt.RNN(2, 4), lambda: bptt.LSTM(2, 4, 2, bidirectional=True)])
def test_the_recorded_walk_is_the_networks_own(recurrent):
    model = bptt.SequenceModel(recurrent(), 3).double()
    x = normal(6, 2)
    h, records = record_layers(model, x)
    assert_close(model.readout(h), model(x)[0], "outputs", 1e-13)
    assert len(records) == model.recurrent.num_layers
    assert all(len(layer) == model.recurrent.num_directions for layer in records)


def test_a_walk_cut_short_is_the_walk_of_the_shorter_sequence():
    model = bptt.SequenceModel(bptt.GRU(2, 4, 2), 3).double()
    x, d_outputs = normal(6, 2), normal(4, 1, 4)
    whole = walk_back(record_layers(model, x)[1], d_outputs)
    short = walk_back(record_layers(model, x[:4])[1], d_outputs)
    for a, b in zip(whole, short, strict=True):
        assert_close(a.delta, b.delta, a.layer, 1e-14)


def test_windows_of_a_walk_are_stretches_of_it():
    model = bptt.SequenceModel(bptt.LSTM(2, 4), 3).double()
    ((walk,),) = record_layers(model, normal(6, 2))[1]
    windows = walk.recording.windows(torch.tensor([[0, 2], [1, 3], [2, 4]]), torch.tensor([0, 0]))
    assert torch.equal(windows.x[:, 1], walk.x[2:5, 0])
    assert torch.equal(windows.before[1][:, 1], walk.recording.before[1][2:5, 0])
    assert torch.equal(windows.states[:, 1], walk.states[2:6, 0])
