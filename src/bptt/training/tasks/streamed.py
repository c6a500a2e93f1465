"""Forecasting from a table larger than memory: learned from, scaled and judged piece by piece."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...reach.plan import bytes_in, shown
from ..config import TrainConfig
from ..data import check_once, lagged
from ..errors import UserError
from ..files import replacing
from ..scaling import Scaling
from ..stream import PIECE, Source, Stream, checked_columns, open_source, read_finite
from ..updates import NoisyChunks, Updates, Windows, check_stretches, check_workers
from ..workers import ALONE, Workers
from .baselines import ar_order, season_of
from .forecast import check_rows, train_rows_of
from .forecasting import Forecasting
from .intervals import Intervals
from .judging import rows_of
from .task import Judged, Undated

# What a table takes in memory beside its size on disk: a CSV's cells are read as text, Parquet is compressed.
FOOTPRINT = {".csv": 20, ".parquet": 12, ".pq": 12, ".npy": 4}
WARM_UP = 1000  # steps walked before the first one that is judged
ROWS = 2**15  # walked and judged at a time
SHOWN = 2000  # rows that a report shows
SEASON_ROWS = 2**15  # that a season is looked for in
MOST_ERRORS = 2**20  # that intervals are taken from


def is_streamed(config: TrainConfig) -> bool:
    """Whether a table is too large to be read as a whole.

    Raises:
        UserError: it is, and its errors are to go back to the first row; or --memory makes no sense.
    """
    if config.data is None or not config.data.is_file():
        return False
    half = _machine() // 2
    allowed = half
    if config.reach == "truncated" and config.memory is not None:
        allowed = bytes_in(config.memory)
    takes = config.data.stat().st_size * FOOTPRINT.get(config.data.suffix.lower(), 1)
    if takes <= allowed:
        return False
    if config.reach != "truncated":
        raise UserError(
            f"{config.data} would take about {shown(takes)} of memory, more than {shown(half)}, half of this "
            f"machine's; --reach {config.reach} needs all of it: pass --reach truncated, which reads it piece by "
            "piece"
        )
    return True


def _machine() -> int:
    """The machine's memory in bytes; 8 GiB where it cannot be asked."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 8 * 2**30


