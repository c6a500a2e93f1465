"""Forecasting from a table larger than memory, which is read piece by piece."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, reduce
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from ...errors import UserError
from ...files import replacing
from ..data.scaling import Moments, Scaling
from ..data.stream import Stream
from ..data.streamed_tables import (
    ScaledRows,
    Source,
    check_streamable,
    checked_columns,
    moments_of,
    open_source,
    read_finite,
    read_pieces,
)
from ..data.tables import check_once, lagged
from ..forward import NoisyChunks
from ..options.forecast import ForecastOptions
from ..transfer import device_of, to_device
from ..updates import Updates, Windows, check_stretches, check_workers, mean_square, sum_of_squares
from ..workers import ALONE, Workers
from .baselines import ar_order
from .excerpt import LONGEST, TrainingExcerpt
from .extrapolation import beyond
from .forecast import check_rows, train_rows_of
from .intervals import RECENT as RECENT_ERRORS
from .intervals import Intervals, half_width
from .scores import MEAN, rows_of
from .seasons import RECENT, seasons_of
from .series import Forecasting, output_words
from .task import Judged, Undated

WARM_UP = 1000  # steps walked before the first one that is judged
ROWS = 2**15  # walked and judged at a time
SHOWN = 2000  # rows that a report shows
SEASON_ROWS = 2**15  # that a season is looked for in
MOST_ERRORS = 2**20  # that intervals are taken from


@dataclass(frozen=True)
class StreamedForecast(Forecasting, Undated):
    """A table on disk as a forecasting task: `Forecast`, of which a few megabytes are in memory at a time."""

    source: Source
    name: str  # of the file
    columns: list[str]  # those read, the targets first
    config: ForecastOptions  # lags, horizons, validation and coverage
    train_rows: int  # the number of training rows, from the start
    scaling: Scaling  # fitted to them
    season: int | None  # rows of a season, if one was found
    # moments of each column over the training rows, and over the rows after them
    learned: Moments
    later: Moments
    lags: list[int] = field(default_factory=lambda: [0])  # rows that are input at each step, 0 its own

    @property
    def farthest(self) -> int:
        return max(self.config.horizons)

    @property
    def outputs(self) -> list[tuple[int, int]]:
        return self.config.outputs

    @property
    def train_steps(self) -> int:
        return sum(_steps_of(self.train_rows, self.lags, self.config))

    @property
    def learned_steps(self) -> int:
        return _steps_of(self.train_rows, self.lags, self.config)[0]

    @property
    def order(self) -> int:
        """Of the linear AR beside it."""
        return ar_order(self.train_rows, self.farthest)

    def updates(self, model: nn.Module, workers: Workers = ALONE) -> Updates:
        """Truncated BPTT over the training rows, in stretches side by side."""
        config, learned = self.config, self.learned_steps
        check_stretches(config, learned)
        check_workers(config, workers)
        steps, share = learned // config.stretches, workers.share(config.stretches)
        batch, beyond = share.stop - share.start, self.lags[-1] + self.farthest
        part = ScaledRows(self.source, self.scaling, share.start * steps, batch * steps + beyond, self.columns)

        def sequences(epoch: int) -> tuple[NoisyChunks, None]:
            read = self.columns, self.columns[: len(config.targets)], config.horizons
            chunks = Stream(part, self.name, *read, batch, config.window, torch.float32, self.lags)
            return NoisyChunks(chunks, config, epoch, share), None

        def validation() -> float | None:
            if learned == self.train_steps:
                return None
            first = self.lags[-1] + learned
            stop = first + self.train_steps - learned
            squares = (np.square(y - d).sum() for _, y, d, _ in self._walked(model, first, stop))
            return float(sum(squares)) / ((stop - first) * len(self.outputs))

        return Windows(model, sequences, config, validation, nn.functional.mse_loss, workers)

    def training_excerpt(self) -> TrainingExcerpt:
        """The last training steps."""
        return self._excerpt

    @cached_property
    def _excerpt(self) -> TrainingExcerpt:
        first, stop = self.lags[-1], self.lags[-1] + self.learned_steps
        start = max(first, stop - LONGEST)
        pieces = [piece for _, piece in self._pieces(start, stop, first)]
        x = torch.cat([self._inputs(piece, first) for piece in pieces])
        d = torch.from_numpy(np.concatenate([self._targets(piece, first) for piece in pieces])).float()[:, None]
        what = f"rows {start - first + 1}-{stop} of the {self.train_rows} training rows of {self.name}"
        note = self._beyond()
        return TrainingExcerpt(x, d, mean_square, sum_of_squares, what, () if note is None else (note,))

    def _beyond(self) -> str | None:
        """As `Forecast.beyond`; the later rows are read only if some leave the range."""
        learned, later = (np.stack([found.low, found.high]) for found in (self.learned, self.later))
        if beyond(learned, [later], self.columns) is None:
            return None
        first = self.source.rows - int(self.later.count[0])
        return beyond(
            learned, read_pieces(self.source, self.name, first, self.source.rows, self.columns), self.columns
        )

    def judge(self, model: nn.Module, title: str, path: Path) -> Judged:
        """Forecast the test rows and those beyond the end, write them, and compare with the baselines.

        The file has the rows of each target and horizon piece by piece.
        """
        rows, first, count = self.source.rows, self.train_rows - self.farthest, len(self.outputs)
        intervals, linear = self._intervals(model), self._autoregressions()
        names = [title, "persistence", f"seasonal persistence ({self.season})", f"linear AR({self.order})"]
        if self.season is None:
            del names[2]
        squares, held = np.zeros((len(names), count)), np.zeros(count, dtype=int)
        past = max(self.order - 1, *(back for _, ahead in self.outputs for back in self._backs(ahead)))
        last = self._rows(0, np.empty(0, dtype=int), np.empty(0), np.empty(0), math.inf)
        with replacing(path) as file:
            for start, y, d, history in self._walked(model, first, rows, past):
                for output, (place, ahead) in enumerate(self.outputs):
                    row = np.arange(start, start + len(y)) + ahead  # that is forecast
                    own, tested = row >= self.train_rows, (row >= self.train_rows) & (row < rows)
                    simple = self._simple(history[:, place], len(y), ahead, linear[output])
                    errors = np.stack([y[:, output], *simple])[:, tested] - d[tested, output]
                    squares[:, output] += np.square(errors).sum(1)
                    held[output] += int((np.abs(errors[0]) <= intervals.widths[output]).sum())
                    frame = self._rows(output, row[own], d[own, output], y[own, output], intervals.widths[output])
                    is_first = output == 0 and start == first
                    file.write(frame.write_csv(include_header=is_first).encode())
                    last = last.vstack(frame).tail(SHOWN) if output == 0 else last
        mean = squares / (rows - self.train_rows)  # of standardised targets
        span = f"rows {self.train_rows + 1} to {rows}"
        said = [", ".join(words) or span for words in output_words(self.columns, self.outputs)]
        scores = {name: dict(zip(said, arv.tolist(), strict=True)) for name, arv in zip(names, mean, strict=True)}
        if count > 1:
            scores = {name: own | {MEAN: float(np.mean(list(own.values())))} for name, own in scores.items()}
        stds = [self.scaling.std[place] for place, _ in self.outputs]
        return Judged(
            scores=scores,
            rmse=dict(zip(said, (np.sqrt(mean[0]) * stds).tolist(), strict=True)),
            rows=last,
            spans=[(span, last["time"][0], str(rows))],
            intervals=intervals,
            covered={
                name: int(within) / (rows - self.train_rows)
                for name, within, width in zip(said, held, intervals.widths, strict=True)
                if math.isfinite(width)
            },
        )

    def _rows(self, output: int, row: np.ndarray, d: np.ndarray, y: np.ndarray, width: float) -> pl.DataFrame:
        """The file's rows for an output, from standardised d, y and width."""
        place, ahead = self.outputs[output]
        truth, found = (self.scaling.undo_target(part, place) for part in (d, y))
        times = [str(number) for number in row + 1]
        horizon = ahead if len(self.config.horizons) > 1 else None
        return rows_of(
            self.columns[place], times, truth, found, np.full(len(row), width * self.scaling.std[place]), horizon
        )

    def _simple(self, values: np.ndarray, steps: int, ahead: int, linear: np.ndarray) -> list[np.ndarray]:
        """The forecasts of simple models at the last so many rows of a target's values, (steps) each."""
        first = len(values) - steps
        repeated = [values[first - back : len(values) - back] for back in self._backs(ahead)]
        past = lagged(values[:, None], self.order)[first - self.order + 1 :]
        return [*repeated, linear[0] + past @ linear[1:]]

    def _backs(self, ahead: int) -> list[int]:
        """How many rows before its own persistence looks, and seasonal persistence where there is a season."""
        return [0] if self.season is None else [0, -(-ahead // self.season) * self.season - ahead]

    def _intervals(self, model: nn.Module) -> Intervals:
        """By the last errors on the validation rows, or on the training rows where there are none."""
        is_validated = self.learned_steps < self.train_steps
        steps = min(MOST_ERRORS, self.train_steps - (self.learned_steps if is_validated else 0))
        stop = self.lags[-1] + self.train_steps
        errors = np.concatenate([y - d for _, y, d, _ in self._walked(model, stop - steps, stop)])
        source = "validation" if is_validated else "training"
        sizes = np.abs(errors).T
        widths = [half_width(own, self.config.coverage) for own in sizes]
        recent = [own[-RECENT_ERRORS:].tolist() for own in sizes]
        missed = [1 - self.config.coverage] * len(widths)
        return Intervals(self.config.coverage, widths, len(errors), source, missed, recent)

    def _pieces(self, first: int, stop: int, before: int) -> Iterator[tuple[int, np.ndarray]]:
        """Rows first to stop piece by piece, standardised, and the number of the first one.

        Each piece is led by so many rows before it and followed by those of the farthest horizon, which are NaN
        beyond the end.
        """
        for start in range(first, stop, ROWS):
            end = min(start + ROWS, stop) + self.farthest
            there = min(end, self.source.rows)
            piece = read_finite(self.source, self.name, start - before, there - start + before, self.columns)
            beyond = np.full((end - there, len(self.columns)), np.nan)
            yield start, self.scaling.apply(np.concatenate([piece, beyond]))

    def _inputs(self, piece: np.ndarray, before: int) -> Tensor:
        """x (T, 1, I) of a piece led by so many rows."""
        rows = piece[before - self.lags[-1] : len(piece) - self.farthest]
        return torch.from_numpy(lagged(rows, self.lags)).float()[:, None]

    def _targets(self, piece: np.ndarray, before: int) -> np.ndarray:
        """d (T, K) of it."""
        steps = len(piece) - before - self.farthest
        return np.stack(
            [piece[before + ahead : before + ahead + steps, place] for place, ahead in self.outputs], 1
        )

    def _walked(
        self, model: nn.Module, first: int, stop: int, past: int = 0
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """A network walked over rows first to stop, begun a little before them so that its state is no new one.

        Yields:
            piece by piece the first row's number, the forecasts made at each row (T, K) and their targets (T, K),
            both standardised, and the columns in these rows and the `past` before them (past + T, C).
        """
        before, state = max(self.lags[-1], past), None
        with torch.no_grad():
            for _, piece in self._pieces(max(before, first - WARM_UP), first, before):
                _, state = model(to_device(self._inputs(piece, before), device_of(model)), state)
            for start, piece in self._pieces(first, stop, before):
                y, state = model(to_device(self._inputs(piece, before), device_of(model)), state)
                history = piece[before - past : len(piece) - self.farthest]
                yield start, y[:, 0].cpu().double().numpy(), self._targets(piece, before), history

    def _autoregressions(self) -> np.ndarray:
        """Intercept and weights of each output's linear AR, from the normal equations: (K, 1 + order)."""
        before, n = self.order - 1, self.order + 1
        gram, moments = np.zeros((len(self.outputs), n, n)), np.zeros((len(self.outputs), n))
        for start, piece in self._pieces(before, self.train_rows - min(self.config.horizons), before):
            targets = self._targets(piece, before)
            for output, (place, ahead) in enumerate(self.outputs):
                steps = min(len(targets), self.train_rows - ahead - start)  # whose target is a training row
                if steps <= 0:
                    continue
                past = lagged(piece[: before + steps, place : place + 1], self.order)
                design = np.concatenate([np.ones((steps, 1)), past], axis=1)
                gram[output] += design.T @ design
                moments[output] += design.T @ targets[:steps, output]
        return np.stack([np.linalg.lstsq(g, m, rcond=None)[0] for g, m in zip(gram, moments, strict=True)])


def streamed_forecast(config: ForecastOptions) -> StreamedForecast:
    """A user's table on disk: learn from its start, judge on the last ``config.test`` of its rows."""
    assert config.data is not None
    check_streamable(config)
    source = open_source(config.data)
    columns = checked_columns((*config.targets, *config.inputs), source, config.data)
    check_once(columns)
    train_rows, lags = train_rows_of(source.rows, config), list(range(config.lags or RECENT))
    check_rows(config.data.name, source.rows, train_rows, config)
    learned_rows = train_rows - _steps_of(train_rows, lags, config)[1]
    spans = pairwise(sorted({0, learned_rows, train_rows, source.rows}))
    learned, *held, tested = [moments_of(source, config.data.name, *span, columns) for span in spans]
    later = reduce(Moments.joined, [*held, tested])
    scaling = Scaling.of_moments(reduce(Moments.joined, [learned, *held]), columns)
    scaling.check(learned.joined(later), columns, config.data.name)
    season = config.season
    if season is None:
        first = read_finite(source, config.data.name, 0, min(SEASON_ROWS, train_rows), columns[:1])
        season = next(iter(seasons_of(first[:, 0], [])), None)
    elif season > train_rows:
        raise UserError(f"--season {season} is longer than the {train_rows} training rows of {config.data}")
    return StreamedForecast(
        source, config.data.name, columns, config, train_rows, scaling, season, learned, later, lags
    )


def _steps_of(train_rows: int, lags: list[int], config: ForecastOptions) -> tuple[int, int]:
    """The number of training steps and of validation steps."""
    steps = train_rows - lags[-1] - max(config.horizons)
    held = round(steps * config.validation)
    return steps - held, held
