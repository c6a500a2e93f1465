import copy
import math
from types import SimpleNamespace

import pytest
import torch

import bptt
from bptt.insight.diagnosis.trial import Remedy, Trial, tried
from support import normal


def trial(T=80, net=None, **changes):
    net = net or bptt.Elman(1, 3, 1, dtype=torch.float64)
    net.W_x, net.W_s, net.W_y = normal(1, 3), 0.3 * normal(3, 3), normal(3, 1)
    x = normal(T, 1)
    found = Trial(net, x, x.roll(1, 0), torch.nn.MSELoss(), 0)
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def spoiled(net):
    with torch.no_grad():
        net.W_y.fill_(30)
    return net


def solved(net):
    """s_t holds x_t and x_{t-1}: what is desired is there."""
    solution = bptt.Elman(1, 3, 1, "identity", dtype=torch.float64)
    solution.W_x, solution.W_s = [[1.0, 0, 0]], [[0.0, 1, 0], [0, 0, 0], [0, 0, 0]]
    solution.W_y = [[0.0], [1], [0]]
    return solution


def test_what_helps_is_given_with_what_was_measured_and_what_harms_is_not_advised():
    remedies = [
        Remedy("worse", "Do worse.", spoiled),
        Remedy("better", "Do better.", solved),
        Remedy("the same", "Do nothing.", lambda net: net),
        Remedy("unknown", "Who knows."),
    ]
    better, same, unknown, worse = tried(remedies, trial())
    assert better.startswith("Do better.   (tried for 100 updates: the error on the last quarter of the steps is ")
    assert "Do nothing.   (tried for 100 updates: no gain yet, the error" in same
    assert unknown == "Who knows.   (untried)"
    assert worse.startswith("Not advised: worse (an error of ")


def test_a_remedy_that_is_slightly_worse_has_no_gain():
    slightly = SimpleNamespace(updates=100, plain=1.0, error=lambda remedy: 1.05)
    (said,) = tried([Remedy("worse", "Do worse.", spoiled)], slightly)
    assert said.startswith("Do worse.   (tried for 100 updates: no gain, the error")


def test_without_a_trial_or_with_too_large_a_network_all_is_marked_as_untried():
    remedies = [Remedy("worse", "Do worse.", spoiled)]
    assert tried(remedies, None) == tried(remedies, trial(updates=2)) == ["Do worse.   (untried)"]


def test_it_is_the_same_each_time_and_leaves_the_network_and_the_generator_alone():
    one, other = trial(), trial()
    before, random = copy.deepcopy(one.net.state_dict()), torch.get_rng_state()
    drawn = Remedy("random", "Draw.", lambda net: bptt.Elman(1, 3, 1, dtype=torch.float64))
    assert one.error(drawn) == one.error(drawn) == other.error(drawn)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(weight, before[name]) for name, weight in one.net.state_dict().items())
    assert all(weight.grad is None for weight in one.net.parameters())


def test_the_updates_are_adams():
    net = trial().net
    one = trial(updates=5)
    x, d = one.x[: one.learned], one.d[: one.learned]
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    errors = [torch.nn.functional.mse_loss(net(one.x)[0][one.learned :], one.d[one.learned :]).item()]
    for _ in range(5):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(net(x)[0], d).backward()
        optimizer.step()
    errors.append(torch.nn.functional.mse_loss(net(one.x)[0][one.learned :], one.d[one.learned :]).item())
    assert one.plain == pytest.approx(min(errors))


def test_gradients_are_clipped_where_that_is_the_remedy():
    one = trial()
    assert one.error(Remedy("clip", "", clip=math.inf)) == one.plain
    assert one.error(Remedy("clip", "", clip=1e-12)) != one.plain


def test_a_loss_that_is_not_finite_is_worst():
    assert trial().error(Remedy("lost", "", _lost)) == math.inf


def _lost(net):
    with torch.no_grad():
        net.W_y.fill_(math.nan)
    return net


def test_long_sequences_are_tried_on_their_end():
    one = trial(T=3000)
    assert one.x.shape[0] == 1000
    assert one.learned == 750
