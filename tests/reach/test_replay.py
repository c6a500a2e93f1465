import pytest
import torch

from bptt.reach.pieces import Sequences
from bptt.reach.replay import CheckpointedBackward
from bptt.reach.sequence_loss import SequenceLoss
from bptt.reach.walker import Walker
from support import assert_close, mean_square, normal
from zoo import model_of


def loss(model, x, d, reduction):
    walker = Walker(model)
    return SequenceLoss(walker, Sequences(walker, x, d), mean_square, reduction, None)


@pytest.mark.parametrize("checkpoints", [1, 3])
def test_nothing_is_handed_over_before_it_lands(checkpoints):
    gru, _ = model_of("GRU")
    x, d = normal(9, 2, 3, grad=True), normal(9, 2, 4)
    backward = CheckpointedBackward(loss(gru, x, d, "mean"), 2, checkpoints)
    backward()
    assert x.grad is None
    assert all(w.grad is None for w in gru.parameters())
    backward.land()
    found = [t.grad for t in (x, *gru.parameters())]
    wanted = torch.autograd.grad(mean_square(gru(x)[0], d), [x, *gru.parameters()])
    for gradient, other in zip(found, wanted, strict=True):
        assert_close(gradient, other, "∂L/∂x, then the weights", 1e-12)


def test_steps_are_walked_as_often_as_scheduled():
    gru, walked = model_of("GRU")[0], []

    def model(x, state):
        walked.append((torch.is_grad_enabled(), int(x[0, 0, 0])))
        return gru(x, state)

    x = torch.arange(6.0).double().view(6, 1, 1).expand(6, 1, 3)
    CheckpointedBackward(loss(model, x, normal(6, 1, 4), "mean"), 1, 2)()
    assert [step for replayed, step in walked if replayed] == [5, 4, 3, 2, 1, 0]
    assert [step for replayed, step in walked if not replayed] == [0, 1, 2, 3, 4, 3, 0, 1]


def test_checkpoints_stand_in_one_tensor_for_each_part_of_the_state():
    lstm, _ = model_of("nn.LSTM")
    x, d = normal(9, 2, 3), normal(9, 2, 4)
    backward = CheckpointedBackward(loss(lstm, x, d, "whole"), 2)
    backward()
    assert [tuple(part.shape) for part in backward._kept] == [(4, 1, 2, 4), (4, 1, 2, 4)]
    _, state = lstm(x[:6])
    for part, wanted in zip(backward._kept, state, strict=True):
        assert_close(part[2], wanted, "the state before segment 3")
