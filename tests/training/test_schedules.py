import math

import pytest
import torch
from torch import nn

from bptt.insight.diagnosis.clipping import suggested_clip
from bptt.training.loop import Epoch
from bptt.training.options.forecast import ForecastOptions
from bptt.training.schedules import Clipping, LearningRate, out_of_patience


def rates(schedule, losses, epochs=6):
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    rate = LearningRate(optimizer, ForecastOptions(schedule=schedule, epochs=epochs))
    found = []
    for loss in losses:
        found.append(rate.now)
        optimizer.step()
        rate.epoch_done(loss)
    return found


def test_each_schedule():
    falling = [1 / n for n in range(1, 7)]
    assert rates("constant", falling) == [1.0] * 6
    assert rates("cosine", falling) == pytest.approx([(1 + math.cos(math.pi * n / 6)) / 2 for n in range(6)])
    assert rates("step", falling) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert rates("plateau", falling) == [1.0] * 6
    assert rates("plateau", [1.0] * 8) == [1.0] * 7 + [0.5]


def test_a_schedule_goes_on_from_where_it_was():
    config = ForecastOptions(epochs=6)
    pair = []
    for _ in range(2):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        pair.append((optimizer, LearningRate(optimizer, config)))
    (optimizer, rate), (other, again) = pair
    for _ in range(3):
        optimizer.step()
        rate.epoch_done(1.0)
    other.step()
    other.load_state_dict(optimizer.state_dict())
    again.load_state_dict(rate.state_dict())
    for _ in range(2):
        rate.epoch_done(1.0)
        again.epoch_done(1.0)
    assert again.now == rate.now


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def with_gradient(self, norm):
        self.weight.grad = torch.tensor([norm, 0.0])
        return self


def test_clip_shortens_what_is_longer():
    model, clipping = Model(), Clipping(2.0)
    assert clipping.clip(model.with_gradient(5.0)) == 5.0
    assert model.weight.grad.norm().item() == pytest.approx(2.0, rel=1e-5)
    assert clipping.clip(model.with_gradient(1.0)) == 1.0
    assert model.weight.grad.norm().item() == 1.0
    assert clipping.epoch_done() is None


def test_clip_auto_learns_its_limit_from_the_first_epoch():
    model, clipping = Model(), Clipping("auto")
    for norm in range(1, 22):
        clipping.clip(model.with_gradient(float(norm)))
        assert model.weight.grad.norm().item() == norm, "nothing is clipped in the first epoch"
    again = Clipping("auto")
    again.load_state_dict(clipping.state_dict())
    assert clipping.epoch_done() == again.epoch_done() == 19.0
    assert clipping.epoch_done() is None
    clipping.clip(model.with_gradient(30.0))
    assert model.weight.grad.norm().item() == pytest.approx(19.0, rel=1e-5)


def test_clip_auto_waits_for_the_epoch_by_which_it_has_seen_enough():
    model, clipping = Model(), Clipping("auto")
    for epoch in range(1, 21):
        clipping.clip(model.with_gradient(float(epoch)))
        assert (clipping.epoch_done() is None) == (epoch < 20)
    assert clipping.limit == suggested_clip(torch.arange(1.0, 21.0)) == pytest.approx(18.1)


def test_gradients_that_are_all_zero_set_no_limit():
    clipping = Clipping("auto")
    for _ in range(20):
        clipping.clip(Model().with_gradient(0.0))
    assert clipping.epoch_done() == math.inf


def test_patience():
    def epochs(*losses):
        return [Epoch(n, 1.0, loss, 0.1, 1.0, None) for n, loss in enumerate(losses, start=1)]

    assert not out_of_patience(epochs(3.0, 4.0, 5.0), None)
    assert not out_of_patience(epochs(3.0, 2.0, 2.5), 2)
    assert out_of_patience(epochs(3.0, 2.0, 2.5, 2.1), 2)
    assert not out_of_patience(epochs(3.0, 2.0, 2.5, 1.9), 2)
