"""Truncated and checkpointed BPTT on each device: what a device gives, against the CPU."""

import copy
import re

import numpy as np
import pytest
import torch
from torch import nn

import bptt
from bptt.reach.meters import meter_on
from devices import OTHER
from support import assert_close, normal
from zoo import MAKERS, laid_out, model_of

X, D = normal(40, 2, 3), normal(40, 2, 4)
RESETS = torch.zeros(22, 2, dtype=torch.bool)
RESETS[10, 0] = RESETS[20] = True


def pair(name, device):
    """A model on the CPU, one with the same weights on a device, x and d of 22 steps for them."""
    model, module = model_of(name)
    there, there_module = model_of(name)
    there_module.to(device)
    x = laid_out(model, X[:22])
    d = normal(*model(x, None)[0].shape)
    return model, module, there, there_module, x, d


def assert_gradients(found, wanted):
    for (name, w), f in zip(wanted.named_parameters(), found.parameters(), strict=True):
        if w.grad is not None:
            assert_close(f.grad.cpu(), w.grad, name)


NO_RESETS = ("function", "stack")  # which a function and a nested state do not take


@pytest.mark.parametrize("name", list(MAKERS))
@pytest.mark.parametrize("resets", [None, RESETS], ids=["none", "some"])
def test_truncated(name, resets, other_device):
    if resets is not None and name in NO_RESETS:
        pytest.skip("it takes no resets")
    model, module, there, there_module, x, d = pair(name, other_device)
    at = None if resets is None else laid_out(model, resets)
    wanted = list(bptt.truncated(model, x, d, nn.MSELoss(), k1=7, k2=11, resets=at))
    on_device = None if at is None else at.to(other_device)
    found = list(
        bptt.truncated(there, x.to(other_device), d.to(other_device), nn.MSELoss(), k1=7, k2=11, resets=on_device)
    )
    for f, w in zip(found, wanted, strict=True):
        assert f.outputs.device.type == f.loss.device.type == other_device.type
        assert_close(f.outputs.cpu(), w.outputs, "y")
        assert_close(f.loss.cpu(), w.loss, "loss")
    assert_gradients(there_module, module)


@pytest.mark.parametrize("name", list(MAKERS))
@pytest.mark.parametrize("reduction", ["whole", "mean"])
def test_checkpointed(name, reduction, other_device):
    model, module, there, there_module, x, d = pair(name, other_device)
    wanted = bptt.checkpointed(model, x, d, nn.MSELoss(), segment=7, reduction=reduction)
    found = bptt.checkpointed(
        there, x.to(other_device), d.to(other_device), nn.MSELoss(), segment=7, reduction=reduction
    )
    assert_close(found.loss.cpu(), wanted.loss, "loss")
    assert_gradients(there_module, module)


@pytest.mark.parametrize("name", ["RNN", "Elman", "cell"])
def test_a_memory_is_kept_to_by_the_devices_count(name, other_device):
    model, _ = model_of(name, H=16, dtype=torch.float32)
    model.to(other_device)
    x = laid_out(model, normal(150, 2, 3, dtype=torch.float32)).to(other_device)
    d = torch.zeros_like(model(x, None)[0]).detach()
    plan = bptt.plan_checkpoints(model, x, d, nn.MSELoss(), memory="120kB")
    with meter_on(other_device) as meter:
        bptt.checkpointed(model, x, d, nn.MSELoss(), memory=plan)
    assert meter.total <= 120_000
    assert abs(plan.bytes / meter.total - 1) < 0.2, f"predicted {plan.bytes}, measured {meter.total}"


@pytest.mark.parametrize("way", ["truncated", "checkpointed", "chunks"])
def test_memory_maps_go_to_the_device_piece_by_piece(way, device, tmp_path):
    for name, t in (("x", X), ("d", D)):
        np.save(tmp_path / f"{name}.npy", t.float().numpy())
    x, d = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xd")
    wanted = bptt.GRU(3, 4)
    found = copy.deepcopy(wanted).to(device)
    for model in (wanted, found):
        if way == "checkpointed":
            bptt.checkpointed(model, x, d, nn.MSELoss(), segment=7)
        elif way == "truncated":
            list(bptt.truncated(model, x, d, nn.MSELoss(), k1=7, k2=11))
        else:
            chunks = zip(np.array_split(x, 5), torch.tensor(d).split(8), strict=True)
            list(bptt.truncated(model, chunks, None, nn.MSELoss(), k1=7, k2=11))
    assert_gradients(found, wanted)


def test_truncation_bias(device):
    model, _, there, _, x, d = pair("GRU", device)
    wanted = bptt.truncation_bias(model, x, d, nn.MSELoss(), k1=10)
    for f, w in zip(
        bptt.truncation_bias(there, x.to(device), d.to(device), nn.MSELoss(), k1=10), wanted, strict=True
    ):
        assert f == pytest.approx(w)


def test_dropout_is_drawn_again_when_a_segment_is_replayed(device):
    model = nn.GRU(3, 4, num_layers=2, dropout=0.5, dtype=torch.float64).to(device)
    x, d = X.to(device), D.to(device)
    gradients = []
    for segment in (40, 10):
        torch.manual_seed(3)
        model.zero_grad()
        bptt.checkpointed(lambda x, s, segment=segment: steps_by(model, x, s), x, d, nn.MSELoss(), segment=segment)
        gradients.append([w.grad.cpu() for w in model.parameters()])
    for whole, cut in zip(*gradients, strict=True):
        assert_close(cut, whole, "gradient")


