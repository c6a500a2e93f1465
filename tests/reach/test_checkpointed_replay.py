"""What a replayed segment finds as it was: random numbers, buffers, states and files; gradients after an error."""

import random

import numpy as np
import pytest
import torch
from torch import nn

import bptt
from bptt.reach.checkpointed import checkpointed
from bptt.reach.plan import plan_checkpoints
from full_bptt import EXACT, assert_gradients
from support import assert_close, mean_square, normal
from zoo import model_of


class Noisy(nn.Module):
    """Dropout between two layers, and numbers of the generator's own."""

    def __init__(self):
        super().__init__()
        self.gru = bptt.GRU(3, 4, num_layers=2, dropout=0.5, dtype=torch.float64)

    def forward(self, x, state):
        y, state = self.gru(x, state)
        return y * torch.rand(4, dtype=torch.float64), state


@pytest.mark.parametrize("checkpoints", [1, 2, 4])
@pytest.mark.parametrize("reduction", ["whole", "mean"])
def test_random_numbers_are_replayed(checkpoints, reduction):
    model, x, d = Noisy(), normal(17, 2, 3), normal(17, 2, 4)
    torch.manual_seed(5)
    outputs, state = [], None
    for piece in x.split(4):
        y, state = model(piece, state)
        outputs.append(y)
    following = torch.rand(3)
    loss = mean_square(torch.cat(outputs), d)
    gradients = torch.autograd.grad(loss, list(model.parameters()))

    torch.manual_seed(5)
    schedule = plan_checkpoints(model, x, d, mean_square, segment=4)
    schedule = type(schedule)(**{**vars(schedule), "checkpoints": checkpoints})
    result = checkpointed(model, x, d, mean_square, memory=schedule, reduction=reduction)
    assert torch.equal(torch.rand(3), following), "the generator goes on as after one forward walk"
    assert_close(result.loss, loss, "loss", EXACT)
    assert_gradients(model, gradients)


@pytest.mark.parametrize("before", [None, 1.0])
@pytest.mark.parametrize("place", [0, 9, 16])
def test_an_error_leaves_every_gradient_alone(before, place):
    """It comes while a segment is replayed, the first of them, one in the middle, or the last."""
    gru, walks = model_of("GRU")[0], []

    def model(x, state):
        walks.append(x[0, 0, 0].item())
        if torch.is_grad_enabled() and place in x[:, 0, 0]:
            raise RuntimeError("lost")
        return gru(x, state)

    x = torch.arange(17.0).double().view(17, 1, 1).expand(17, 2, 3)
    for weight in gru.parameters():
        weight.grad = None if before is None else torch.full_like(weight, before)
    generator = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="lost"):
        checkpointed(model, x, normal(17, 2, 4), mean_square, segment=3)
    for weight in gru.parameters():
        assert weight.grad is None if before is None else (weight.grad == before).all()
    assert torch.equal(torch.get_rng_state(), generator)


class Surrounded(nn.Module):
    """Its outputs hang on a buffer that it changes, and on numbers of Python's and numpy's generators."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 4, dtype=torch.float64)
        self.norm = nn.BatchNorm1d(4, dtype=torch.float64)
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    def forward(self, x, state=None):
        y, state = self.gru(x, state)
        self.scale = self.scale * 1.5
        scale = self.scale * random.random() * np.random.rand()
        return self.norm(y.flatten(0, 1)).view_as(y) * scale, state


@pytest.mark.parametrize("checkpoints", [1, 2, 4])
@pytest.mark.parametrize("reduction", ["whole", "mean"])
def test_buffers_and_all_generators_are_replayed(checkpoints, reduction):
    x, d = normal(17, 2, 3), normal(17, 2, 4)
    model, twin = Surrounded(), Surrounded()
    twin.load_state_dict(model.state_dict())

    def seeded():
        random.seed(3)
        np.random.seed(4)

    seeded()
    outputs, state = [], None
    for piece in x.split(4):
        y, state = twin(piece, state)
        outputs.append(y)
    following = random.random(), np.random.rand()
    loss = mean_square(torch.cat(outputs), d)
    gradients = torch.autograd.grad(loss, list(twin.parameters()))
    seeded()
    schedule = plan_checkpoints(model, x, d, mean_square, segment=4)
    schedule = type(schedule)(**{**vars(schedule), "checkpoints": checkpoints})
    result = checkpointed(model, x, d, mean_square, memory=schedule, reduction=reduction)
    assert (random.random(), np.random.rand()) == following
    assert_close(result.loss, loss, "loss", EXACT)
    assert_gradients(model, gradients)
    for (name, buffer), (_, wanted) in zip(model.named_buffers(), twin.named_buffers(), strict=True):
        assert torch.equal(buffer, wanted), f"{name}, as after one forward walk"


def changing(x, state):
    """Changes its state in place."""
    state = x.new_zeros(2, 3) if state is None else state
    y = []
    for x_t in x:
        state.mul_(0.5).add_(x_t * WEIGHT)
        y.append(state + 0)
    return torch.stack(y), state


WEIGHT = torch.ones(3, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("cut", [{"segment": 4}, {"memory": "1MB"}, {"segment": 17}])
def test_a_state_that_is_changed_in_place(cut, grad):
    x, d, state = normal(17, 2, 3), normal(17, 2, 3), normal(2, 3, seed=8, grad=grad)
    before = state.detach().clone()
    loss = mean_square(changing(x, state.clone())[0], d)
    sources = [WEIGHT, state] if grad else [WEIGHT]
    wanted = torch.autograd.grad(loss, sources)
    result = checkpointed(changing, x, d, mean_square, state=state, **cut)
    assert torch.equal(state, before)
    assert_close(result.loss, loss, "loss", EXACT)
    for source, gradient in zip(sources, wanted, strict=True):
        assert_close(source.grad, gradient, "gradient", EXACT)
    WEIGHT.grad = None


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_a_file_is_never_written_to(tmp_path, mode):
    """A write to a map of a file that may only be read would end the process."""
    gru = model_of("GRU")[0]

    def model(x, state):
        return gru(x.mul_(2), state)

    def criterion(y, d):
        return (y - d.mul_(2)).square().mean()

    for name, t in (("x", normal(17, 2, 3)), ("d", normal(17, 2, 4))):
        np.save(tmp_path / f"{name}.npy", t.numpy())
    x, d = (np.load(tmp_path / f"{name}.npy", mmap_mode=mode) for name in "xd")
    with pytest.raises(ValueError, match="model changed x in place"):
        checkpointed(model, x, d, criterion, segment=4)
    for reduction in ("whole", "mean"):
        checkpointed(gru, x, d, criterion, segment=4, reduction=reduction)
    assert np.array_equal(np.load(tmp_path / "d.npy"), normal(17, 2, 4).numpy())
    assert np.array_equal(np.load(tmp_path / "x.npy"), normal(17, 2, 3).numpy())
    assert np.array_equal(d, normal(17, 2, 4).numpy())
