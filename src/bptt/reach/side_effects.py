"""Side effects of a walk: draws from the random generators, and changes of the model's buffers.

Steps walked again must find what they found the first time, and a trial must leave no trace.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..dropout import chosen_generator

NUMPY, PYTHON = 2_700, 25_000  # bytes of their generators' states: an array, and a tuple of 625 ints


class Modular(Protocol):
    """A model, by the modules it is made of."""

    modules: list[nn.Module]


class GeneratorState(NamedTuple):
    """The state of a random generator, and the function that sets it."""

    put: Callable[[Any], object]
    state: Any
    bytes: int

    def unchanged(self, now: Any) -> bool:
        """Whether nothing was drawn until the state became `now`."""
        if isinstance(now, Tensor):
            return torch.equal(self.state, now)
        if isinstance(now[1], np.ndarray):
            return (*self.state[:1], *self.state[2:]) == (*now[:1], *now[2:]) and np.array_equal(
                self.state[1], now[1]
            )
        return self.state == now

    def restore(self) -> None:
        """Put the generator back to this state."""
        self.put(self.state)


class Buffer(NamedTuple):
    """A buffer of a module: the tensor, and the values it had."""

    module: nn.Module
    name: str
    tensor: Tensor
    values: Tensor

    @property
    def bytes(self) -> int:
        """Of the values."""
        return self.values.nbytes

    def unchanged(self) -> bool:
        """Whether it is the same tensor, with the same values."""
        now = self.module._buffers.get(self.name)
        return now is self.tensor and torch.equal(self.tensor, self.values)

    def restore(self) -> None:
        """Put the tensor back, and its values."""
        if not self.unchanged():
            self.module._buffers[self.name] = self.tensor.copy_(self.values)


class SideState(NamedTuple):
    """The generators of torch, its devices, numpy, Python and dropout, and the model's buffers, as they were."""

    generators: list[GeneratorState]
    buffers: list[Buffer]

    def restore(self) -> None:
        """Put everything back."""
        with torch.no_grad():
            for part in (*self.generators, *self.buffers):
                part.restore()

    def bytes_since(self, before: SideState) -> int:
        """The bytes it holds beyond those that it shares with an earlier one."""
        shared = {id(part) for part in (*before.generators, *before.buffers)}
        return sum(part.bytes for part in (*self.generators, *self.buffers) if id(part) not in shared)


def side_state(walker: Modular, tensors: Iterable[Tensor], before: SideState | None = None) -> SideState:
    """The generators and buffers now; those that did not change are shared with `before`.

    Args:
        walker: the model.
        tensors: on whose devices numbers may be drawn, beside the CPU.
        before: an earlier one, of the same walker and devices.
    """
    generators = generator_states(tensors)
    if before is not None:
        pairs = zip(before.generators, generators, strict=True)
        generators = [old if old.unchanged(new.state) else new for old, new in pairs]
    kept = {} if before is None else {(id(b.module), b.name): b for b in before.buffers}

    def buffer(module: nn.Module, name: str, tensor: Tensor) -> Buffer:
        old = kept.get((id(module), name))
        return old if old is not None and old.unchanged() else Buffer(module, name, tensor, tensor.clone())

    with torch.no_grad():
        return SideState(
            generators,
            [
                buffer(module, name, tensor)
                for module in walker.modules
                for name, tensor in module._buffers.items()
                if tensor is not None
            ],
        )


def generator_states(tensors: Iterable[Tensor]) -> list[GeneratorState]:
    """All generators' states now, always in the same order."""
    found = [
        GeneratorState(np.random.set_state, np.random.get_state(), NUMPY),
        GeneratorState(random.setstate, random.getstate(), PYTHON),
    ]
    states: list[tuple[Callable[[Tensor], object], Tensor]] = [(torch.set_rng_state, torch.get_rng_state())]
    for device in sorted({t.device for t in tensors if t.device.type not in ("cpu", "meta")}, key=str):
        module = torch.get_device_module(device)
        states.append((lambda s, m=module, d=device: m.set_rng_state(s, d), module.get_rng_state(device)))
    if (chosen := chosen_generator()) is not None:  # where dropout has its own generator
        states.append((chosen.set_state, chosen.get_state()))
    return [*found, *(GeneratorState(put, state, state.numel()) for put, state in states)]


@contextmanager
def undisturbed(walker: Modular, tensors: Iterable[Tensor]) -> Iterator[None]:
    """Generators and buffers are afterwards as they were."""
    before = side_state(walker, tensors)
    try:
        yield
    finally:
        before.restore()
