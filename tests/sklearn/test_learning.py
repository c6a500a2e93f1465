from copy import deepcopy

import numpy as np
import pytest
import torch
from torch.nn.functional import mse_loss

import bptt
from bptt.errors import TrainingDiverged
from bptt.sklearn.batch import Batch, batch_of
from bptt.sklearn.learning import Batches, WindowSizes, learn_piece
from bptt.training.schedules import Clipping


def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return bptt.SequenceModel(bptt.GRU(2, 3, dtype=torch.float64), 1)


def steps(T=24, B=2):
    draw = np.random.RandomState(0)
    X, D = draw.randn(B, T, 2), draw.randn(B, T, 1)
    return batch_of(list(X), list(D))


@pytest.mark.parametrize("k2", [4, 10])
def test_pieces_learn_what_truncated_learns_on_the_whole(k2):
    whole, alone, piecewise = steps(), model(), model()
    optimizer = torch.optim.Adam(alone.parameters())
    for _ in bptt.truncated(alone, whole.x, whole.d, torch.nn.MSELoss(), k1=4, k2=k2):
        torch.nn.utils.clip_grad_norm_(alone.parameters(), 0.1)
        optimizer.step()
        optimizer.zero_grad()
    optimizer, carried = torch.optim.Adam(piecewise.parameters()), None
    for first, stop in ((0, 4), (4, 16), (16, 24)):
        piece = Batch(*(part[first:stop] for part in whole[:3]))
        _, carried = learn_piece(piecewise, optimizer, Clipping(0.1), piece, mse_loss, WindowSizes(4, k2), carried)
    for name, weight in alone.state_dict().items():
        torch.testing.assert_close(piecewise.state_dict()[name], weight, rtol=1e-9, atol=1e-12)


def test_only_windows_with_a_target_are_updates_and_it_goes_back_over_k2():
    net, draw = model(), np.random.RandomState(0)
    x = draw.randn(8, 2)
    batch = batch_of([x], [np.array([[1.0]])])
    updates = Batches(net, 1, lambda _: batch, 1, mse_loss, WindowSizes(3, 5), draw)
    passed = updates.epoch(1)
    update = next(passed)
    assert update.numbers == 1
    found = net.recurrent.weight_ih_l0.grad.clone()
    net.zero_grad()
    with torch.no_grad():
        _, state = net(torch.tensor(x[:3])[:, None])
    y, _ = net(torch.tensor(x[3:])[:, None], state)
    mse_loss(y[-1, 0], torch.ones(1, dtype=torch.float64)).backward()
    torch.testing.assert_close(found, net.recurrent.weight_ih_l0.grad)
    assert next(passed, None) is None


def test_a_piece_whose_loss_is_not_finite_is_said_and_its_window_not_learned():
    whole, net = steps(), model()
    optimizer = torch.optim.Adam(net.parameters())
    _, carried = learn_piece(net, optimizer, Clipping(0.1), whole, mse_loss, WindowSizes(4, 10), None)
    whole.d[9] = 1e200
    wanted = model()
    wanted.load_state_dict(net.state_dict())
    other = torch.optim.Adam(wanted.parameters())
    other.load_state_dict(deepcopy(optimizer.state_dict()))
    first = Batch(*(part[:8] for part in whole[:3]))
    learn_piece(wanted, other, Clipping(0.1), first, mse_loss, WindowSizes(4, 10), carried)
    with pytest.raises(
        TrainingDiverged, match=r"the loss became inf, .* from step 9 of this piece; the weights before"
    ):
        learn_piece(net, optimizer, Clipping(0.1), whole, mse_loss, WindowSizes(4, 10), carried)
    for name, weight in wanted.state_dict().items():
        assert torch.equal(net.state_dict()[name], weight), name
