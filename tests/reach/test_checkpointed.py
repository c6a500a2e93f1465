import numpy as np
import pytest
import torch
from torch import nn

import bptt
from bptt.reach.checkpointed import checkpointed
from bptt.reach.meters import TensorMeter
from bptt.reach.plan import plan_checkpoints
from full_bptt import EXACT, assert_gradients, full, sequence
from support import assert_close, mean_square, normal
from zoo import MAKERS, model_of


@pytest.mark.parametrize("reduction", ["whole", "mean"])
@pytest.mark.parametrize("segment", [1, 4, 16, 17, 100])
@pytest.mark.parametrize("name", MAKERS)
def test_it_is_full_bptt(name, segment, reduction):
    model, module = model_of(name)
    x, d = sequence(model)
    loss, _, last, gradients = full(model, module, x, d, mean_square)
    result = checkpointed(model, x, d, mean_square, segment=segment, reduction=reduction)
    assert_close(result.loss, loss, "loss", EXACT)
    assert_gradients(module, gradients)
    for found, wanted in zip(*map(tensors, (result.state, last)), strict=True):
        assert torch.allclose(found, wanted, rtol=0, atol=1e-14)
        assert not found.requires_grad


def tensors(state):
    if isinstance(state, torch.Tensor):
        return [state]
    parts = state.values() if isinstance(state, dict) else state
    return [leaf for part in parts for leaf in tensors(part)]


@pytest.mark.parametrize(("segment", "checkpoints"), [(1, 2), (2, 1), (2, 3), (3, 4)])
@pytest.mark.parametrize("name", ["LSTM", "cell"])
def test_with_fewer_checkpoints_too(name, segment, checkpoints):
    model, module = model_of(name)
    x, d = sequence(model)
    _, _, _, gradients = full(model, module, x, d, mean_square)
    schedule = plan_checkpoints(model, x, d, mean_square, segment=segment)
    few = type(schedule)(**{**vars(schedule), "checkpoints": checkpoints})
    checkpointed(model, x, d, mean_square, memory=few)
    assert_gradients(module, gradients)


def test_bit_for_bit_in_one_segment():
    model, module = model_of("SequenceModel")
    x, d = sequence(model)
    loss, _, last, gradients = full(model, module, x, d, mean_square)
    result = checkpointed(model, x, d, mean_square, segment=17)
    assert torch.equal(result.loss, loss)
    assert torch.equal(result.state, last)
    for weight, gradient in zip(module.parameters(), gradients, strict=True):
        assert torch.equal(weight.grad, gradient)


@pytest.mark.parametrize("segment", [5, 17])
def test_gradients_of_x_and_of_the_state_and_on_into_their_history(segment):
    gru, h_0 = model_of("GRU")[0], normal(2, 4, seed=3, grad=True)
    embedding = nn.Embedding(5, 3, dtype=torch.float64)
    words, d = torch.arange(34).view(17, 2) % 5, normal(17, 2, 4)
    found = []
    for learn in (lambda *a: mean_square(gru(a[0], a[2])[0], a[1]).backward(), with_state(gru, segment)):
        x, state = embedding(words), (2 * h_0).unsqueeze(0)
        x.retain_grad()
        learn(x, d, state)
        found.append([t.grad for t in (x, h_0, embedding.weight, gru.weight_ih_l0)])
        for t in (h_0, embedding.weight, *gru.parameters()):
            t.grad = None
    for gradient, wanted, what in zip(found[1], found[0], ("x", "h_0", "embedding", "W_ih"), strict=True):
        assert_close(gradient, wanted, what, EXACT)


def with_state(model, segment):
    return lambda x, d, state: checkpointed(model, x, d, mean_square, segment=segment, state=state)


def masked_cross_entropy(y, d):
    return nn.functional.cross_entropy(
        y.flatten(0, 1), d.flatten(), weight=torch.tensor([1.0, 5.0, 0.3, 2.0]).double(), ignore_index=-1
    )


def next_to_each_other(y, d):
    """A loss no sum over steps: of neighbours, and of the last step alone."""
    return (y[1:] * y[:-1]).mean().exp() + (y[-1] - d[-1]).norm()


@pytest.mark.parametrize("criterion", [masked_cross_entropy, next_to_each_other, nn.MSELoss(), bptt.squared_error])
def test_a_mean_over_all_steps_stays_one_whatever_the_criterion(criterion):
    model, module = model_of("GRU")
    x, d = sequence(model)
    if criterion is masked_cross_entropy:
        d = torch.arange(34).view(17, 2) % 5 - 1  # a fifth of the classes left out, unevenly over the segments
        d[:6] = -1
    loss, _, _, gradients = full(model, module, x, d, criterion)
    assert_close(checkpointed(model, x, d, criterion, segment=4).loss, loss, "loss", EXACT)
    assert_gradients(module, gradients)


def test_what_the_criterion_learns():
    model, _ = model_of("GRU")
    x, d = sequence(model)
    log_variance = torch.zeros(4, dtype=torch.float64, requires_grad=True)

    def likelihood(y, d):
        return ((y - d).square() * (-log_variance).exp() + log_variance).sum()

    likelihood(model(x)[0], d).backward()
    wanted, log_variance.grad = log_variance.grad, None
    for reduction in ("whole", "sum"):
        checkpointed(model, x, d, likelihood, segment=4, reduction=reduction)
        assert_close(log_variance.grad, wanted, reduction, EXACT)
        log_variance.grad = None


