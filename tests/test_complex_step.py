"""Gradients against the complex-step derivative of a plain NumPy loop.

f'(x) = Im f(x + ih) / h has no difference in it, so no rounding to hide behind: with h = 1e-30 it is exact to
the last bits, where finite differences stop at half of them (Squire & Trapp 1998).
"""

import numpy as np
import pytest
import torch
from scipy.special import erf

import bptt
from support import assert_close, normal

H = 1e-30


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


PHI = {
    "tanh": np.tanh,
    "relu": lambda a: np.where(a.real > 0, a, 0),
    "sigmoid": sigmoid,
    "softplus": lambda a: np.log(1 + np.exp(a)),
    "gelu": lambda a: a * (1 + erf(a / np.sqrt(2))) / 2,
    "identity": lambda a: a,
}


def rnn_step(phi, leak):
    def step(x, state, W_ih, W_hh, b_ih, b_hh):
        (h,) = state
        return ((1 - leak) * h + leak * phi(W_ih @ x + b_ih + W_hh @ h + b_hh),)

    return step


def gru_step(x, state, W_ih, W_hh, b_ih, b_hh):
    (h,) = state
    p, q = np.split(W_ih @ x + b_ih, 3), np.split(W_hh @ h + b_hh, 3)
    r, z = sigmoid(p[0] + q[0]), sigmoid(p[1] + q[1])
    return ((1 - z) * np.tanh(p[2] + r * q[2]) + z * h,)


def lstm_step(x, state, W_ih, W_hh, b_ih, b_hh, W_hr=None):
    h, c = state
    i, f, g, o = np.split(W_ih @ x + b_ih + W_hh @ h + b_hh, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return (h if W_hr is None else W_hr @ h), c


def loss(step, weights, x, state, targets):
    """Square error of every step's output, as a plain loop."""
    total = 0
    for x_t, d_t in zip(x, targets, strict=True):
        state = step(x_t, state, *weights)
        total = total + ((d_t - state[0]) ** 2).sum()
    return total


def complex_step(function, array):
    gradient = np.zeros(array.shape)
    for place in np.ndindex(array.shape):
        moved = array.astype(complex)
        moved[place] += 1j * H
        gradient[place] = function(moved).imag / H
    return gradient


CASES = [(name, lambda name=name: bptt.RNN(2, 3, nonlinearity=name, dtype=torch.float64)) for name in PHI]
CASES += [
    ("leaky tanh", lambda: bptt.RNN(2, 3, leak=0.3, dtype=torch.float64)),
    ("gru", lambda: bptt.GRU(2, 3, dtype=torch.float64)),
    ("lstm", lambda: bptt.LSTM(2, 3, dtype=torch.float64)),
    ("projected lstm", lambda: bptt.LSTM(2, 3, proj_size=2, dtype=torch.float64)),
]


@pytest.mark.parametrize(("name", "make"), CASES, ids=[name for name, _ in CASES])
def test_gradients_to_the_last_bits(name, make):
    torch.manual_seed(0)
    module = make()
    x, d = normal(6, 2), normal(6, module.proj_size or 3, seed=1)
    y, _ = module(x)
    ((d - y) ** 2).sum().backward()

    weights = [w.detach().numpy() for w in module.all_weights[0]]
    R = module.proj_size or 3
    state = (np.zeros(R), np.zeros(3)) if "lstm" in name else (np.zeros(R),)
    step = {"gru": gru_step, "lstm": lstm_step, "projected lstm": lstm_step}.get(name)
    step = step or rnn_step(PHI[name.removeprefix("leaky ")], getattr(module, "leak", 1.0))
    for i, parameter in enumerate(module.all_weights[0]):

        def of_weight(w, i=i):
            return loss(step, [*weights[:i], w, *weights[i + 1 :]], x.numpy(), state, d.numpy())

        wanted = torch.from_numpy(complex_step(of_weight, weights[i]))
        assert_close(parameter.grad, wanted, f"{name}: weight {i}", 1e-12)
