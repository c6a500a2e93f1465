import pytest
import torch

import bptt
from bptt.equations import Weights
from bptt.insight.diagnosis.jacobians import RecordedSteps, jacobians, product_singular_values
from bptt.insight.plain_models import Record, record_layers
from bptt.walks.call import Call
from bptt.walks.reference import REFERENCE
from support import CELLS, assert_close, layer, normal

MODELS = {
    "elman": lambda: bptt.RNN(2, 4, leak=0.5),
    "gelu": lambda: bptt.RNN(2, 4, nonlinearity="gelu", leak=0.5),
    "gru": lambda: bptt.GRU(2, 4),
    "lstm": lambda: bptt.LSTM(2, 4),
    "projected": lambda: bptt.LSTM(2, 4, proj_size=3),
}


def flat(records):
    return [walk for of_layer in records for walk in of_layer]


def walk_of(module, T=6, B=3, seed=0):
    model = bptt.SequenceModel(module, 1).double()
    return flat(record_layers(model, normal(T, B, 2, seed=seed))[1])


@pytest.mark.parametrize("name", list(MODELS))
def test_jacobians_are_autograds(name):
    (walk,) = walk_of(MODELS[name]())
    steps = RecordedSteps.of(walk)
    found = jacobians(steps, torch.arange(6))
    sizes = steps.sizes
    state = [s[:1] for s in (torch.zeros(3, size, dtype=torch.float64) for size in sizes)]
    for t in range(6):
        p = torch.nn.functional.linear(walk.x[t, :1], walk.weights.W_ih, walk.weights.b_ih)

        def step(joined, p=p):
            after, _ = walk.cell.step(p, joined[None].split(sizes, -1), walk.weights)
            return torch.cat(after, -1)[0]

        joined = torch.cat(state, -1)[0].detach()
        assert_close(found[t, 0], torch.autograd.functional.jacobian(step, joined), f"J_{t}", 1e-13)
        state = list(step(joined)[None].split(sizes, -1))


@pytest.mark.parametrize("name", list(CELLS))
def test_every_cell_goes_back_as_its_walk_does(name):
    """Seeds taken back step by step arrive where the whole walk's adjoint does."""
    cell = CELLS[name]
    state, weights = layer(cell, 2, 3, 4, grad=False)
    x = normal(5, 2, 3)

    recording = REFERENCE.record(Call(cell, x, state, weights)).recording
    steps = RecordedSteps.of(Record("l0", False, Weights("", ""), recording))
    seeds = normal(2, 1, sum(steps.sizes), seed=3)
    wanted = recording.adjoint(None, seeds[:, 0].split(steps.sizes, -1)).d_state
    found = seeds[None]
    for t in (4, 3, 2, 1, 0):
        found = steps.back(torch.tensor([t]), found)
    assert_close(found[0, :, 0], torch.cat(wanted, -1), name, 1e-13)


def test_only_the_last_steps():
    (walk,) = walk_of(bptt.GRU(2, 4))
    whole, last = RecordedSteps.of(walk), RecordedSteps.of(walk, most=2)
    assert last.shape == (2, 3, 4)
    assert_close(jacobians(last, torch.tensor([1])), jacobians(whole, torch.tensor([5])), "last", 1e-15)


@pytest.mark.parametrize("g", [0.5, 1.0, 1.5])
def test_singular_values_of_scaled_rotations_are_powers(g):
    module = bptt.RNN(2, 4, nonlinearity="identity")
    torch.nn.init.orthogonal_(module.weight_hh_l0)
    module.weight_hh_l0.data.mul_(g)
    (walk,) = walk_of(module, T=20)
    lags = [1, 2, 8, 16]
    found = product_singular_values(RecordedSteps.of(walk), lags, windows=3)
    wanted = torch.stack([torch.full((4,), g, dtype=torch.float64) ** lag for lag in lags])
    assert_close(found, wanted, "powers", 1e-5)  # the rotation was drawn in float32


def test_singular_values_are_those_of_the_products():
    (walk,) = walk_of(bptt.LSTM(2, 4), T=5, B=1)
    steps = RecordedSteps.of(walk)
    J = jacobians(steps, torch.arange(5))[:, 0]
    found = product_singular_values(steps, [1, 3], windows=1)
    assert_close(found[0], torch.linalg.svdvals(J[2]), "one", 1e-12)
    assert_close(found[1], torch.linalg.svdvals(J[2] @ J[1] @ J[0]), "three", 1e-12)
