"""Truncated BPTT over the training rows of a table on disk, in stretches side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..data.streamed_tables import FileTable
from ..forward import NoisyChunks
from ..updates import Updates, Windows, check_stretches, check_workers, mean_square, sum_of_squares
from ..workers import Workers
from .series import Series


def streamed_updates(series: Series, model: nn.Module, workers: Workers) -> Updates:
    """The training steps of a table on disk, those for validation left out."""
    config, learned = series.config, series.learned_steps
    check_stretches(config, learned)
    check_workers(config, workers)
    steps, share = learned // config.stretches, workers.share(config.stretches)

    def sequences(epoch: int) -> tuple[NoisyChunks, None]:
        return NoisyChunks(StretchWindows(series, share, steps), config, epoch, share, series.path), None

    def validation() -> float | None:
        if learned == series.train_steps:
            return None
        walked = series.walked_by_network(model, learned)
        sums = [(sum_of_squares(y, d).item(), int((~d.isnan()).sum())) for y, d in walked]
        total, count = map(sum, zip(*sums, strict=True))
        return total / max(1, count)

    loss = nn.functional.mse_loss if config.missing == "error" else mean_square
    return Windows(model, sequences, config, validation, loss, workers)


class StretchWindows:
    """The training steps of a series as windows (x, d) of stretches side by side, (window, B, ·).

    Args:
        share: which of the stretches are read.
        steps: of each stretch.
    """

    def __init__(self, series: Series, share: slice, steps: int) -> None:
        self._window, count = series.config.window, share.stop - share.start
        self._stretches = [
            self._stretch(series, stretch * steps, steps, count) for stretch in range(share.start, share.stop)
        ]
        self._rows = max(1, series.table.piece // count // self._window) * self._window
        self.steps, self.position = steps, 0

    @staticmethod
    def _stretch(series: Series, step: int, steps: int, count: int) -> tuple[int, Series]:
        """The row of a stretch's first step, and the series with a table that is read for it alone."""
        row, table = series.first_step + step, series.table
        assert isinstance(table, FileTable)
        own = replace(table, readers=count, stop=row + steps + series.farthest)
        return row, replace(series, table=own)

    def seek(self, step: int) -> None:
        self.position = step

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while self.position < self.steps:
            x, d = self._read(self.position, min(self.position + self._rows, self.steps))
            for own_x, own_d in zip(x.split(self._window), d.split(self._window), strict=True):
                self.position += len(own_x)
                yield own_x, own_d
        self.position = 0

    def _read(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Steps start to stop of each stretch, (T, B, ·)."""
        found = []
        for row, series in self._stretches:
            pieces = list(series.pieces(row + start, row + stop, series.first_step))
            found.append(
                [torch.cat([of(piece) for piece in pieces]) for of in (series.inputs_of, series.targets_of)]
            )
        x, d = (torch.stack(own, dim=1) for own in zip(*found, strict=True))
        return x, d
