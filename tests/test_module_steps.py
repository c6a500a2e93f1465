"""The modules' `step`, a time step at a time, beside the whole walk."""

import pytest
import torch

import bptt
from bptt.trees import leaves
from support import SINE, assert_close, normal

KINDS = ["RNN", "GRU", "LSTM"]


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_step_by_step_is_the_whole_walk_and_its_gradient(kind, layers, batch_first, batched):
    module = getattr(bptt, kind)(3, 5, layers, batch_first=batch_first, dtype=torch.float64)
    x = normal(6, 2, 3, grad=True) if batched else normal(6, 3, grad=True)
    state, found = None, []
    for x_t in x:
        y_t, state = module.step(x_t, state)
        found.append(y_t)
    y, last = module(x.transpose(0, 1) if batched and batch_first else x)
    y = y.transpose(0, 1) if batched and batch_first else y
    parameters = [x, *module.parameters()]
    assert_close(torch.stack(found), y, "y", 1e-13)
    for f, w in zip(leaves(state), leaves(last), strict=True):
        assert_close(f, w, "state", 1e-13)
    gradients = (torch.autograd.grad(o.square().sum(), parameters) for o in (torch.stack(found), y))
    for f, w in zip(*gradients, strict=True):
        assert_close(f, w, "gradient", 1e-10)


@pytest.mark.parametrize("H", [5, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_a_walk_of_length_one(kind, dtype, H):
    module = getattr(bptt, kind)(3, H, 2).to(dtype)
    x, hx = normal(2, 3, dtype=dtype), normal(2, 2, H, dtype=dtype)
    hx = (hx, hx) if kind == "LSTM" else hx
    y_t, state = module.step(x, hx)
    y, last = module(x.unsqueeze(0), hx)
    for f, w in zip(leaves((y_t, state)), leaves((y[0], last)), strict=True):
        assert torch.equal(f, w)
    with torch.autocast("cpu", torch.bfloat16):
        assert module.float().step(x.float())[0].dtype == torch.bfloat16


def test_a_step_with_a_projection_and_an_activation_of_ones_own():
    for module in (bptt.LSTM(3, 5, proj_size=2), bptt.RNN(3, 5, nonlinearity=SINE)):
        x = normal(1, 2, 3, dtype=torch.float32)
        y_t, state = module.step(x[0])
        y, last = module(x)
        for f, w in zip(leaves((y_t, state)), leaves((y[0], last)), strict=True):
            assert torch.equal(f, w)


def test_what_cannot_be_stepped():
    with pytest.raises(ValueError, match=r"bidirectional.*bidirectional=False"):
        bptt.GRU(3, 5, bidirectional=True).step(torch.zeros(3))
    gru = bptt.GRU(3, 5, 2)
    for x, error, words in (
        (torch.zeros(1, 1, 3), ValueError, r"x_t is \(1, 1, 3\).*\(B, 3\)"),
        (torch.zeros(4), ValueError, r"x_t is \(4,\)"),
        ([1.0], TypeError, "x_t must be a torch.Tensor"),
        (torch.zeros(3).double(), TypeError, "float64"),
    ):
        with pytest.raises(error, match=words):
            gru.step(x)
    with pytest.raises(TypeError, match=r"x_t must be a torch\.Tensor, got NoneType"):
        bptt.GRU(3, 5).step(None)
    for hx in (torch.zeros(3, 1, 5), torch.zeros(2, 5), torch.zeros(2, 2, 5), torch.zeros(())):
        with pytest.raises(ValueError, match=r"h_0\) has shape"):
            gru.step(torch.zeros(1, 3), hx)
    with pytest.raises(ValueError, match=r"h_0\) has shape"):
        gru.step(torch.zeros(3), torch.zeros(2, 1, 5))
    with pytest.raises(TypeError, match="one tensor"):
        gru.step(torch.zeros(1, 3), (torch.zeros(2, 1, 5), torch.zeros(2, 1, 5)))


@pytest.mark.parametrize("shape", [(3,), (1, 3), (20, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_step_without_gradients_as_they_walk(kind, shape):
    model = bptt.SequenceModel(getattr(bptt, kind)(3, 5, 3, dtype=torch.float64), 2)
    state, found, x = None, [], normal(6, *shape)
    with torch.no_grad():
        for x_t in x:
            y_t, state = model.step(x_t, state)
            found.append(y_t)
        y, last = model(x)
    for f, w in zip((torch.stack(found), *leaves(state)), (y, *leaves(last)), strict=True):
        assert_close(f, w, kind, 1e-13)
