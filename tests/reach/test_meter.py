import torch

import bptt
from bptt.reach.meter import Meter


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


def test_what_autograd_keeps_is_counted_until_it_is_let_go():
    gru, x = bptt.GRU(3, 4), torch.zeros(50, 2, 3)
    with Meter() as meter:
        y, _ = gru(x)
        kept = meter.live
        (gradient,) = torch.autograd.grad(y.sum(), [gru.weight_hh_l0])
    assert kept >= 4 * 50 * 2 * 4 * 5, "y and the four that a GRU keeps"
    del y, gradient, _
    assert meter.live == 0
