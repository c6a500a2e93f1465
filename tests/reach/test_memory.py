import pytest
import torch
from torch import nn

from bptt.reach.memory import LinearBytes, measure, measure_once
from bptt.reach.pieces import Sequences
from bptt.reach.sequence_loss import SequenceLoss
from bptt.reach.walker import Walker
from support import normal
from zoo import laid_out, model_of


def needed(name, T=64):
    return needed_by(model_of(name, dtype=torch.float32)[0], T)


def needed_by(model, T=64):
    walker = Walker(model)
    x = laid_out(model, normal(T, 2, 3, dtype=torch.float32))
    data = Sequences(walker, x, torch.zeros_like(model(x, None)[0]).detach())
    return measure(SequenceLoss(walker, data, nn.MSELoss(), "mean", None))


@pytest.mark.parametrize(
    ("short", "long", "most", "at"),
    [
        (30, 50, float("inf"), {10: 30, 20: 50, 100: 210}),
        (30, 50, 20, {10: 30, 20: 50, 100: 50}),
        (30, 40, 15, {10: 30, 15: 40, 100: 40}),
        (40, 40, 5, {5: 40, 100: 40}),
        (50, 30, float("inf"), {20: 30, 100: 30}),
    ],
)
def test_a_line_goes_through_what_was_tried(short, long, most, at):
    line = LinearBytes.through(10, short, long, most)
    assert {steps: line(steps) for steps in at} == at


class LastOutput(nn.RNN):
    """A network whose state is cut from its outputs."""

    def forward(self, x, state=None):
        y, _ = super().forward(x, state)
        return 2 * y, y[-1:]


def test_a_state_cut_from_the_outputs_costs_all_of_them_again_where_it_has_an_adjoint():
    need = needed_by(LastOutput(3, 4))
    assert need.replay.tensors(100) - need.alone.tensors(100) > 0.9 * 4 * 100 * 2 * 4


@pytest.mark.parametrize("name", ["GRU", "nn.LSTM", "cell"])
def test_more_steps_need_more(name):
    need = needed(name)
    assert need(1000, 100, 9) < need(1000, 200, 9) < need(1000, 200, 50)
    assert need.checkpoint > 0 < need.sums


def test_of_one_step_all_is_taken_to_grow():
    need = needed("GRU", T=1)
    assert need.alone.tensors(10) == 10 * need.alone.tensors(1) > 0


def test_it_is_measured_anew_when_something_else_is_asked():
    model, x = nn.GRU(3, 4), normal(20, 2, 3, dtype=torch.float32)
    walker = Walker(model)
    data = Sequences(walker, x, torch.zeros(20, 2, 4))
    criterion = nn.MSELoss()
    first = measure_once(SequenceLoss(walker, data, criterion, "mean", None))
    assert measure_once(SequenceLoss(walker, data, criterion, "mean", None)) is first
    assert measure_once(SequenceLoss(walker, data, criterion, "whole", None)) is not first
