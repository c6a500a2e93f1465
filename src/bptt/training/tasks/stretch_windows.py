"""Truncated BPTT over tables on disk: stretches of one series, or many series, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..data.streamed_tables import FileTable
from ..forward import NoisyChunks
from ..updates import Updates, Windows, check_stretches, check_workers, mean_square, sum_of_squares
from ..workers import Workers
from .series import Series


class Stretch(NamedTuple):
    """Steps of a series that follow each other."""

    series: Series
    row: int  # of the first step
    steps: int


def streamed_updates(series: Series, model: nn.Module, workers: Workers) -> Updates:
    """The training steps of a table on disk, those for validation left out."""
    config, learned = series.config, series.learned_steps
    check_stretches(config, learned)
    check_workers(config, workers)
    steps = learned // config.stretches
    rows = [series.first_step + number * steps for number in range(config.stretches)]
    stretches = [Stretch(series, row, steps) for row in rows]
    return stretch_updates(stretches, [series], model, workers)


def stretch_updates(
    stretches: Sequence[Stretch], parts: Sequence[Series], model: nn.Module, workers: Workers
) -> Updates:
    """The training steps of stretches side by side.

    Args:
        parts: the series, for validation.
    """
    config, share, steps = parts[0].config, workers.share(len(stretches)), [own.steps for own in stretches]

    def sequences(epoch: int) -> tuple[NoisyChunks, None]:
        windows = StretchWindows(stretches[share], max(steps), config.window)
        return NoisyChunks(windows, config, epoch, share, len(stretches)), None

    is_full = config.missing == "error" and min(steps) == max(steps)
    loss = nn.functional.mse_loss if is_full else mean_square
    return Windows(model, sequences, config, lambda: validation_error(parts, model), loss, workers)


def validation_error(parts: Sequence[Series], model: nn.Module) -> float | None:
    """The mean square error at the validation steps of all series; None where there are none."""
    total, count, validated = 0.0, 0, [part for part in parts if part.has_validation]
    for part in validated:
        for y, d in part.walked_by_network(model, part.learned_steps):
            total, count = total + sum_of_squares(y, d).item(), count + int((~d.isnan()).sum())
    return total / max(1, count) if validated else None


class StretchWindows:
    """Stretches as windows of what the network reads and learns, (x, d), each (window, B, ·).

    Where a stretch has ended and others have not, its x is 0 and its d NaN.

    Args:
        steps: of the longest stretch, of which not all need to be here.
        window: the steps of a window.
    """

    def __init__(self, stretches: Sequence[Stretch], steps: int, window: int) -> None:
        self._window, self.steps, self.position = window, steps, 0
        self._stretches = [self._apart(stretch, len(stretches)) for stretch in stretches]
        self._rows = max(1, stretches[0].series.table.piece // len(stretches) // window) * window

    @staticmethod
    def _apart(stretch: Stretch, readers: int) -> Stretch:
        """A stretch with a table that is read for it alone."""
        series, row, steps = stretch
        assert isinstance(series.table, FileTable)
        own = replace(series.table, readers=readers, stop=row + steps + series.farthest)
        return stretch._replace(series=replace(series, table=own))

    def seek(self, step: int) -> None:
        self.position = step

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while self.position < self.steps:
            start = self.position // self._rows * self._rows  # cut alike after `seek`: else it rounds otherwise
            blocks = self._read(start, min(start + self._rows, self.steps))
            x, d = (block[self.position - start :].split(self._window) for block in blocks)
            for own_x, own_d in zip(x, d, strict=True):
                self.position += len(own_x)
                yield own_x, own_d
        self.position = 0

    def _read(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Steps start to stop of each stretch, (T, B, ·)."""
        series, shape = self._stretches[0].series, (stop - start, len(self._stretches))
        x = torch.zeros(*shape, series.read_size, dtype=torch.float32, device="cpu")
        d = torch.full((*shape, len(series.outputs)), torch.nan, dtype=torch.float32, device="cpu")
        for number, (series, row, steps) in enumerate(self._stretches):
            for place, own_x, own_d in series.examples(row + start, row + min(stop, steps)):
                at = slice(place - row - start, place - row - start + len(own_x))
                x[at, number], d[at, number] = series.read(own_x), series.rest(own_x, own_d)
        return x, d
