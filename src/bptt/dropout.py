"""Dropout with a random generator per thread, where one is chosen; and networks without it for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

_CHOSEN: ContextVar[torch.Generator | None] = ContextVar("generator of dropout", default=None)


@contextmanager
def dropout_from(generator: torch.Generator) -> Iterator[None]:
    """Draw the dropout of bptt's modules from a generator, in this thread; the process's own is not touched."""
    before = _CHOSEN.set(generator)
    try:
        yield
    finally:
        _CHOSEN.reset(before)


def chosen_generator() -> torch.Generator | None:
    """The generator of `dropout_from` in this thread; None for the process's own."""
    return _CHOSEN.get()


def dropout(x: Tensor, p: float) -> Tensor:
    """x with each number zeroed with probability p, and the others divided by 1 - p."""
    generator = None if torch.compiler.is_compiling() else _CHOSEN.get()  # compilers cannot read it
    if generator is None:
        return nn.functional.dropout(x, p, training=True)
    kept = torch.empty_like(x).bernoulli_(1 - p, generator=generator).div_(1 - p)
    return x * kept


@contextmanager
def without_dropout(net: nn.Module) -> Iterator[None]:
    """The network in eval mode; afterwards each of its modules is back in the mode it had."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
