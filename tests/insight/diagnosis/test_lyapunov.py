"""Exponents beside closed forms and published values."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import bptt
from bptt.equations import Activation, ElmanEquations, Weights
from bptt.insight.diagnosis.jacobians import RecordedSteps, jacobians
from bptt.insight.diagnosis.lyapunov import lyapunov_exponents
from bptt.insight.plain_models import Record, record_layers
from bptt.walks.call import Call
from bptt.walks.reference import REFERENCE
from support import CELLS, assert_close, layer, normal

IDENTITY = "identity"


def flat(records):
    return [walk for of_layer in records for walk in of_layer]


def steps_of(call):
    return RecordedSteps.of(Record("l0", False, Weights("", ""), REFERENCE.record(call).recording))


def walked(cell, W_hh, T, h0=None, x=None, W_ih=None):
    """The steps of a cell without biases, from a state h0, by default without input."""
    S = W_hh.shape[1]
    x = torch.zeros(T, 1, 1, dtype=torch.float64) if x is None else x
    W_ih = torch.zeros(cell.gates * S, x.shape[-1], dtype=torch.float64) if W_ih is None else W_ih
    weights = Weights(W_ih, W_hh)
    state = (torch.zeros(1, S, dtype=torch.float64) if h0 is None else h0,)
    return RecordedSteps.of(
        Record("l0", False, Weights("", ""), REFERENCE.record(Call(cell, x, state, weights)).recording)
    )


@pytest.mark.parametrize("g", [0.5, 1.0, 1.5])
def test_a_scaled_rotation_has_one_rate_for_all(g):
    Q = torch.linalg.qr(normal(5, 5)).Q
    found = lyapunov_exponents(walked(CELLS[IDENTITY], g * Q, 40))
    assert torch.allclose(found, torch.full((5,), math.log(g), dtype=torch.float64), atol=1e-13)


def test_a_diagonal_has_the_logarithms_of_its_entries():
    diagonal = torch.tensor([0.3, -1.2, 0.9, 1.0], dtype=torch.float64)
    found = lyapunov_exponents(walked(CELLS[IDENTITY], diagonal.diag(), 30))
    assert_close(found, diagonal.abs().log().sort(descending=True).values, "diagonal", 1e-13)


def test_a_direction_that_is_lost_has_minus_infinity():
    diagonal = torch.tensor([0.5, 0.0], dtype=torch.float64)
    found = lyapunov_exponents(walked(CELLS[IDENTITY], diagonal.diag(), 10))
    assert found.tolist() == [pytest.approx(math.log(0.5)), -math.inf]


def test_leaky_units_at_rest_lose_what_leaks():
    """Without weights each step keeps 1 - α of the state."""
    found = lyapunov_exponents(walked(ElmanEquations(leak=0.1), torch.zeros(3, 3, dtype=torch.float64), 20))
    assert torch.allclose(found, torch.full((3,), math.log(0.9), dtype=torch.float64))


def test_a_contractive_network_at_rest_has_its_eigenvalues():
    """tanh at 0 has slope 1: the exponents are log|eigenvalue| of W_s, here of one with real, distinct ones."""
    V = normal(4, 4)
    eigenvalues = torch.tensor([0.8, 0.4, 0.2, 0.1], dtype=torch.float64)
    W = V @ eigenvalues.diag() @ V.inverse()
    found = lyapunov_exponents(walked(CELLS["tanh"], W, 400))
    assert torch.allclose(found, eigenvalues.log(), atol=1e-6)


SQUARE = Activation(lambda a: a * a, lambda a: 2 * a, keeps="input", name="square")
ONE_MINUS_SQUARE = Activation(lambda a: 1 - a * a, lambda a: -2 * a, keeps="input", name="one minus square")


def test_the_logistic_map():
    """x -> 4 x (1 - x) = 1 - (2 x - 1)², one unit; its exponent is log 2 (Ulam & von Neumann 1947)."""
    start, W = torch.tensor([[0.3]], dtype=torch.float64), torch.tensor([[2.0]], dtype=torch.float64)
    ones = torch.ones(3000, 1, 1, dtype=torch.float64)
    steps = walked(
        ElmanEquations(ONE_MINUS_SQUARE), W, 3000, start, ones, torch.tensor([[-1.0]], dtype=torch.float64)
    )
    assert lyapunov_exponents(steps)[0].item() == pytest.approx(math.log(2), abs=5e-3)


def test_the_henon_map():
    """x' = 1 - 1.4 x² + 0.3 y, y' = x: 0.4192 and -1.6232 (Sprott 2003), their sum log 0.3, the area a step keeps.

    Four units that square: (x ± 1)² and (y ± 1)². In them x = (u_1 - u_2) / 4 and x² = (u_1 + u_2) / 2 - 1 are
    linear, and so is the next x. Two of the four directions are lost at every step.
    """
    x = torch.tensor([0.25, -0.25, 0, 0], dtype=torch.float64)
    y = torch.tensor([0, 0, 0.25, -0.25], dtype=torch.float64)
    x_squared = torch.tensor([0.5, 0.5, 0, 0], dtype=torch.float64)  # less 1
    following = -1.4 * x_squared + 0.3 * y  # and 1 + 1.4 beside it
    W = torch.stack([following, following, x, x])
    beside = torch.tensor([[2.4 + 1], [2.4 - 1], [1], [-1]], dtype=torch.float64)
    start = torch.tensor([[1.1**2, 0.9**2, 1.1**2, 0.9**2]], dtype=torch.float64)
    T = 6000
    found = lyapunov_exponents(
        walked(ElmanEquations(SQUARE), W, T, start, torch.ones(T, 1, 1, dtype=torch.float64), beside)
    )
    assert found[0].item() == pytest.approx(0.4192, abs=0.015)
    assert found[:2].sum().item() == pytest.approx(math.log(0.3), abs=2e-3)
    assert found[2] < -30


class Given(NamedTuple):
    J: torch.Tensor  # (T, B, S·S)


class GivenJacobians:
    """A cell whose Jacobians are what one likes."""

    def step_adjoint(self, d_state, kept, weights):
        S = d_state[0].shape[-1]
        return None, (d_state[0] @ kept.J.reshape(*kept.J.shape[:2], S, S),)


def test_products_of_random_matrices():
    """Independent Gaussian matrices: λ_i = (log(2 g²/N) + ψ((N - i + 1)/2)) / 2 (Newman 1986), at every size N."""
    N, T, g = 8, 4000, 1.3
    J = g / math.sqrt(N) * normal(T, 1, N * N)
    steps = RecordedSteps(GivenJacobians(), None, Given(J), [N])
    i = torch.arange(1, N + 1, dtype=torch.float64)
    wanted = 0.5 * (math.log(2 * g * g / N) + torch.digamma((N - i + 1) / 2))
    found = lyapunov_exponents(steps)
    assert torch.allclose(found, wanted, atol=0.03), (found, wanted)


def mean_field_exponent(g):
    """λ_1 of s_t = tanh(W s_{t-1}), W ~ N(0, g²/N), for N to infinity: ½ log(g² <tanh'(h)²>) with h ~ N(0, q) and
    q = g² <tanh(h)²> (Molgedey, Schuchhardt & Schuster 1992; the discrete case of Engelken et al. 2020)."""
    z, q = np.linspace(-8, 8, 4001), 1.0
    w = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    for _ in range(200):
        q = g * g * w @ np.tanh(np.sqrt(q) * z) ** 2
    return 0.5 * math.log(g * g * w @ (1 - np.tanh(np.sqrt(q) * z) ** 2) ** 2)


def random_network(g, N, T):
    return walked(CELLS["tanh"], g / math.sqrt(N) * normal(N, N), T, normal(1, N))


def test_a_chaotic_network_has_the_exponent_of_mean_field_theory():
    """Measured with N = 400 at g = 3: 0.303 to 0.304; for N to infinity 0.310."""
    assert mean_field_exponent(3.0) == pytest.approx(0.3102, abs=1e-4)
    found = lyapunov_exponents(random_network(3.0, 200, 500), count=2)
    assert found[0].item() == pytest.approx(mean_field_exponent(3.0), abs=0.04)


def test_chaos_begins_above_g_1():
    """Sompolinsky, Crisanti & Sommers (1988)."""
    assert lyapunov_exponents(random_network(0.8, 100, 300), count=1)[0] < -0.1
    assert lyapunov_exponents(random_network(2.0, 100, 300), count=1)[0] > 0.05


@pytest.mark.parametrize("name", [name for name in CELLS if name not in ("relu", "own")])
def test_the_exponents_sum_to_the_mean_of_log_det(name):
    cell = CELLS[name]
    state, weights = layer(cell, 2, 3, 4, grad=False)
    weights = weights.each(lambda w: 0.3 * w)  # large ones saturate, and det J drowns in rounding
    x = normal(12, 2, 3)
    steps = RecordedSteps.of(
        Record("l0", False, Weights("", ""), REFERENCE.record(Call(cell, x, state, weights)).recording)
    )
    wanted = torch.linalg.slogdet(jacobians(steps, torch.arange(12)))[1].mean()
    assert_close(lyapunov_exponents(steps, warm_up=0).sum(), wanted, name, 1e-9)


@settings(max_examples=5, deadline=None)
@given(st.permutations(range(4)))
def test_the_order_of_the_units_does_not_matter(order):
    module = bptt.GRU(2, 4).double()
    model = bptt.SequenceModel(module, 1).double()
    for p in module.parameters():
        torch.nn.init.normal_(p, generator=torch.Generator().manual_seed(0))
    x = normal(400, 2)
    (walk,) = flat(record_layers(model, x)[1])
    before = lyapunov_exponents(RecordedSteps.of(walk))
    rows = torch.cat([torch.tensor(order) + 4 * gate for gate in range(3)])
    with torch.no_grad():
        for name, p in module.named_parameters():
            moved = p[rows]
            p.copy_(moved[:, list(order)] if name == "weight_hh_l0" else moved)
    (walk,) = flat(record_layers(model, x)[1])
    assert torch.allclose(lyapunov_exponents(RecordedSteps.of(walk)), before, atol=1e-3)


def test_the_first_few_are_the_first_few_of_all():
    (walk,) = flat(record_layers(bptt.SequenceModel(bptt.LSTM(2, 4), 1).double(), normal(300, 2, 2))[1])
    steps = RecordedSteps.of(walk)
    some = lyapunov_exponents(steps, count=2)
    assert torch.allclose(some, lyapunov_exponents(steps)[:2], atol=5e-3)


def test_no_random_state_is_touched():
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    lyapunov_exponents(random_network(1.0, 5, 10), count=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpys)
