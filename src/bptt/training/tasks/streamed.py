"""Forecasting from a table larger than memory, which is read piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...networks import SequenceModel
from ..data.scaling import Moments, Scaling
from ..data.streamed_tables import (
    FileTable,
    check_streamable,
    checked_columns,
    open_source,
)
from ..data.tables import check_once
from ..forward import NoisyChunks
from ..options.forecast import ForecastOptions
from ..updates import Updates, Windows, check_stretches, check_workers, mean_square, sum_of_squares
from ..workers import ALONE, Workers
from .excerpt import LONGEST, TrainingExcerpt
from .extrapolation import beyond
from .forecast import check_rows, check_values, train_rows_of, with_linear_part
from .scores import judged
from .seasons import found_lookback
from .series import SingleSeries, Span
from .task import Judged

SHOWN = 2000  # rows that a report shows
SEASON_ROWS = 2**15  # that a season is looked for in
MOST_ERRORS = 2**20  # that intervals are taken from


@dataclass(frozen=True, repr=False)
class StreamedForecast(SingleSeries):
    """A table on disk as a forecasting task: `Forecast`, of which a few megabytes are in memory at a time."""

    table: FileTable
    # moments of each column over the training rows, over those before validation, and over the rows after these
    trained: Moments
    learned: Moments
    later: Moments

    @property
    def moments(self) -> list[Moments]:
        return [self.trained.of_column(place) for place in range(len(self.config.targets))]

    @property
    def first_held_out(self) -> int:
        return max(super().first_held_out, self.train_steps - MOST_ERRORS)

    @property
    def first_written(self) -> int:
        return self.train_rows

    @property
    def first_shown(self) -> int:
        return max(self.train_rows, self.rows - SHOWN)

    def times_of(self, rows: np.ndarray) -> list[str]:
        return [str(row + 1) for row in rows]

    def updates(self, model: nn.Module, workers: Workers = ALONE) -> Updates:
        """Truncated BPTT over the training rows, in stretches side by side."""
        config, learned = self.config, self.learned_steps
        check_stretches(config, learned)
        check_workers(config, workers)
        steps, share = learned // config.stretches, workers.share(config.stretches)

        def sequences(epoch: int) -> tuple[NoisyChunks, None]:
            return NoisyChunks(StretchWindows(self, share, steps), config, epoch, share, self.path), None

        def validation() -> float | None:
            if learned == self.train_steps:
                return None
            steps = self.walked_by_network(model, learned)
            sums = [(sum_of_squares(y, d).item(), int((~d.isnan()).sum())) for y, d in steps]
            total, count = map(sum, zip(*sums, strict=True))
            return total / max(1, count)

        loss = nn.functional.mse_loss if config.missing == "error" else mean_square
        return Windows(model, sequences, config, validation, loss, workers)

    def training_excerpt(self) -> TrainingExcerpt:
        """The last training steps."""
        return self._excerpt

    @cached_property
    def _excerpt(self) -> TrainingExcerpt:
        first, stop = self.first_step, self.first_step + self.learned_steps
        start = max(first, stop - LONGEST)
        pieces = list(self.pieces(start, stop, first))
        x = torch.cat([self.inputs_of(piece) for piece in pieces])[:, None]
        d = torch.cat([self.targets_of(piece) for piece in pieces])[:, None]
        what = f"rows {start - first + 1}-{stop} of the {self.train_rows} training rows of {self.name}"
        note = self._beyond()
        notes = () if note is None else (note,)
        return TrainingExcerpt(self.read(x), self.rest(x, d), mean_square, sum_of_squares, what, notes)

    def _beyond(self) -> str | None:
        """As `Forecast.beyond`; the later rows are read only if some leave the range."""
        learned, later = (np.stack([found.low, found.high]) for found in (self.learned, self.later))
        if beyond(learned, [later], self.columns) is None:
            return None
        first = self.first_step + self.learned_steps + self.farthest
        return beyond(learned, self.table.pieces(first, self.rows), self.columns)

    def judge(self, model: SequenceModel, title: str, path: Path) -> Judged:
        """Forecast the test rows and those beyond the end, write them, and compare with the baselines."""
        return judged([self], model, title, path)


class StretchWindows:
    """The training steps of a series as windows (x, d) of stretches side by side, (window, B, ·).

    Args:
        share: which of the stretches are read.
        steps: of each stretch.
    """

    def __init__(self, series: StreamedForecast, share: slice, steps: int) -> None:
        self._window, count = series.config.window, share.stop - share.start
        self._stretches = [
            self._stretch(series, stretch * steps, steps, count) for stretch in range(share.start, share.stop)
        ]
        self._rows = max(1, series.table.piece // count // self._window) * self._window
        self.steps, self.position = steps, 0

    @staticmethod
    def _stretch(series: StreamedForecast, step: int, steps: int, count: int) -> tuple[int, StreamedForecast]:
        """The row of a stretch's first step, and the series with a table that is read for it alone."""
        row = series.first_step + step
        own = replace(series.table, readers=count, stop=row + steps + series.farthest)
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


def streamed_forecast(config: ForecastOptions) -> StreamedForecast:
    """A user's table on disk: learn from its start, judge on the last ``config.test`` of its rows."""
    assert config.data is not None
    check_streamable(config)
    source, name = open_source(config.data), config.data.name
    columns = checked_columns((*config.targets, *config.inputs), source, config.data)
    check_once(columns)
    table = FileTable(source, name, columns, config.missing)
    train_rows = train_rows_of(source.rows, config)
    check_rows(name, source.rows, train_rows, config)
    first = table.read(0, min(SEASON_ROWS, train_rows))
    lookback = found_lookback(name, first[:, 0], [], train_rows, config)
    learned_rows = train_rows - round((train_rows - lookback.lags[-1] - max(config.horizons)) * config.validation)
    ends = pairwise(sorted({0, learned_rows, train_rows, source.rows}))
    learned, *held, tested = [table.moments(*rows) for rows in ends]
    later = reduce(Moments.joined, [*held, tested])
    trained = reduce(Moments.joined, [learned, *held])
    spans = [Span(f"rows {train_rows + 1} to {source.rows}", train_rows, source.rows)]
    check_values(name, columns, len(config.targets), trained.count, train_rows, {spans[0].name: tested.count})
    scaling = Scaling.of_moments(trained, columns)
    scaling.check(learned.joined(later), columns, name)
    variances = np.square(trained.unit[: len(config.targets)]).tolist()
    judged_by = {"spans": spans, "variances": variances}
    moments = trained, learned, later
    task = StreamedForecast(config, train_rows, scaling, *lookback, table, *moments, **judged_by)
    return with_linear_part([task])[0]
