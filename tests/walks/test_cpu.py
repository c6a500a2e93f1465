"""The native kernels against the reference, and as operators."""

import math
import os
import signal
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import bptt
from bptt.equations import ACTIVATIONS
from bptt.walks import kernels
from bptt.walks.call import Call
from bptt.walks.cpu import FUSED
from bptt.walks.plain import PLAIN
from support import NATIVE, assert_close, layer, normal

pytestmark = pytest.mark.skipif(not kernels.available(), reason="installed without the native kernels")

BOUNDS = {torch.float64: 1e-12, torch.float32: 2e-5}


def compared(cell, x, state, weights, batch_sizes=None, seed=9):
    """(found, wanted): outputs, final state and all gradients, by the kernels and by autograd of the reference."""
    inputs = [x, *state, *(w for w in weights if w is not None)]
    results = []
    for backend in (FUSED, PLAIN):
        y, final = backend.walk(Call(cell, x, state, weights, batch_sizes))
        loss = sum((t * normal(*t.shape, seed=seed).to(t.dtype)).sum() for t in (y, *final))
        results.append([y, *final, *torch.autograd.grad(loss, inputs)])
    return zip(*results, strict=True)


def in_dtype(dtype, x, state, weights):
    def to(t):
        return t.detach().to(dtype).requires_grad_()

    return to(x), tuple(map(to, state)), weights.each(to)


@pytest.mark.parametrize("name", list(NATIVE))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("bias", [True, False])
def test_walk_and_gradients_are_the_references(name, dtype, bias):
    for T, B, I, H in ((1, 1, 1, 1), (7, 5, 3, 33), (3, 13, 40, 17), (300, 2, 2, 5)):
        state, weights = layer(NATIVE[name], B, I, H, bias=bias)
        weights = weights.each(lambda w: w / max(1, w.shape[-1]) ** 0.5 if w.dim() == 2 else w)
        case = in_dtype(dtype, normal(T, B, I), state, weights)
        for i, (found, wanted) in enumerate(compared(NATIVE[name], *case)):
            assert_close(found, wanted, f"{name} {(T, B, I, H)}, result {i}", BOUNDS[dtype])


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(list(NATIVE)),
    T=st.integers(1, 9),
    B=st.integers(1, 70),
    I=st.integers(1, 70),
    H=st.integers(1, 70),
)
def test_odd_shapes(name, T, B, I, H):
    state, weights = layer(NATIVE[name], B, I, H)
    weights = weights.each(lambda w: w / w.shape[-1] ** 0.5 if w.dim() == 2 else w)
    x = normal(T, B, I, grad=True)
    for i, (found, wanted) in enumerate(compared(NATIVE[name], x, state, weights)):
        assert_close(found, wanted, f"{name} {(T, B, I, H)}, result {i}", 1e-11)


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(["tanh", "leaky relu", "gru", "lstm"]),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=20),
    H=st.integers(1, 40),
)
def test_packed_rows(name, lengths, H):
    lengths = sorted(lengths, reverse=True)
    batch_sizes = [sum(n > t for n in lengths) for t in range(lengths[0])]
    state, weights = layer(NATIVE[name], len(lengths), 3, H)
    weights = weights.each(lambda w: w / w.shape[-1] ** 0.5 if w.dim() == 2 else w)
    x = normal(sum(lengths), 3, grad=True)
    for i, (found, wanted) in enumerate(compared(NATIVE[name], x, state, weights, batch_sizes)):
        assert_close(found, wanted, f"{name} {lengths}, result {i}", 1e-11)


@pytest.mark.parametrize("name", ["tanh", "gru", "lstm"])
def test_threads_change_nothing_but_rounding_and_repeat_bitwise(name):
    """Enough work for a team of threads."""
    cell, before = NATIVE[name], torch.get_num_threads()
    state, weights = layer(cell, 11, 40, 64)
    weights = weights.each(lambda w: w.detach() / 8)
    x = normal(40, 11, 40)
    results = []
    try:
        for threads in (1, 2, 2, 3):
            torch.set_num_threads(threads)
            w = weights.each(lambda w: w.clone().requires_grad_())
            y, _ = FUSED.walk(Call(cell, x, state, w))
            y.square().sum().backward()
            results.append([y.detach(), *(v.grad for v in w if v is not None)])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(results[1], results[2], strict=True))
    for threaded in results[1:]:
        for found, wanted in zip(threaded, results[0], strict=True):
            assert_close(found, wanted, name, 1e-12)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of os.fork
