"""Each cell's adjoint against finite differences of its step: the lowest rung of the ladder."""

import pytest
import torch

from bptt.equations import Weights
from support import CELLS, layer, normal

CASES = [(name, None) for name in CELLS] + [("lstm", 2)]


@pytest.mark.parametrize(("name", "R"), CASES)
@pytest.mark.parametrize("bias", [True, False])
def test_step_adjoint_agrees_with_finite_differences(name, R, bias):
    cell, B, H = CELLS[name], 2, 3
    state, weights = layer(cell, B, 4, H, R, bias, grad=False)
    p = normal(B, cell.gates * H, seed=5)
    d_state = tuple(normal(*s.shape, seed=6 + i) for i, s in enumerate(state))
    _, kept = cell.step(p, state, weights)
    deltas, d_before = cell.step_adjoint(d_state, kept, weights)

    def loss(p, *state):
        after, _ = cell.step(p, state, weights)
        return sum((d * s).sum() for d, s in zip(d_state, after, strict=True))

    for found, i in [(deltas.ih, 0), *((d, i + 1) for i, d in enumerate(d_before))]:
        wanted = _finite_differences(loss, (p, *state), i)
        assert torch.allclose(found, wanted, rtol=1e-7, atol=1e-8), f"{name}: argument {i}"


@pytest.mark.parametrize("name", list(CELLS))
def test_delta_of_the_recurrent_part(name):
    cell, B, H = CELLS[name], 2, 3
    state, weights = layer(cell, B, 4, H, grad=False)
    p = normal(B, cell.gates * H, seed=5)
    d_state = tuple(normal(*s.shape, seed=6 + i) for i, s in enumerate(state))
    _, kept = cell.step(p, state, weights)
    deltas, _ = cell.step_adjoint(d_state, kept, weights)

    def loss(b_hh):
        after, _ = cell.step(p, state, Weights(weights.W_ih, weights.W_hh, weights.b_ih, b_hh))
        return sum((d * s).sum() for d, s in zip(d_state, after, strict=True))

    wanted = _finite_differences(loss, (weights.b_hh,), 0)
    assert torch.allclose(deltas.hh.sum(0), wanted, rtol=1e-7, atol=1e-8)


def _finite_differences(function, arguments, index, step=1e-5):
    """Central, fourth order: error O(step⁴)."""
    x = arguments[index]
    gradient = torch.zeros_like(x)
    for place in range(x.numel()):
        values = []
        for shift in (-2, -1, 1, 2):
            moved = x.clone()
            moved.view(-1)[place] += shift * step * 20
            values.append(float(function(*arguments[:index], moved, *arguments[index + 1 :])))
        far, near = values[3] - values[0], values[2] - values[1]
        gradient.view(-1)[place] = (8 * near - far) / (12 * step * 20)
    return gradient
