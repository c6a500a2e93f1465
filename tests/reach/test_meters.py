import pytest
import torch

import bptt
from bptt.reach.meters import AllocatorMeter, TensorMeter, meter_on
from bptt.walks import kernels


def test_views_and_results_in_place_are_not_counted_twice():
    with TensorMeter() as meter:
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
    with TensorMeter() as meter:
        a.add_(1)
    assert meter.peak == 0


@pytest.mark.skipif(not kernels.available(), reason="installed without the native kernels")
def test_what_the_kernels_hold_for_themselves_is_told_apart():
    gru, x = bptt.GRU(3, 4), torch.zeros(50, 2, 3)
    y, _ = gru(x)
    with TensorMeter() as meter:
        a = torch.zeros(1000)
        torch.autograd.grad(y.sum(), [gru.weight_hh_l0])
        held = meter.live
    assert meter.scratch > 4 * 50 * 2 * 4 * 4, "the deltas of all rows, at least"
    assert meter.total >= held + meter.scratch
    assert meter.peak < meter.total
    with TensorMeter() as other:
        torch.zeros(1)
    assert (other.scratch, other.total) == (0, 4), "what was before is forgotten"
    del a


def test_what_autograd_keeps_is_counted_until_it_is_let_go():
    gru, x = bptt.GRU(3, 4), torch.zeros(50, 2, 3)
    with TensorMeter() as meter:
        y, _ = gru(x)
        kept = meter.live
        (gradient,) = torch.autograd.grad(y.sum(), [gru.weight_hh_l0])
    assert kept >= 4 * 50 * 2 * 4 * 5, "y and the four that a GRU keeps"
    del y, gradient, _
    assert meter.live == 0


def test_a_devices_allocator_counts_where_it_can(other_device):
    assert isinstance(meter_on(torch.device("cpu")), TensorMeter)
    held = torch.zeros(5000, device=other_device)
    with meter_on(other_device) as meter:
        a = torch.zeros(1024, device=other_device)
        b = a + 1
        del a
        assert meter.live == 4096
    assert isinstance(meter, AllocatorMeter)
    assert (meter.peak, meter.total, meter.scratch) == (8192, 8192, 0)
    del b, held
    assert meter.peak == 8192, "the peak is that of its block"