def test_a_forked_process_walks_on_threads_of_its_own():
    lstm, x = bptt.LSTM(8, 64, bidirectional=True), normal(100, 2, 8).float()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    wanted = lstm(x)[0].detach()
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # ends it, if it waits for the threads that it does not have
        os._exit(int(not torch.equal(lstm(x)[0], wanted)))
    torch.set_num_threads(threads)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("packed", [False, True], ids=["dense", "packed"])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_gradient_that_is_not_finite_reaches_the_weights_that_it_does_in_torch(kind, packed):
    T, B, I, H = 4, 5, 3, 17
    of_torch, ours = getattr(torch.nn, kind)(I, H), getattr(bptt, kind)(I, H)
    ours.load_state_dict(of_torch.state_dict())
    x = torch.randn(T, B, I)
    given = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor([4, 3, 3, 1, 1])) if packed else x
    for step, bad in [(0, math.nan), (0, math.inf), (2, math.nan), (2, math.inf)]:
        gradients = []
        for module in (of_torch, ours):
            y, _ = module(given)
            y = y.data if packed else y.flatten(0, 1)
            dy = torch.ones_like(y)
            dy[step * B, H - 1] = bad
            gradients.append(torch.autograd.grad(y, list(module.parameters()), dy))
        for (name, _), wanted, found in zip(ours.named_parameters(), *gradients, strict=True):
            assert torch.equal(found.isfinite(), wanted.isfinite()), f"{name}: {bad} at step {step}"
            if math.isnan(bad):
                assert torch.equal(found.isnan(), wanted.isnan()), f"{name}: {bad} at step {step}"


@pytest.mark.parametrize("name", ["tanh", "leaky sigmoid", "gru", "lstm"])
def test_strided_inputs_and_output_gradients(name):
    cell = NATIVE[name]
    state, weights = layer(cell, 3, 4, 5, grad=False)
    weights = weights.each(lambda w: w.requires_grad_())
    x = normal(3, 6, 4).transpose(0, 1)
    for dy in (
        torch.ones(1, dtype=torch.float64).expand(6, 3, 5),
        normal(3, 6, 5).transpose(0, 1),
        normal(6, 3, 10)[..., ::2],
        normal(1, 1, 5).expand(6, 3, 5),
        torch._neg_view(normal(6, 3, 5)),
    ):
        found = torch.autograd.grad(
            FUSED.walk(Call(cell, x, state, weights))[0],
            [w for w in weights if w is not None],
            dy,
        )
        y, _ = PLAIN.walk(Call(cell, x.contiguous(), state, weights))
        wanted = torch.autograd.grad(y, [w for w in weights if w is not None], dy.contiguous())
        for f, w in zip(found, wanted, strict=True):
            assert_close(f, w, f"{name}, dy {dy.stride()}", 1e-12)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_activations_over_the_whole_range(name, dtype):
    """One unit, no recurrence: the kernel is the activation and its derivative."""
    a = torch.cat([torch.linspace(-30, 30, 4001), torch.tensor([-1e4, -100.0, -1e-8, 0.0, 1e-30, 100.0, 1e4])])
    a = a.to(dtype)[None, :, None].requires_grad_()
    rnn = bptt.RNN(1, 1, nonlinearity=name, bias=False, dtype=dtype)
    with torch.no_grad():
        rnn.weight_ih_l0.fill_(1)
    y, _ = rnn(a)
    (found,) = torch.autograd.grad(y.sum(), a)
    exact = a.detach().double().requires_grad_()
    s = ACTIVATIONS[name].function(exact)
    (wanted,) = torch.autograd.grad(s.sum(), exact)
    close = {torch.float32: 3e-7, torch.float64: 1e-15}[dtype]
    assert torch.allclose(y.double(), s, rtol=4 * close, atol=close)
    assert torch.allclose(found.double(), wanted, rtol=8 * close, atol=4 * close)