def steps_by(model, x, state):
    """The model walked in tens of steps, so that dropout is drawn in the same order however x is cut."""
    outputs = []
    for part in x.split(10):
        y, state = model(part, state)
        outputs.append(y)
    return torch.cat(outputs), state


@pytest.mark.skipif(OTHER != "emulated", reason="a real device does not show when it copies")
def test_the_next_piece_is_copied_while_the_device_works(other_device):
    model = bptt.GRU(3, 4).to(other_device)
    windows = bptt.truncated(model, X.numpy(), D.numpy(), nn.MSELoss(), k1=10)
    next(windows)
    assert {copy.target.shape for copy in torch.emulated.late} == {(10, 2, 3), (10, 2, 4)}
    assert all(copy.stream is not torch.emulated.current_stream() for copy in torch.emulated.late)
    rest = list(windows)
    assert (len(rest), torch.emulated.late) == (3, [])


class PerStep(nn.CrossEntropyLoss):
    """A cross entropy of (T, B, C) and class numbers (T, B)."""

    def forward(self, y, d):
        return super().forward(y.flatten(0, 1), d.flatten())


VERBS = {
    "truncated": lambda model, x, d, criterion, state: list(
        bptt.truncated(model, x, d, criterion, k1=10, state=state)
    ),
    "checkpointed": lambda model, x, d, criterion, state: bptt.checkpointed(
        model, x, d, criterion, segment=10, state=state
    ),
    "plan": lambda model, x, d, criterion, state: bptt.plan_checkpoints(model, x, d, criterion, state=state),
    "bias": lambda model, x, d, criterion, state: bptt.truncation_bias(model, x, d, criterion, state=state),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=list(VERBS))
@pytest.mark.parametrize("kind", [bptt.GRU, nn.GRU])
@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ("x", r"x is on cpu, but the weights of this GRU are on"),
        ("d", r"d is on cpu, but y is on"),
        ("state", r"hx \(h_0\) is on cpu, but the weights of this GRU are on"),
        ("weight", r"weight of this PerStep is on cpu, but y is on"),
    ],
)
def test_a_tensor_on_another_device_is_named(verb, kind, odd, words, other_device):
    given = {
        "model": kind(3, 4, dtype=torch.float64),
        "x": X,
        "d": torch.zeros(40, 2, dtype=torch.long),
        "criterion": PerStep(weight=torch.ones(4, dtype=torch.float64)),
        "state": torch.zeros(1, 2, 4, dtype=torch.float64),
    }
    stays = "criterion" if odd == "weight" else odd
    for name in set(given) - {stays}:
        given[name] = given[name].to(other_device)
    with pytest.raises(ValueError, match=words + rf" {OTHER}:0; move one of them"):
        verb(**given)


def test_a_plain_models_input_on_another_device_is_named(other_device):
    model = model_of("stack")[0].to(other_device)
    with pytest.raises(ValueError, match=r"x is on cpu, but the weights of this Stack are on"):
        bptt.checkpointed(model, X, D.to(other_device), nn.MSELoss(), segment=10)
    state = model(X[:1].to(other_device))[1]
    state = ((state[0][0].cpu(), state[0][1]), state[1])
    with pytest.raises(ValueError, match=r"hx \(h_0\) is on cpu|state is on cpu, but the weights of this Stack"):
        bptt.checkpointed(model, X.to(other_device), D.to(other_device), nn.MSELoss(), segment=10, state=state)


@pytest.mark.skipif(OTHER != "emulated", reason="the memory of a real device is left alone")
class TestOutOfMemory:
    """The emulated device can be given a limit."""

    @pytest.fixture
    def limited(self, monkeypatch):
        def limit(more):
            now = None if more is None else torch.emulated.memory_allocated() + more
            monkeypatch.setattr(torch.emulated, "limit", now)

        return limit

    def test_truncated_goes_on_where_it_stood(self, limited, other_device):
        model = bptt.GRU(3, 4, dtype=torch.float64)
        there = copy.deepcopy(model).to(other_device)
        wanted = list(bptt.truncated(model, X, D, nn.MSELoss(), k1=10))
        windows = bptt.truncated(there, X.to(other_device), D.to(other_device), nn.MSELoss(), k1=10)
        found = [next(windows)]
        before = [w.grad.clone() for w in there.parameters()]
        limited(5000)
        with pytest.raises(torch.OutOfMemoryError) as caught:
            next(windows)
        said = (
            r"GPU 0 is out of memory: \d+ bytes more were needed, and \d+ bytes of \d+ bytes are free, in a window"
        )
        assert re.match(rf"{said} of 10 steps that goes back 10; take a smaller batch", str(caught.value))
        del caught
        assert all(torch.equal(w.grad, b) for w, b in zip(there.parameters(), before, strict=True))
        limited(None)
        found += windows
        assert [(w.start, w.stop) for w in found] == [(w.start, w.stop) for w in wanted]
        assert_gradients(there, model)

    def test_checkpointed_leaves_every_gradient_alone(self, limited, other_device):
        model = nn.RNN(3, 4, dtype=torch.float64).to(other_device)
        x, d = X.to(other_device), D.to(other_device)
        limited(3000)
        with pytest.raises(
            torch.OutOfMemoryError, match=r"in checkpointed BPTT of 40 steps; take a smaller memory"
        ):
            bptt.checkpointed(model, x, d, nn.MSELoss(), segment=20)
        assert all(w.grad is None for w in model.parameters())
