import pytest
import torch

import bptt
from bptt.reach.meter import Meter
from bptt.walks import cpu


def test_views_and_results_in_place_are_not_counted_twice():
    with Meter() as meter:
        a = torch.zeros(100)
        b = a.view(10, 10)[2:]
        b += 1
    assert meter.peak == meter.live == 400
    del a
    assert meter.live == 400, "the view keeps it alive"
    del b
    assert meter.live == 0
    assert meter.peak == 400


def test_inputs_are_not_counted():
    a = torch.zeros(100)
    with Meter() as meter:
        a.add_(1)
    assert meter.peak == 0


@pytest.mark.skipif(not cpu.available(), reason="installed without the native kernels")
def test_what_the_kernels_hold_for_themselves_is_told_apart():
    gru, x = bptt.GRU(3, 4), torch.zeros(50, 2, 3)
    y, _ = gru(x)
    with Meter() as meter:
        a = torch.zeros(1000)
        torch.autograd.grad(y.sum(), [gru.weight_hh_l0])
        held = meter.live
    assert meter.scratch > 4 * 50 * 2 * 4 * 4, "the deltas of all rows, at least"
    assert meter.total >= held + meter.scratch
    assert meter.peak < meter.total
    with Meter() as other:
        torch.zeros(1)
    assert (other.scratch, other.total) == (0, 4), "what was before is forgotten"
    del a


def test_what_autograd_keeps_is_counted_until_it_is_let_go():
    gru, x = bptt.GRU(3, 4), torch.zeros(50, 2, 3)
    with Meter() as meter:
        y, _ = gru(x)
        kept = meter.live
        (gradient,) = torch.autograd.grad(y.sum(), [gru.weight_hh_l0])
    assert kept >= 4 * 50 * 2 * 4 * 5, "y and the four that a GRU keeps"
    del y, gradient, _
    assert meter.live == 0
