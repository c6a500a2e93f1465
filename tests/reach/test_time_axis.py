"""Batches first or time first: every reach finds which axis of x and d is time, or asks."""

import numpy as np
import pytest
import torch
from torch import nn

import bptt
from bptt.reach.bias import truncation_bias
from bptt.reach.checkpointed import checkpointed
from bptt.reach.plan import plan_checkpoints
from bptt.reach.truncated import truncated
from support import assert_close, mean_square, normal

T, B = 12, 5


class Encoder(nn.Module):
    """A user's module: a recurrent one somewhere inside, and no word of its own on the layout."""

    def __init__(self, inner):
        super().__init__()
        self.parts = nn.ModuleDict({"core": inner, "out": nn.Linear(4, 2)})

    def forward(self, x, state=None):
        h, state = self.parts["core"](x, state)
        return self.parts["out"](h), state


class Cells(bptt.Cell):
    def __init__(self, batch_first):
        super().__init__()
        self.batch_first = batch_first
        self.inward = nn.Linear(3, 4)

    def step(self, x_t, state):
        h = torch.tanh(self.inward(x_t) + state)
        return h, h

    def initial_state(self, batch):
        return torch.zeros(batch, 4, dtype=torch.float64)


INNER = {
    "nn.LSTM": lambda first: nn.LSTM(3, 4, batch_first=first),
    "nn.RNN": lambda first: nn.RNN(3, 4, batch_first=first),
    "GRU": lambda first: bptt.GRU(3, 4, batch_first=first),
    "SequenceModel": lambda first: bptt.SequenceModel(bptt.RNN(3, 6, batch_first=first), 4),
    "cell": Cells,
}


def by_function(module):
    return lambda x, state: module(x, state)


@pytest.fixture(params=[f"{name} in a {around}" for name in INNER for around in ("module", "function")])
def twins(request):
    """A model of time first and the same of batches first, each with the module that has its weights."""
    name, where = request.param.split(" in a ")
    around = Encoder if where == "module" else by_function
    torch.manual_seed(3)
    inner = [INNER[name](first).double() for first in (False, True)]
    models = [around(module).double() if around is Encoder else around(module) for module in inner]
    modules = models if around is Encoder else inner
    modules[1].load_state_dict(modules[0].state_dict())
    return list(zip(models, modules, strict=True))


def given(model):
    x = normal(T, B, 3)
    return x, torch.tanh(normal(*model(x, None)[0].shape, seed=1))


def gradients(module):
    found = [weight.grad for weight in module.parameters()]
    module.zero_grad()
    return found


def learned(model, module, x, d, **arguments):
    """The losses and gradients of each window, and of the whole walk in segments."""
    windows = [(w.loss, gradients(module)) for w in truncated(model, x, d, mean_square, k1=3, k2=7, **arguments)]
    results = []
    for reduction in ("mean", "whole"):
        result = checkpointed(model, x, d, mean_square, segment=5, reduction=reduction, **arguments)
        results.append((result.loss, gradients(module)))
    return windows, results


def assert_same(found, wanted):
    for (loss, of_weights), (other_loss, of_others) in zip(found, wanted, strict=True):
        assert_close(loss, other_loss, "loss")
        for gradient, other in zip(of_weights, of_others, strict=True):
            assert_close(gradient, other, "a weight's gradient")


def test_batches_first_or_time_first_every_reach_finds_the_same(twins):
    (first, first_module), (second, second_module) = twins
    x, d = given(first)
    turned = x.transpose(0, 1), d.transpose(0, 1)
    found, wanted = learned(second, second_module, *turned), learned(first, first_module, x, d)
    assert_same(found[0], wanted[0])
    assert_same(found[1], wanted[1])
    rows = [truncation_bias(first, x, d, mean_square, k1=3), truncation_bias(second, *turned, mean_square, k1=3)]
    assert np.allclose(rows[0], rows[1])
    plans = [
        plan_checkpoints(first, x, d, mean_square, segment=5),
        plan_checkpoints(second, *turned, mean_square, segment=5),
    ]
    assert plans[0].steps == plans[1].steps == T


