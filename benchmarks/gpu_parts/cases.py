"""Every kind of stack that cuDNN takes, with its options, and an input for it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

import bptt

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "RNN relu": ("RNN", {"nonlinearity": "relu"}),
    "RNN tanh": ("RNN", {}),
    "GRU": ("GRU", {}),
    "LSTM": ("LSTM", {}),
    "LSTM projected": ("LSTM", {"proj_size": 3}),
}
NUMBERS = (  # dtype of the module, and autocast's
    (torch.float64, None),
    (torch.float32, None),
    (torch.float16, None),
    (torch.bfloat16, None),
    (torch.float32, torch.float16),
    (torch.float32, torch.bfloat16),
)
I, H, T, B = 4, 5, 6, 3
BATCH_SIZES = (3, 3, 2, 2, 1, 1)


class Case(NamedTuple):
    """One stack with its options."""

    kind: str
    layers: int
    directions: int
    bias: bool
    packed: bool
    dtype: torch.dtype
    autocast: torch.dtype | None

    def __str__(self) -> str:
        said = [self.kind, f"{self.layers} layers", f"{self.directions} directions"]
        said += ["bias" if self.bias else "no bias", *(["packed"] if self.packed else []), name_of(self.dtype)]
        return ", ".join([*said, *([] if self.autocast is None else [f"autocast {name_of(self.autocast)}"])])

    def module(self, device: torch.device, library: Any = bptt) -> Any:
        """The module, of bptt or of torch.nn, with weights from seed 0."""
        name, options = KINDS[self.kind]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            shape = {"num_layers": self.layers, "bidirectional": self.directions == 2, "bias": self.bias}
            return getattr(library, name)(I, H, **shape, **options).to(device, self.dtype)

    def x(self, device: torch.device) -> Any:
        """An input whose gradient is wanted."""
        shape = (sum(BATCH_SIZES), I) if self.packed else (T, B, I)
        data = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(device, self.dtype)
        data.requires_grad_()
        return PackedSequence(data, torch.tensor(BATCH_SIZES)) if self.packed else data

    def numbers(self, device: torch.device) -> AbstractContextManager:
        """Autocast, where the case has it."""
        return torch.autocast(device.type, self.autocast, enabled=self.autocast is not None)


def name_of(dtype: torch.dtype) -> str:
    """A dtype's name without "torch."."""
    return str(dtype).removeprefix("torch.")


def every_case() -> Iterator[Case]:
    """All of them, those of one kind and dtype together."""
    options = itertools.product((1, 2), (1, 2), (True, False), (False, True))
    for kind, (dtype, autocast), others in itertools.product(KINDS, NUMBERS, list(options)):
        yield Case(kind, *others, dtype, autocast)


def tensors_of(results: Any) -> list[Tensor]:
    """y, h_n and c_n of a module's results."""
    y, state = results
    y = y.data if isinstance(y, PackedSequence) else y
    return [y, *(state if isinstance(state, tuple) else [state])]


def sources_of(module: nn.Module, x: Any) -> list[Tensor]:
    """x and the weights."""
    return [x.data if isinstance(x, PackedSequence) else x, *module.parameters()]
