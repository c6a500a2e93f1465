import random

import numpy as np
import pytest
import torch
from torch import nn

from bptt.reach.side_effects import NUMPY, PYTHON, side_state, undisturbed
from bptt.reach.walker import Walker


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("steps", torch.zeros(3))
        self.register_buffer("walks", torch.zeros(()))
        self.register_buffer("table", torch.ones(100))
        self.register_buffer("none", None)

    def forward(self, x, state):
        self.steps.add_(1)
        self.walks = self.walks + 1  # another tensor each time
        return x, x


def draw():
    return torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()


def test_restored_all_is_as_it_was():
    model = Counting()
    walker, walks = Walker(model), model.walks
    before = side_state(walker, [])
    drawn = draw()
    model(1, None)
    before.restore()
    assert draw() == drawn
    assert model.steps.tolist() == [0, 0, 0]
    assert model.walks is walks
    assert model.walks == 0


def test_what_did_not_change_is_kept_once():
    model = Counting()
    walker = Walker(model)
    before = side_state(walker, [])
    same = side_state(walker, [], before)
    assert same.bytes_since(before) == 0
    model(1, None)
    assert side_state(walker, [], before).bytes_since(before) == 3 * 4 + 4
    draw()
    drawn = side_state(walker, [], same).bytes_since(same)
    assert drawn == 3 * 4 + 4 + torch.get_rng_state().numel() + NUMPY + PYTHON


def test_undisturbed_by_an_error_too():
    model = Counting()

    def fails():
        with undisturbed(Walker(model), []):
            model(1, None)
            raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        fails()
    assert model.walks == 0


def test_the_devices_generators_too(other_device):
    walker, on = Walker(Counting()), torch.zeros(1, device=other_device)
    state = side_state(walker, [on])
    first = torch.rand(5, device=other_device)
    assert side_state(walker, [on], state).bytes_since(state) > 0
    state.restore()
    assert torch.equal(torch.rand(5, device=other_device), first)