def test_d_of_class_numbers(twins):
    (first, first_module), (second, second_module) = twins
    x, y = given(first)
    d = torch.arange(T * B).view(T, B) % y.shape[-1]
    for _ in truncated(first, x, d, bptt.cross_entropy, k1=5):
        pass
    for _ in truncated(second, x.transpose(0, 1), d.T, bptt.cross_entropy, k1=5):
        pass
    assert_same([(x, gradients(second_module))], [(x, gradients(first_module))])


def mixed():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.lower, self.upper = nn.GRU(3, 4), nn.LSTM(4, 4, batch_first=True)

        def forward(self, x, state=None):
            below, above = (None, None) if state is None else state
            h, below = self.lower(x, below)
            y, above = self.upper(h.transpose(0, 1), above)
            return y.transpose(0, 1), (below, above)

    torch.manual_seed(1)
    return Mixed().double()


VERBS = {
    "truncated": lambda *a, **k: list(truncated(*a, k1=4, **k)),
    "checkpointed": lambda *a, **k: checkpointed(*a, segment=4, **k),
    "plan": plan_checkpoints,
    "bias": lambda *a, **k: truncation_bias(*a, k1=4, **k),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_where_they_differ_it_asks_and_takes_the_answer(verb):
    model, x, d = mixed(), normal(T, B, 3), normal(T, B, 4)
    asked = (
        r"which axis of x is time\? In Mixed, lower \(GRU\) has batch_first=False and upper \(LSTM\) has .*time=0"
    )
    with pytest.raises(ValueError, match=asked):
        verb(model, x, d, mean_square)
    verb(model, x, d, mean_square, time=0)
    whole = mean_square(model(x)[0], d)
    wanted = torch.autograd.grad(whole, list(model.parameters()))
    model.zero_grad()
    checkpointed(model, x, d, mean_square, segment=5, time=0)
    assert_same([(whole, gradients(model))], [(whole, wanted)])


class Turning(nn.Module):
    """Takes (T, B, ·) with a module of batches first inside, or the other way round, and says nothing."""

    def __init__(self, batch_first):
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=batch_first).double()

    def forward(self, x, state=None):
        y, state = self.gru(x.transpose(0, 1), state)
        return y.transpose(0, 1), state


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_model_that_turns_x_itself_is_found_by_its_state(verb, batch_first):
    model, x, d = Turning(batch_first), normal(T, B, 3), normal(T, B, 4)
    if not batch_first:
        x, d = x.transpose(0, 1), d.transpose(0, 1)
    with pytest.raises(ValueError, match=r"state .* does not fit"):
        verb(model, x, d, mean_square)
    verb(model, x, d, mean_square, time=int(not batch_first))


@pytest.mark.parametrize("model", [nn.GRU(3, 4), bptt.GRU(3, 4), Encoder(nn.GRU(3, 4))])
@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_state_of_another_batch(verb, model):
    x = torch.zeros(T, B, 3)
    with pytest.raises(ValueError, match=r"\(1, 3, 4\)"):
        verb(model, x, model(x, None)[0].detach(), mean_square, state=torch.zeros(1, 3, 4))


def test_a_function_of_no_module_that_walks_batches_first():
    W = normal(3, 4, grad=True)

    def leaky(x, state):
        state = x.new_zeros(x.shape[0], 4) if state is None else state
        y = []
        for x_t in x.unbind(1):
            state = torch.tanh(state + x_t @ W)
            y.append(state)
        return torch.stack(y, 1), state

    x, d = normal(20, 6, 3), normal(20, 6, 4)
    with pytest.raises(ValueError, match=r"leaky returned has a row for each of 8 steps.*Pass time=1"):
        list(truncated(leaky, x, d, mean_square, k1=8))
    assert [w.outputs.shape for w in truncated(leaky, x, d, mean_square, k1=4, time=1)] == [(20, 4, 4), (20, 2, 4)]


