"""What a walk reads and changes beside its state: the random generators and the model's buffers.

Steps walked again must find what they found the first time, and a trial must leave no trace.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from .randomness import Randomness, randomness

NUMPY, PYTHON = 2_700, 25_000  # bytes of their generators' states: an array, and a tuple of 625 ints


class Modular(Protocol):
    """A model, by the modules it is made of."""

    modules: list[nn.Module]


class Buffer(NamedTuple):
    """A buffer of a module: the tensor, and the values it had."""

    module: nn.Module
    name: str
    tensor: Tensor
    values: Tensor

    def unchanged(self) -> bool:
        """Whether it is the same tensor, with the same values."""
        now = self.module._buffers.get(self.name)
        return now is self.tensor and torch.equal(self.tensor, self.values)

    def restore(self) -> None:
        """Put the tensor back, and its values."""
        if not self.unchanged():
            self.module._buffers[self.name] = self.tensor.copy_(self.values)


class Surroundings(NamedTuple):
    """The generators of torch, numpy and Python, and the buffers, as they were."""

    torch: Randomness
    numpy: Any
    python: Any
    buffers: list[Buffer]

    def restore(self) -> None:
        """Put everything back."""
        self.torch.restore()
        np.random.set_state(self.numpy)
        random.setstate(self.python)
        with torch.no_grad():
            for buffer in self.buffers:
                buffer.restore()

    def bytes_since(self, before: Surroundings) -> int:
        """The bytes it holds beyond those that it shares with an earlier one."""
        size = 0 if self.torch is before.torch else self.torch.cpu.numel()
        size += 0 if self.numpy is before.numpy else NUMPY
        size += 0 if self.python is before.python else PYTHON
        kept = {id(buffer) for buffer in before.buffers}
        return size + sum(buffer.values.nbytes for buffer in self.buffers if id(buffer) not in kept)


def surroundings(walker: Modular, tensors: list[Tensor], before: Surroundings | None = None) -> Surroundings:
    """The surroundings now; what did not change is shared with those before.

    Args:
        walker: the model.
        tensors: on whose devices numbers may be drawn, beside the CPU.
    """
    kept = {} if before is None else {(id(b.module), b.name): b for b in before.buffers}

    def snapshot(module: nn.Module, name: str, tensor: Tensor) -> Buffer:
        old = kept.get((id(module), name))
        return old if old is not None and old.unchanged() else Buffer(module, name, tensor, tensor.clone())

    with torch.no_grad():
        buffers = [
            snapshot(module, name, tensor)
            for module in walker.modules
            for name, tensor in module._buffers.items()
            if tensor is not None
        ]
    drawn = randomness(tensors, None if before is None else before.torch)
    of_numpy, of_python = np.random.get_state(), random.getstate()
    if before is not None:
        of_numpy = before.numpy if _same_numpy(of_numpy, before.numpy) else of_numpy
        of_python = before.python if of_python == before.python else of_python
    return Surroundings(drawn, of_numpy, of_python, buffers)


def _same_numpy(a: Any, b: Any) -> bool:
    return a[0] == b[0] and a[2:] == b[2:] and np.array_equal(a[1], b[1])


@contextmanager
def undisturbed(walker: Modular, tensors: list[Tensor]) -> Iterator[None]:
    """Everything as it was, afterwards."""
    before = surroundings(walker, tensors)
    try:
        yield
    finally:
        before.restore()