@dataclass(frozen=True)
class StreamedForecast(Forecasting, Undated):
    """A table on disk as a forecasting task: `Forecast`, of which a few megabytes are in memory at a time.

    Attributes:
        source: the table.
        name: its file's name.
        columns: those read, the target first.
        config: lags, horizon, validation and coverage.
        train_rows: how many rows from the start may be learned from.
        scaling: fitted to them.
        season: rows after which the series comes again, where that is known.
    """

    source: Source
    name: str
    columns: list[str]
    config: TrainConfig
    train_rows: int
    scaling: Scaling
    season: int | None

    @property
    def lags(self) -> int:
        """How many rows, the present one among them, are input at each step."""
        return self.config.lags

    @property
    def horizon(self) -> int:
        """How many rows ahead the target stands; a streamed table has one horizon."""
        return self.config.horizons[0]

    @property
    def train_steps(self) -> int:
        """How many steps have their target among the training rows."""
        return self.train_rows - self.lags + 1 - self.horizon

    @property
    def learned_steps(self) -> int:
        """How many of them are left beside those for validation."""
        return self.train_steps - round(self.train_steps * self.config.validation)

    @property
    def order(self) -> int:
        """Of the linear AR beside it."""
        return ar_order(self.train_rows, self.horizon)

    def updates(self, model: nn.Module, config: TrainConfig, workers: Workers = ALONE) -> Updates:
        """Truncated BPTT over the training rows, in stretches side by side."""
        learned = self.learned_steps
        check_stretches(config, learned)
        check_workers(config, workers)
        steps, beyond, share = (
            learned // config.stretches,
            self.lags - 1 + self.horizon,
            workers.share(config.stretches),
        )
        batch = share.stop - share.start
        part = _Scaled(self.source, share.start * steps, batch * steps + beyond, self.columns, self.scaling)

        def sequences(epoch: int) -> tuple[NoisyChunks, None]:
            names, target = self.columns, self.columns[:1]
            chunks = Stream(
                part, self.name, names, target, self.horizon, batch, config.window, torch.float32, self.lags
            )
            return NoisyChunks(chunks, config, epoch, share), None

        def validation() -> float | None:
            if learned == self.train_steps:
                return None
            first = self.lags - 1 + learned
            squares = (
                np.square(y - d).sum()
                for _, y, d, _ in self._walked(model, first, first + self.train_steps - learned)
            )
            return float(sum(squares)) / (self.train_steps - learned)

        return Windows(model, sequences, config, validation, workers=workers)

    def sample(self) -> tuple[Tensor, Tensor]:
        """x (T, I) and d (T, 1) of the first training steps."""
        first = self.lags - 1
        _, piece = next(self._pieces(first, first + min(SHOWN, ROWS, self.train_steps), first))
        x, d = self._inputs(piece, first), piece[first + self.horizon :, :1]
        return x[:, 0], torch.from_numpy(d).float()

    def judge(self, model: nn.Module, title: str, path: Path) -> Judged:
        """Forecast the test rows and those beyond the end, write them, and compare with the baselines."""
        rows, first, linear = self.source.rows, self.train_rows - self.horizon, self._autoregression()
        intervals = self._intervals(model)
        width, std = intervals.widths[0], self.scaling.std[0]
        backs = [0] if self.season is None else [0, -(-self.horizon // self.season) * self.season - self.horizon]
        past = max(self.order - 1, *backs)
        squares, held = np.zeros(2 + len(backs)), 0
        last = rows_of(self.columns[0], [], np.empty(0), np.empty(0), width)
        with replacing(path) as file:
            for start, y, d, target in self._walked(model, first, rows, past):
                there = slice(past, len(target))
                autoregressive = linear[0] + lagged(target, self.order)[past - self.order + 1 :] @ linear[1:]
                repeated = [target[there.start - back : there.stop - back, 0] for back in backs]
                errors = np.stack([y, *repeated, autoregressive]) - d
                squares += np.square(np.nan_to_num(errors)).sum(1)  # what is beyond the end counts nothing
                held += int((np.abs(errors[0]) <= width).sum())
                times = [str(row + 1 + self.horizon) for row in range(start, start + len(y))]
                truth, found = (self.scaling.undo_target(part) for part in (d, y))
                frame = rows_of(self.columns[0], times, truth, found, width * std)
                file.write(frame.write_csv(include_header=start == first).encode())
                last = last.vstack(frame).tail(SHOWN)
        arv = squares / (rows - self.train_rows)  # of the standardised target
        names = [title, "persistence", f"seasonal persistence ({self.season})", f"linear AR({self.order})"]
        if self.season is None:
            del names[2]
        span = f"rows {self.train_rows + 1} to {rows}"
        return Judged(
            scores={name: {span: float(value)} for name, value in zip(names, arv, strict=True)},
            rmse={span: math.sqrt(arv[0]) * std},
            rows=last,
            spans=[(span, last["time"][0], str(rows))],
            intervals=intervals,
            covered={span: held / (rows - self.train_rows)} if math.isfinite(width) else {},
        )

    def _intervals(self, model: nn.Module) -> Intervals:
        """By the last errors on the validation rows, or on the training rows where there are none."""
        is_validated = self.learned_steps < self.train_steps
        steps = min(MOST_ERRORS, self.train_steps - (self.learned_steps if is_validated else 0))
        stop = self.lags - 1 + self.train_steps
        errors = [y - d for _, y, d, _ in self._walked(model, stop - steps, stop)]
        source = "validation" if is_validated else "training"
        return Intervals.of([np.concatenate(errors)], self.config.coverage, source)

    def _pieces(self, first: int, stop: int, before: int) -> Iterator[tuple[int, np.ndarray]]:
        """Rows first to stop piece by piece, standardised, and the number of the first one.

        Each piece is led by so many rows before it and followed by the horizon's, which are NaN beyond the end.
        """
        for start in range(first, stop, ROWS):
            end = min(start + ROWS, stop) + self.horizon
            there = min(end, self.source.rows)
            piece = read_finite(self.source, self.name, start - before, there - start + before, self.columns)
            beyond = np.full((end - there, len(self.columns)), np.nan)
            yield start, self.scaling.apply(np.concatenate([piece, beyond]))

    def _inputs(self, piece: np.ndarray, before: int) -> Tensor:
        """x (T, 1, I) of a piece led by so many rows."""
        rows = piece[before - self.lags + 1 : len(piece) - self.horizon]
        return torch.from_numpy(lagged(rows, self.lags)).float()[:, None]

    def _walked(
        self, model: nn.Module, first: int, stop: int, past: int = 0
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """A network walked over rows first to stop, begun a little before them so that its state is no new one.

        Yields:
            piece by piece the first row's number, the forecasts made at each row (T) and what came true (T), both
            standardised, and the target in these rows and the `past` before them (past + T, 1).
        """
        before, state = max(self.lags - 1, past), None
        with torch.no_grad():
            for _, piece in self._pieces(max(before, first - WARM_UP), first, before):
                _, state = model(self._inputs(piece, before), state)
            for start, piece in self._pieces(first, stop, before):
                y, state = model(self._inputs(piece, before), state)
                target = piece[before - past : len(piece) - self.horizon, :1]
                yield start, y[:, 0, 0].double().numpy(), piece[before + self.horizon :, 0], target

    def _autoregression(self) -> np.ndarray:
        """Intercept and weights of a linear AR of the standardised target, from the normal equations."""
        before, n = self.order - 1, self.order + 1
        gram, moments = np.zeros((n, n)), np.zeros(n)
        for _, piece in self._pieces(before, self.train_rows - self.horizon, before):
            past = lagged(piece[: len(piece) - self.horizon, :1], self.order)
            design = np.concatenate([np.ones((len(past), 1)), past], axis=1)
            gram += design.T @ design
            moments += design.T @ piece[before + self.horizon :, 0]
        return np.linalg.lstsq(gram, moments, rcond=None)[0]


class _Scaled:
    """Some rows of some columns of a table, standardised."""

    def __init__(self, source: Source, first: int, rows: int, columns: list[str], scaling: Scaling) -> None:
        self.source, self.first, self.rows, self.columns, self.scaling = source, first, rows, columns, scaling

    def read(self, first: int, rows: int, columns: list[str]) -> np.ndarray:
        whole = self.scaling.apply(self.source.read(self.first + first, rows, self.columns))
        return whole[:, [self.columns.index(name) for name in columns]]


def streamed_forecast(config: TrainConfig) -> StreamedForecast:
    """A user's table on disk: learn from its start, judge on the last ``config.test`` of its rows.

    Raises:
        UserError: the table cannot be read, has too few rows or other columns, or needs what only a table in
            memory can be given: labels of time, repaired missing values, several series, targets or horizons.
    """
    assert config.data is not None
    _check_choices(config)
    source = open_source(config.data)
    columns = checked_columns((*config.targets, *config.inputs), source, config.data)
    check_once(columns)
    train_rows = train_rows_of(source.rows, config)
    check_rows(config.data.name, source.rows, train_rows, config)
    total, squares = np.zeros(len(columns)), np.zeros(len(columns))
    shift = read_finite(source, config.data.name, 0, 1, columns)[0]
    for first in range(0, train_rows, PIECE):
        rows = min(PIECE, train_rows - first)
        piece = read_finite(source, config.data.name, first, rows, columns) - shift
        total += piece.sum(0)
        squares += np.square(piece).sum(0)
    mean = total / train_rows
    std = np.sqrt(np.maximum(0.0, squares / train_rows - mean**2))
    scaling = Scaling.of_moments(mean + shift, std, columns)
    season = config.season
    if season is None:
        first = read_finite(source, config.data.name, 0, min(SEASON_ROWS, train_rows), columns[:1])
        season = season_of(first[:, 0], [])
    elif season > train_rows:
        raise UserError(f"--season {season} is longer than the {train_rows} training rows of {config.data}")
    return StreamedForecast(source, config.data.name, columns, config, train_rows, scaling, season)


def _check_choices(config: TrainConfig) -> None:
    """Nothing is asked for that needs a table in memory."""
    plain = TrainConfig()
    for name in ("time", "missing", "series", "calendar"):
        value = getattr(config, name)
        if value != getattr(plain, name):
            said = f"--{name}" if value is True else f"--{name} {value}"
            raise UserError(
                f"{config.data} is read piece by piece, where {said} is not to be had: rows are numbered"
                " and missing values must be filled before; or pass a larger --memory"
            )
    for name, values in (("target", config.targets), ("horizon", config.horizons)):
        if len(values) > 1:
            raise UserError(
                f"{config.data} is read piece by piece, where there is one --{name}, and these are {len(values)}: "
                "train a run for each, or pass a larger --memory"
            )