def test_two_dimensions():
    x, d = normal(T, 3), normal(T, 4)
    alone = nn.GRU(3, 4, batch_first=True).double()
    assert [w.stop for w in truncated(alone, x, d, mean_square, k1=5)] == [5, 10, 12]
    model = Encoder(alone).double()
    with pytest.raises(
        ValueError, match=r"x \(12, 3\) may be one sequence \(T, I\), time=0, or a batch \(B, T\), t"
    ):
        truncated(model, x, d, mean_square)
    assert [w.stop for w in truncated(model, x, d[:, :2], lambda y, d: y.sum(), k1=5, time=0)] == [5, 10, 12]

    def of_levels(x, state):
        return alone(x.unsqueeze(-1).expand(-1, -1, 3), state)

    windows = truncated(of_levels, x, x, lambda y, d: y.sum(), k1=2, time=1)
    assert [w.outputs.shape for w in windows] == [(12, 2, 4), (12, 1, 4)]


def test_one_part_of_x_is_enough_to_see_that_it_is_a_batch():
    lstm = nn.LSTM(4, 4, batch_first=True).double()

    def model(x, state):
        return lstm(torch.cat([x["level"].unsqueeze(-1), x["rest"]], -1), state)

    x = {"level": normal(B, T), "rest": normal(B, T, 3)}
    assert [w.stop for w in truncated(model, x, normal(B, T, 4), mean_square, k1=5)] == [5, 10, 12]


@pytest.mark.parametrize("time", [True, 1.0, "1"])
def test_time_is_an_int(time):
    with pytest.raises(TypeError, match="time must be 0, 1 or None"):
        truncated(nn.GRU(3, 4), normal(T, B, 3), normal(T, B, 4), mean_square, time=time)


@pytest.mark.parametrize("time", [2, -1])
def test_time_is_the_first_or_second_axis(time):
    with pytest.raises(ValueError, match=r"time must be 0, for x \(T, B, ·\), or 1, for \(B, T, ·\), got"):
        truncated(nn.GRU(3, 4), normal(T, B, 3), normal(T, B, 4), mean_square, time=time)


def test_a_known_module_has_its_own():
    model = nn.GRU(3, 4)
    with pytest.raises(ValueError, match=r"time=1, but for this GRU time is axis 0.*batch_first=True"):
        plan_checkpoints(model, torch.zeros(T, B, 3), torch.zeros(T, B, 4), mean_square, time=1)
    plan_checkpoints(model, torch.zeros(T, B, 3), torch.zeros(T, B, 4), mean_square, time=0)


@pytest.mark.parametrize("wrap", [lambda model: model, Encoder])
def test_a_stream_is_turned_for_a_model_of_batches(tmp_path, wrap):
    np.save(tmp_path / "series.npy", normal(62, 3).numpy())
    torch.manual_seed(2)
    found = []
    for first in (False, True):
        torch.manual_seed(2)
        model = wrap(nn.GRU(3, 4, batch_first=first)).double()
        stream = bptt.stream(tmp_path / "series.npy", batch=3, window=6, dtype=torch.float64)
        resets = torch.zeros(20, 3, dtype=torch.bool)
        resets[4, 1] = True
        given = stream, None, lambda y, d: y.square().sum() + d.sum()
        windows = list(truncated(model, *given, k1=6, resets=iter(resets.split(6))))
        assert [w.stop for w in windows] == [6, 12, 18, 20]
        found.append([(w.loss, gradients(model)) for w in windows[-1:]])
    assert_same(*found)


class OwnLoop(nn.Module):
    """A loop over steps of (B, T, ·), which says nowhere that it is one."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 5)

    def forward(self, x, state):
        y, state = [], x.new_zeros(len(x), 5) if state is None else state
        for x_t in x.unbind(1):
            state = self.cell(x_t, state)
            y.append(state)
        return torch.stack(y, 1), state


@pytest.mark.parametrize("batch", [1, 8, 4, 40])
def test_a_loop_of_batches_that_does_not_say_so_is_asked_for_its_axis(batch):
    model, x = OwnLoop(), torch.randn(batch, 4 if batch > 1 else 20, 3)
    d = torch.zeros(*x.shape[:2], 5)
    with pytest.raises(ValueError, match="time=1"):
        list(truncated(model, x, d, bptt.squared_error, k1=4))
    assert len(list(truncated(model, x, d, bptt.squared_error, k1=4, time=1))) == x.shape[1] // 4