def test_gradients_are_added_and_frozen_weights_left_alone():
    model, module = model_of("SequenceModel")
    model.recurrent.weight_ih_l0.requires_grad_(False)
    x, d = sequence(model)
    mean_square(model(x)[0], d).backward()
    wanted = [None if w.grad is None else 2 * w.grad for w in module.parameters()]
    checkpointed(model, x, d, mean_square, segment=5)
    assert_gradients(module, wanted)


def test_memory_maps(tmp_path):
    model, module = model_of("GRU")
    x, d = sequence(model)
    for name, t in (("x", x), ("d", d)):
        np.save(tmp_path / f"{name}.npy", t.detach().numpy())
    maps = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xd"]
    _, _, _, gradients = full(model, module, x, d, mean_square)
    for reduction in ("whole", "mean"):
        module.zero_grad()
        checkpointed(model, *maps, mean_square, segment=4, reduction=reduction)
        assert_gradients(module, gradients)


def test_memory_stays_bounded():
    """A thousand steps, at a twentieth of what full BPTT holds."""
    model = bptt.SequenceModel(bptt.GRU(8, 32), 1)
    x, d = normal(1000, 1, 8, dtype=torch.float32), normal(1000, 1, 1, dtype=torch.float32)
    with TensorMeter() as whole:
        torch.autograd.grad(mean_square(model(x)[0], d), list(model.parameters()))
    gradients = sum(4 * w.numel() for w in model.parameters())
    with TensorMeter() as cut:
        checkpointed(model, x, d, mean_square, segment=31)
    assert cut.peak - 2 * gradients < 0.2 * whole.peak


def test_a_memory_is_kept_to():
    model = bptt.SequenceModel(bptt.LSTM(8, 32), 1)
    x, d = normal(3000, 1, 8, dtype=torch.float32), normal(3000, 1, 1, dtype=torch.float32)
    loss, _, _, gradients = full(model, model, x, d, mean_square)
    with TensorMeter() as meter:
        result = checkpointed(model, x, d, mean_square, memory="400kB")
    assert meter.peak <= 400_000
    assert_close(result.loss, loss, "loss")
    assert_gradients(model, gradients, 1e-4)


X, D = torch.zeros(6, 2, 3), torch.zeros(6, 2, 4)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"segment": 0}, ValueError, "segment must be at least 1"),
        ({"segment": 2.0}, TypeError, "segment must be an int"),
        ({"segment": 2, "memory": "1MB"}, ValueError, "pass one of them"),
        ({"memory": "a lot"}, ValueError, "memory='a lot' makes no sense"),
        ({"memory": 1}, ValueError, r"too little for 6 steps of GRU: the smallest that works is \d+ bytes"),
        ({"memory": 1.5}, TypeError, "memory must be an int of bytes or text"),
        ({"x": iter([X])}, TypeError, "d is a Tensor"),
        ({"x": iter([X]), "d": iter([D])}, TypeError, r"walks segments again.*bptt\.truncated"),
        ({"d": D[:5]}, ValueError, "x has 6 steps and d has 5"),
        ({"model": nn.GRU(3, 4, bidirectional=True)}, ValueError, "bidirectional"),
        ({"criterion": lambda y, d: y}, ValueError, r"scalar tensor, got shape \(\d, 2, 4\)"),
        ({"criterion": lambda y, d: 1.0}, TypeError, "scalar tensor, got float"),
        ({"reduction": "none"}, ValueError, "reduction must be"),
        ({"state": torch.zeros(1, 3, 4)}, ValueError, "hx"),
        ({"model": nn.GRU(3, 4).requires_grad_(False)}, ValueError, "nothing that requires gradients"),
    ],
)
def test_refused(change, error, words):
    arguments = {"model": bptt.GRU(3, 4), "x": X, "d": D, "criterion": mean_square, **change}
    with pytest.raises(error, match=words):
        checkpointed(**arguments)


def test_a_state_that_changes_its_form():
    W = torch.ones(3, requires_grad=True)

    def grows(x, state):
        return W * x, torch.ones(1 if state is None else len(state) + 1)

    with pytest.raises(ValueError, match=r"grows changed the form of its state"):
        checkpointed(grows, X, X, mean_square, segment=2)


def test_a_plan_for_another_length():
    model = bptt.GRU(3, 4)
    schedule = plan_checkpoints(model, X, D, mean_square, steps=10)
    with pytest.raises(ValueError, match="the plan is for 10 steps, but x has 6"):
        checkpointed(model, X, D, mean_square, memory=schedule)


def test_d_with_a_history():
    model, _ = model_of("GRU")
    x, d = sequence(model)
    d = d.detach().requires_grad_() * 2
    with pytest.raises(ValueError, match="d was computed from what requires gradients"):
        checkpointed(model, x, d, nn.MSELoss(), segment=4)
    checkpointed(model, x, d, nn.MSELoss(), segment=4, reduction="whole")
