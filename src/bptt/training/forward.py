"""A model's forward pass while training: noise on its inputs, dropout and precision, all drawn by the seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ..dropout import dropout_from
from ..trees import Tree, mapped
from .options.base import TrainOptions
from .options.shared import TableOptions
from .transfer import device_of, to_device

BLOCK = 1024  # steps whose noise is drawn together


def noisy(x: Tensor, config: TableOptions, *numbers: int) -> Tensor:
    """x with Gaussian noise that the seed and some numbers determine."""
    if config.noise == 0:
        return x
    generator = torch.Generator().manual_seed(_seed(config, *numbers))
    noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device="cpu")  # the same on any device
    return x + to_device(config.noise * noise, x.device)


@contextmanager
def learning(model: nn.Module, config: TrainOptions, *numbers: int) -> Iterator[None]:
    """The model in training mode, its dropout drawn by the seed and some numbers."""
    if config.dropout == 0:
        yield
        return
    generator = torch.Generator(device_of(model))
    generator.manual_seed(_seed(config, 0, *numbers))  # 0 is no epoch, so no noise is drawn by it
    with dropout_from(generator):
        model.train()
        try:
            yield
        finally:
            model.eval()


def _seed(config: TrainOptions, *numbers: int) -> int:
    (seed,) = np.random.SeedSequence([config.seed, *numbers]).generate_state(1, np.uint64)
    return int(seed)


def in_precision(model: nn.Module, config: TrainOptions) -> nn.Module:
    """The model as it is walked while training: in the precision asked for."""
    return _Bfloat16(model) if config.precision == "bfloat16" else model


class _Bfloat16(nn.Module):
    """A model walked under autocast to bfloat16, its outputs and its state in float32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.batch_first = bool(getattr(model, "batch_first", False))

    def forward(self, x: Any, state: Tree = None) -> tuple[Any, Tree]:
        with torch.autocast(device_of(self.model).type, torch.bfloat16):
            y, state = self.model(x, state)
        if isinstance(y, PackedSequence):
            return y._replace(data=y.data.float()), mapped(Tensor.float, state)
        return y.float(), mapped(Tensor.float, state)


class NoisyChunks:
    """Chunks of (x, d) with noise on x: new in each epoch, and the same wherever reading starts.

    Args:
        chunks: an iterable of pairs that can be sought and knows its steps, as `bptt.stream`.
        config: noise and seed.
        epoch: the epoch's number.
        share: which of all stretches the chunks have.
        stretches: how many there are.
    """

    def __init__(
        self,
        chunks: Any,
        config: TableOptions,
        epoch: int,
        share: slice = slice(None),
        stretches: int = 1,
    ) -> None:
        self.chunks, self.config, self.epoch, self.share = chunks, config, epoch, share
        self.stretches = stretches
        self.place = 0
        self._block: tuple[int, Any] = (-1, None)  # noise of steps drawn together, and which

    @property
    def steps(self) -> int:
        """T."""
        return self.chunks.steps

    def seek(self, step: int) -> None:
        """Let the next chunk begin at a step."""
        self.chunks.seek(step)
        self.place = step

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for x, d in self.chunks:
            first, self.place = self.place, self.place + len(x)
            yield (x if self.config.noise == 0 else x + self._noise(x, first)), d

    def _noise(self, x: Tensor, first: int) -> Tensor:
        parts, stop = [], first + len(x)
        while first < stop:
            number, start = divmod(first, BLOCK)
            if number != self._block[0]:
                of_all = x.new_zeros(BLOCK, self.stretches, x.shape[2])
                self._block = number, noisy(of_all, self.config, self.epoch, number)[:, self.share]
            parts.append(self._block[1][start : start + stop - first])
            first += len(parts[-1])
        return torch.cat(parts)
