import numpy as np
import pytest
import torch
from torch import nn

import bptt
from bptt.cell import Cell
from bptt.reach.walker import Walker
from support import normal
from zoo import MAKERS, Decay, laid_out, model_of


@pytest.mark.parametrize("name", MAKERS)
def test_walked_in_pieces_it_is_walked_whole(name):
    model, _ = model_of(name)
    walker, x = Walker(model), laid_out(model, normal(7, 2, 3))
    axis = walker.time_axis(x)
    assert axis == int(getattr(model, "batch_first", False))
    whole, last = walker.walk(x, None, axis)
    first, state = walker.walk(x.narrow(axis, 0, 3), None, axis)
    later, state = walker.walk(x.narrow(axis, 3, 4), state, axis)
    assert torch.allclose(torch.cat([first, later], axis), whole, atol=1e-12)
    assert repr(state)[:5] == repr(last)[:5]


def test_where_time_stands():
    time_major, batch_first = Walker(nn.GRU(3, 4)), Walker(nn.GRU(3, 4, batch_first=True))
    for x in (torch.zeros(5, 3), torch.zeros(5, 2, 3), torch.zeros(5, 2, dtype=torch.int64)):
        assert time_major.time_axis(x) == 0
    assert batch_first.time_axis(torch.zeros(2, 5, 3)) == 1
    assert batch_first.time_axis(torch.zeros(2, 5, dtype=torch.int64)) == 1
    assert batch_first.time_axis(torch.zeros(5, 3)) == 0
    assert batch_first.time_axis((torch.zeros(2, 5, 3), torch.zeros(2, 5))) == 1


def test_a_model_that_says_so_itself():
    def model(x, state):
        return x, x

    model.batch_first = True
    assert Walker(model).time_axis(torch.zeros(2, 5, 3)) == 1
    gru = nn.GRU(3, 4)
    gru.batch_first = np.True_
    assert Walker(gru).time_axis(torch.zeros(2, 5, 3)) == 1
    stacked = nn.Module()
    stacked.gru, stacked.batch_first = nn.GRU(3, 4, batch_first=True), False
    stacked.forward = model
    assert Walker(stacked).time_axis(torch.zeros(2, 5, 3)) == 0


def test_what_cannot_be_walked_in_pieces():
    with pytest.raises(TypeError, match=r"module or function \(x, state\) -> \(y, state\), got int"):
        Walker(3)
    with pytest.raises(ValueError, match=r"LSTM is bidirectional.*bidirectional=False"):
        Walker(nn.Sequential(nn.LSTM(3, 4, bidirectional=True)))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("module", [nn.LSTM(3, 4, 2), bptt.GRU(3, 4), bptt.SequenceModel(bptt.GRU(3, 4), 1)])
def test_reset_rows(module, batch):
    walker = Walker(module)
    _, state = module(torch.ones(2, batch, 3))
    rows = torch.zeros(batch, dtype=torch.bool)
    assert walker.reset(state, rows) is state
    rows[0] = True
    found = walker.reset(state, rows)
    for leaf, before in zip(*([s] if isinstance(s, torch.Tensor) else s for s in (found, state)), strict=True):
        assert (leaf[:, 0] == 0).all()
        assert torch.equal(leaf[:, 1:], before[:, 1:])
    assert walker.reset(None, rows) is None


def test_reset_to_the_initial_state_of_a_cell():
    cell = Decay(3, 4)
    _, state = cell(torch.ones(5, 3, 3))
    found = Walker(cell).reset(state, torch.tensor([False, True, True]))
    assert torch.allclose(found["h"][1:], cell.h_0.expand(2, -1))
    assert torch.equal(found["h"][0], state["h"][0])
    assert found["n"].tolist() == [5, 0, 0]


def test_a_state_of_unknown_layout_has_its_batch_where_its_size_is():
    def model(x, state):
        raise AssertionError("not walked here")

    walker = Walker(model)
    found = walker.reset(torch.ones(5, 3, 4), torch.tensor([True, False, False]))
    assert found.sum((0, 2)).tolist() == [0, 20, 20]
    with pytest.raises(ValueError, match=r"a state \(3, 3\) has 2 axes of 3 rows"):
        walker.reset(torch.ones(3, 3), torch.tensor([True, False, False]))


def test_arrays_come_in_the_dtype_of_the_weights():
    assert Walker(nn.GRU(3, 4).double()).like.dtype == torch.float64
    assert Walker(lambda x, state: (x, x)).like is None
    assert Walker(type("Free", (Cell,), {})()).like is None


@pytest.mark.parametrize(
    ("model", "state", "error", "words"),
    [
        (nn.GRU(3, 4), (torch.zeros(1, 2, 4),), TypeError, r"hx of GRU must be one tensor \(h_0: \(1, 2, 4\)\)"),
        (nn.GRU(3, 4), {}, TypeError, "hx of GRU must be one tensor"),
        (nn.GRU(3, 4), torch.zeros(1, 2, 4, dtype=torch.float64), TypeError, r"hx \(h_0\) is torch.float64"),
        (nn.RNN(3, 4), torch.zeros(1, 5, 4), ValueError, r"hx \(h_0\) has shape \(1, 5, 4\), but RNN needs"),
        (
            nn.LSTM(3, 4, 2, proj_size=1),
            torch.zeros(2, 2, 1),
            TypeError,
            r"a tuple .*\(2, 2, 1\) and c_0: \(2, 2, 4",
        ),
        (nn.LSTM(3, 4), (None, None), TypeError, r"hx \(h_0\) must be a torch.Tensor"),
    ],
)
def test_a_state_of_torch_that_does_not_fit(model, state, error, words):
    with pytest.raises(error, match=words):
        Walker(model).walk(torch.zeros(5, 2, 3), state, 0)


def test_a_state_of_torch_that_fits():
    lstm = nn.LSTM(3, 4, 2, batch_first=True)
    for x, axis in ((torch.zeros(2, 5, 3), 1), (torch.zeros(5, 3), 0)):
        y, state = Walker(lstm).walk(x, None, axis)
        assert torch.equal(Walker(lstm).walk(x, tuple(map(torch.zeros_like, state)), axis)[0], y)
