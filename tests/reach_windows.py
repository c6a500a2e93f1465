"""Sequences, a loss and a step of learning, for the tests of truncated BPTT."""

import torch

from support import normal
from zoo import laid_out


def sequence(model, T=11, B=2, I=3):
    x = normal(T, B, I)
    y = model(laid_out(model, x), None)[0]
    return laid_out(model, x), torch.tanh(normal(*y.shape, seed=1))


def descend(module, gradients):
    with torch.no_grad():
        for weight, gradient in zip(module.parameters(), gradients, strict=True):
            weight -= 0.5 * gradient
