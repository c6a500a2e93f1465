"""Forecasting from a table larger than memory, which is read piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from ...files import replacing
from ...forecast_model import ForecastModel
from ...networks import SequenceModel
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
from .excerpt import LONGEST, TrainingExcerpt
from .extrapolation import beyond
from .forecast import check_rows, train_rows_of, with_linear_part
from .intervals import AdaptiveWidth, Intervals
from .ridge import LinearPart, Products, fit_ridge, least_squares
from .scores import LINEAR, MEAN, errors_held_out, forecast_verdict, rows_of, shares_of
from .seasons import found_lookback
from .series import SingleSeries, output_words
from .task import Held, Judged

WARM_UP = 1000  # steps walked before the first one that is judged
ROWS = 2**15  # walked and judged at a time
SHOWN = 2000  # rows that a report shows
SEASON_ROWS = 2**15  # that a season is looked for in
MOST_ERRORS = 2**20  # that intervals are taken from


class _Walked(NamedTuple):
    """Steps of a table that a model was walked over."""

    row: int  # that the first of them stands at
    x: Tensor  # (T, 1, I)
    d: Tensor  # (T, K), standardised, NaN beyond the end
    y: Tensor  # (T, K), what the model put out
    history: np.ndarray  # the columns in these rows and some before them, (before + T, C), standardised


@dataclass(frozen=True, repr=False)
class StreamedForecast(SingleSeries):
    """A table on disk as a forecasting task: `Forecast`, of which a few megabytes are in memory at a time."""

    source: Source
    name: str  # of the file
    columns: list[str]  # those read, the targets first
    # moments of each column over the steps trained on, and over the rows after them
    learned: Moments
    later: Moments

    def updates(self, model: nn.Module, workers: Workers = ALONE) -> Updates:
        """Truncated BPTT over the training rows, in stretches side by side."""
        config, learned = self.config, self.learned_steps
        check_stretches(config, learned)
        check_workers(config, workers)
        steps, share = learned // config.stretches, workers.share(config.stretches)
        batch, beyond = share.stop - share.start, self.first_step + self.farthest
        part = ScaledRows(self.source, self.scaling, share.start * steps, batch * steps + beyond, self.columns)

        def sequences(epoch: int) -> tuple[NoisyChunks, None]:
            read = self.columns, self.columns[: len(config.targets)], config.horizons
            chunks = Stream(part, self.name, *read, batch, config.window, torch.float32, self.lags)
            return NoisyChunks(chunks, config, epoch, share, self.path), None

        def validation() -> float | None:
            if learned == self.train_steps:
                return None
            steps = self._walked_by_network(model, learned)
            squares = (np.square((y - d).double().numpy()).sum() for y, d in steps)
            return float(sum(squares)) / ((self.train_steps - learned) * len(self.outputs))

        return Windows(model, sequences, config, validation, nn.functional.mse_loss, workers)

    def training_excerpt(self) -> TrainingExcerpt:
        """The last training steps."""
        return self._excerpt

    @cached_property
    def _excerpt(self) -> TrainingExcerpt:
        first, stop = self.first_step, self.first_step + self.learned_steps
        start = max(first, stop - LONGEST)
        pieces = [piece for _, piece in self._pieces(start, stop, first)]
        x = torch.cat([self._inputs(piece, first) for piece in pieces])
        d = torch.cat([self._targets(piece, first) for piece in pieces])[:, None]
        what = f"rows {start - first + 1}-{stop} of the {self.train_rows} training rows of {self.name}"
        note = self._beyond()
        notes = () if note is None else (note,)
        return TrainingExcerpt(self.read(x), self.rest(x, d), mean_square, sum_of_squares, what, notes)

    def _beyond(self) -> str | None:
        """As `Forecast.beyond`; the later rows are read only if some leave the range."""
        learned, later = (np.stack([found.low, found.high]) for found in (self.learned, self.later))
        if beyond(learned, [later], self.columns) is None:
            return None
        first = self.source.rows - int(self.later.count[0])
        return beyond(
            learned, read_pieces(self.source, self.name, first, self.source.rows, self.columns), self.columns
        )

    def step_pieces(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        first = self.first_step
        for row, piece in self._pieces(first, first + self.train_steps, first):
            x, d = self._inputs(piece, first)[:, 0], self._targets(piece, first)
            yield row - first, x.double().numpy(), d.double().numpy()

    def held_out(self, network: SequenceModel) -> tuple[np.ndarray, np.ndarray]:
        """As of a table in memory; the last `MOST_ERRORS` of these steps."""
        start = max(self.first_held_out, self.train_steps - MOST_ERRORS)
        y, d = zip(*self._walked_by_network(network, start), strict=True)
        return torch.cat(y).double().numpy(), torch.cat(d).double().numpy()

    def judge(self, model: SequenceModel, title: str, path: Path) -> Judged:
        """Forecast the test rows and those beyond the end, write them, and compare with the baselines.

        The file has the rows of each target and horizon piece by piece.
        """
        rows, count, config = self.source.rows, len(self.outputs), self.config
        whole, regressions = self.whole(model), self._regressions()
        sizes = errors_held_out([self], model, whole)
        widths = [
            AdaptiveWidth(own.tolist(), config.coverage, ahead)
            for own, (_, ahead) in zip(sizes, self.outputs, strict=True)
        ]
        alone = [LINEAR] if isinstance(whole, ForecastModel) else []
        names = [title, *alone, *self.baseline_names]
        squares, (absolute, held, promised) = np.zeros((len(names), count)), np.zeros((3, count))
        past = max(self.order - 1, *(back for _, ahead in self.outputs for back in self._backs(ahead)))
        last: list[list[pl.DataFrame]] = [[] for _ in self.outputs]  # the last rows of each, for a report
        with replacing(path) as file:
            for walked in self._walked(whole, self.train_rows - self.farthest, rows, past):
                found = [walked.y]
                if isinstance(whole, ForecastModel):
                    with torch.no_grad():
                        found.append(whole.path(to_device(walked.x[:, 0], device_of(whole))).cpu())
                for output, (place, ahead) in enumerate(self.outputs):
                    row = np.arange(walked.row, walked.row + len(walked.y)) + ahead  # that is forecast
                    own = row >= self.train_rows
                    d, *models = (one[:, output].double().numpy()[own] for one in (walked.d, *found))
                    simple = self._simple(walked.history[:, place], len(row), ahead, regressions[output])
                    errors = np.stack([*models, *(one[own] for one in simple)]) - d
                    squares[:, output] += np.nansum(np.square(errors), axis=1)
                    absolute[output] += np.nansum(np.abs(errors[0]))
                    width = widths[output].along(np.abs(errors[0]))
                    is_judged = np.isfinite(width) & ~np.isnan(d)
                    promised[output] += is_judged.sum()
                    held[output] += (np.abs(errors[0]) <= width)[is_judged].sum()
                    frame = self._rows(output, row[own], d, models[0], width)
                    is_first = output == 0 and walked.row == self.train_rows - self.farthest
                    file.write(frame.write_csv(include_header=is_first).encode())
                    split = pl.Series("split", np.where(row[own] < rows, "test", "future"), dtype=pl.String)
                    last[output] = [pl.concat([*last[output], frame.with_columns(split)]).tail(SHOWN)]
        for width in widths:
            width.settle()
        mean = squares / (rows - self.train_rows)  # of standardised targets
        mae, units = absolute / (rows - self.train_rows), self._mase_units()
        span = f"rows {self.train_rows + 1} to {rows}"
        said = [", ".join(words) or span for words in output_words(self.columns, self.outputs)]
        scores = {name: dict(zip(said, arv.tolist(), strict=True)) for name, arv in zip(names, mean, strict=True)}
        if count > 1:
            scores = {name: own | {MEAN: float(np.mean(list(own.values())))} for name, own in scores.items()}
        stds = [self.scaling.std[place] for place, _ in self.outputs]
        source = "validation" if config.validation else "training"
        result = Judged(
            scores=scores,
            rmse=dict(zip(said, (np.sqrt(mean[0]) * stds).tolist(), strict=True)),
            mae=dict(zip(said, (mae * stds).tolist(), strict=True)),
            mase={name: float(size / unit) for name, size, unit in zip(said, mae, units, strict=True) if unit > 0},
            rows=pl.concat([frame for (frame,) in last]),
            outputs={
                name: (self.columns[place], ahead) for name, (place, ahead) in zip(said, self.outputs, strict=True)
            },
            spans=[(span, last[0][0]["time"][0], str(rows))],
            intervals=Intervals.of([[width] for width in widths], list(map(len, sizes)), config.coverage, source),
            covered={
                name: Held(int(within), int(of))
                for name, within, of in zip(said, held, promised, strict=True)
                if of
            },
        )
        return replace(result, verdict=forecast_verdict(result, config, shares_of(whole)))

    def _rows(self, output: int, row: np.ndarray, d: np.ndarray, y: np.ndarray, width: np.ndarray) -> pl.DataFrame:
        """The file's rows for an output, from standardised d, y and widths."""
        place, ahead = self.outputs[output]
        truth, found = (self.scaling.undo_target(part, place) for part in (d, y))
        times = [str(number) for number in row + 1]
        horizon = ahead if len(self.config.horizons) > 1 else None
        return rows_of(self.columns[place], times, truth, found, width * self.scaling.std[place], horizon)

    def _simple(self, values: np.ndarray, steps: int, ahead: int, regression: LinearPart) -> list[np.ndarray]:
        """The forecasts of simple models at the last so many rows of a target's values, (steps) each."""
        first, order = len(values) - steps, self.order
        repeated = [values[first - back : len(values) - back] for back in self._backs(ahead)]
        return [*repeated, regression(lagged(values[:, None], order)[first - order + 1 :])[:, 0]]

    def _mase_units(self) -> list[float]:
        """By output, the mean absolute change since a season or a row before in training rows, standardised."""
        season, total = self.seasons[0] if self.seasons else 1, np.zeros(len(self.columns))
        for _, piece in self._pieces(season, self.train_rows, season):
            rows = piece[: len(piece) - self.farthest]
            total += np.abs(rows[season:] - rows[:-season]).sum(0)
        return [total[place] / max(1, self.train_rows - season) for place, _ in self.outputs]

    def _backs(self, ahead: int) -> list[int]:
        """How many rows before its own persistence looks, and seasonal persistence where there is a season."""
        return [0, *(-(-ahead // season) * season - ahead for season in self.seasons[:1])]

    def _regressions(self) -> list[LinearPart]:
        """The regression of each output on the last rows of its target."""
        order = self.order
        sums = [Products(order, 1) for _ in self.outputs]
        steps = self.train_rows - order + 1 - min(self.config.horizons)
        for row, piece in self._pieces(order - 1, order - 1 + steps, order - 1):
            d = self._targets(piece, order - 1).double().numpy()
            for output, (place, ahead) in enumerate(self.outputs):
                x = lagged(piece[: len(piece) - self.farthest, place : place + 1], order)
                own_steps = self.train_rows - order + 1 - ahead
                sums[output].add(x, d[:, output : output + 1], row - order + 1, own_steps)
        if self.paths is None:
            return [least_squares(own) for own in sums]
        return [fit_ridge(own, order, ahead) for own, (_, ahead) in zip(sums, self.outputs, strict=True)]

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
        rows = piece[before - self.first_step : len(piece) - self.farthest]
        return torch.from_numpy(lagged(rows, self.lags)).float()[:, None]

    def _targets(self, piece: np.ndarray, before: int) -> Tensor:
        """d (T, K) of it."""
        steps = len(piece) - before - self.farthest
        d = [piece[before + ahead : before + ahead + steps, place] for place, ahead in self.outputs]
        return torch.from_numpy(np.stack(d, axis=1)).float()

    def _walked_by_network(self, network: nn.Module, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The network's outputs and targets (T, K) from a training step on, piece by piece."""
        rows = self.first_step + start, self.first_step + self.train_steps
        for walked in self._walked(network, *rows, read=self.read):
            yield walked.y, self.rest(walked.x[:, 0], walked.d)

    def _walked(
        self,
        model: nn.Module,
        first: int,
        stop: int,
        past: int = 0,
        read: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> Iterator[_Walked]:
        """A model walked over rows first to stop, begun a little before them so that its state is no new one.

        Args:
            past: the rows before them that its history has.
            read: what the model reads of inputs x.
        """
        before, state, device = max(self.first_step, past), None, device_of(model)
        with torch.no_grad():
            for _, piece in self._pieces(max(before, first - WARM_UP), first, before):
                _, state = model(to_device(read(self._inputs(piece, before)), device), state)
            for start, piece in self._pieces(first, stop, before):
                x = self._inputs(piece, before)
                y, state = model(to_device(read(x), device), state)
                history = piece[before - past : len(piece) - self.farthest]
                yield _Walked(start, x, self._targets(piece, before), y[:, 0].cpu(), history)


def streamed_forecast(config: ForecastOptions) -> StreamedForecast:
    """A user's table on disk: learn from its start, judge on the last ``config.test`` of its rows."""
    assert config.data is not None
    check_streamable(config)
    source, name = open_source(config.data), config.data.name
    columns = checked_columns((*config.targets, *config.inputs), source, config.data)
    check_once(columns)
    train_rows = train_rows_of(source.rows, config)
    check_rows(name, source.rows, train_rows, config)
    first = read_finite(source, name, 0, min(SEASON_ROWS, train_rows), columns[:1])
    lookback = found_lookback(name, first[:, 0], [], train_rows, config)
    learned_rows = train_rows - round((train_rows - lookback.lags[-1] - max(config.horizons)) * config.validation)
    spans = pairwise(sorted({0, learned_rows, train_rows, source.rows}))
    learned, *held, tested = [moments_of(source, name, *span, columns) for span in spans]
    later = reduce(Moments.joined, [*held, tested])
    scaling = Scaling.of_moments(reduce(Moments.joined, [learned, *held]), columns)
    scaling.check(learned.joined(later), columns, name)
    task = StreamedForecast(config, train_rows, scaling, *lookback, source, name, columns, learned, later)
    return with_linear_part([task])[0]
