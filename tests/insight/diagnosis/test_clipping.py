import math

import pytest
import torch

import bptt
from bptt.insight.diagnosis.clipping import GradientNorms, gradient_norms
from support import normal


def norm_of(net, loss):
    return torch.stack([g.norm() for g in torch.autograd.grad(loss, list(net.parameters()))]).norm().item()


def test_norms_are_those_of_truncated_windows_and_of_the_whole():
    net = bptt.Elman(2, 3, 1, dtype=torch.float64)
    x, d = normal(3, 10, 2), normal(3, 10, 1)
    found = gradient_norms(net, x, d, bptt.squared_error, 4, axis=1)
    wanted = []
    optimizer = torch.optim.SGD(net.parameters())
    for _ in bptt.truncated(net, x, d, bptt.squared_error, k1=4):
        wanted.append(torch.stack([p.grad.norm() for p in net.parameters()]).norm().item())
        optimizer.zero_grad()
    assert found.norms.tolist() == pytest.approx(wanted)
    assert found.whole == pytest.approx(norm_of(net, bptt.squared_error(net(x)[0], d)))
    assert all(p.grad is None for p in net.parameters())


def test_a_loss_that_cannot_be_cut_is_one_window():
    model = bptt.SequenceModel(bptt.GRU(2, 3), 1).double()
    found = gradient_norms(model, normal(6, 2, 2), normal(2, 1), lambda y, d: (y[-1] - d).square().sum(), None, 0)
    assert found.window == 6
    assert found.norms.tolist() == [found.whole]


def test_percentiles():
    norms = GradientNorms(5, torch.arange(0.0, 101.0), 7.0)
    assert (norms.clip, norms.low, norms.spread) == (90, 10, 9)
    assert GradientNorms(5, torch.zeros(3), 0.0).spread == math.inf