def test_halves_are_computed_in_float32_and_rounded_once():
    module = bptt.GRU(3, 5, dtype=torch.bfloat16)
    x = normal(6, 2, 3, dtype=torch.bfloat16)
    wanted = bptt.GRU(3, 5)
    wanted.load_state_dict(module.state_dict())
    assert torch.equal(module(x)[0], wanted(x.float())[0].bfloat16())


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("layout", ["time first", "batch first", "unbatched"])
@pytest.mark.parametrize("given", [False, True])
def test_the_quick_walk_is_the_checked_one(kind, layers, layout, given):
    module = getattr(bptt, kind)(3, 5, layers, batch_first=layout == "batch first", dtype=torch.float64)
    batch = {"time first": (2,), "batch first": (4,), "unbatched": ()}[layout]
    x = normal(4, *(() if layout == "unbatched" else (2,)), 3, grad=True)
    state = [normal(layers, *batch, 5, seed=i, grad=True) for i in range(1 + (kind == "LSTM"))]
    hx = None if not given else tuple(state) if kind == "LSTM" else state[0]
    sources = [x, *module.parameters(), *(state if given else [])]
    taken, results, quick = [], [], module._quick_calls()

    def watched(walk, *arguments):
        taken.append(walk(*arguments))
        return taken[-1]

    for walks in ([partial(watched, walk) for walk in quick.walks], None):
        module._quick = quick._replace(walks=walks, stack=partial(watched, quick.stack))
        y, last = module(x, hx)
        last = last if kind == "LSTM" else (last,)
        loss = y.square().sum() + sum(s.sum() for s in last)
        first = torch.autograd.grad(loss, sources, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), sources)
        with torch.no_grad():
            plain, _ = module(x, hx)
        results.append([y, *last, *first, *second, plain])
        results[-1] += torch.autograd.grad(module(x, hx)[0].square().sum(), sources)
    assert len(taken) == 2 * layers + 1  # without gradients one for all layers
    assert None not in taken
    for short, long in zip(*results, strict=True):
        assert_close(short, long, kind, 1e-14)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("T", "B", "I"), [(1, 1, 3), (7, 3, 3), (400, 1, 64)])  # the last by a thread a direction
def test_both_directions_in_one_call_are_the_same_to_the_last_bit(kind, layers, T, B, I, monkeypatch):
    monkeypatch.setattr(kernels, "_computing", lambda: (2, False))
    module, x = getattr(bptt, kind)(I, 33, layers, bidirectional=True), normal(T, B, I).float()
    state = tuple(normal(2 * layers, B, 33, seed=i).float() for i in range(1 + (kind == "LSTM")))
    with torch.no_grad():
        for hx in (None, state if kind == "LSTM" else state[0]):
            y, last = module(x, hx)
            quick = module._quick
            module._quick = quick._replace(stack=None)
            assert torch.equal(y, module(x, hx)[0])
            assert all(map(torch.equal, last, module(x, hx)[1]))
            module._quick = quick


@pytest.mark.filterwarnings("ignore:Warning. Profiler clears events")  # torch 2.10's own
@pytest.mark.parametrize(("kind", "name"), [("RNN", "elman"), ("GRU", "gru"), ("LSTM", "lstm")])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_profiler_sees_each_walk_by_its_name(kind, name, layers):
    module, x = getattr(bptt, kind)(3, 5, layers, bidirectional=layers == 2), normal(4, 2, 3).float()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        module(x)[0].sum().backward()
        with torch.no_grad():
            module(x)
    walks = layers * module.num_directions
    seen = {event.key: event.count for event in profiler.key_averages() if event.key.startswith("bptt::")}
    forward = walks + 1  # without gradients one for all
    assert seen == {f"bptt::{name}_forward": forward, f"bptt::{name}_backward": walks}


def test_a_weight_changed_in_place_is_noticed_where_its_value_counts():
    module, x = bptt.RNN(3, 5, dtype=torch.float64), normal(4, 2, 3)
    y, _ = module(x)
    loss = y.square().sum()
    with torch.no_grad():
        module.bias_ih_l0.add_(1)
    torch.autograd.grad(loss, module.weight_hh_l0, retain_graph=True)  # which the bias has no part in
    with pytest.raises(RuntimeError, match="changed in place"):
        torch.autograd.grad(loss, module.weight_hh_l0, create_graph=True)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_strides_past_two_to_the_31(kind, tmp_path):
    """Steps of x and of the output's gradient that far apart, in a file with holes."""
    step = 2**31 + 40
    memory = torch.from_file(str(tmp_path / "holes"), shared=True, size=step + 40, dtype=torch.float32)
    module = getattr(bptt, kind)(4, 5)
    x, dy = memory.as_strided((2, 3, 4), (step, 4, 1)), memory.as_strided((2, 3, 5), (step, 5, 1), 20)
    x.copy_(normal(2, 3, 4)), dy.copy_(normal(2, 3, 5, seed=1))
    parameters = list(module.parameters())
    y, near = module(x)[0], module(x.clone())[0]
    assert torch.equal(y, near)
    found, wanted = torch.autograd.grad(y, parameters, dy), torch.autograd.grad(near, parameters, dy.clone())
    assert all(torch.equal(f, w) for f, w in zip(found, wanted, strict=True))
