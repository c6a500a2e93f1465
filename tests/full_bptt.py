"""Full BPTT by autograd, for the tests of checkpointed BPTT."""

import torch

from support import assert_close, normal
from zoo import laid_out

EXACT = 1e-12


def sequence(model, T=17, B=2, I=3):
    x = laid_out(model, normal(T, B, I))
    return x, torch.tanh(normal(*model(x, None)[0].shape, seed=1))


def full(model, module, x, d, criterion, state=None):
    """Full BPTT by autograd: the loss, the state and every gradient."""
    y, last = model(x, state)
    loss = criterion(y, d)
    gradients = torch.autograd.grad(loss, list(module.parameters()), allow_unused=True)
    return loss.detach(), y, last, gradients


def assert_gradients(module, gradients, tolerance=EXACT):
    for (name, weight), gradient in zip(module.named_parameters(), gradients, strict=True):
        if gradient is None:
            assert weight.grad is None, f"{name} takes no part"
        else:
            assert_close(weight.grad, gradient, f"∂L/∂{name}", tolerance)
