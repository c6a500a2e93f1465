"""One series to forecast: the network's inputs, targets and forecasts, and the baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...forecast_model import LinearPath
from ..data.calendar import FEATURES, features
from ..data.dates import instant
from ..data.gaps import first_values
from ..data.scaling import Moments, Scaling, as_input
from ..data.spacing import Spacing
from ..data.tables import Rows, Table, lagged
from ..data.timestamps import Clock
from ..options.forecast import ForecastOptions
from ..transfer import device_of, to_device
from .forecasting import Forecasting
from .linear_part import LinearPaths
from .pieces import Steps, pieces_of
from .ridge import Inputs

SHOWN, FEWEST_SHOWN = 2000, 100  # rows of tables on disk that a report shows, and of one of many at least
MOST_ERRORS = 2**20  # that intervals are taken from


class Span(NamedTuple):
    """Rows of the table on which forecasts are judged."""

    name: str
    first: int
    stop: int  # one past the last


class Examples(NamedTuple):
    """Inputs and targets of steps that follow each other."""

    row: int  # that the first of them stands at
    x: Tensor  # (T, I)
    d: Tensor  # (T, K), standardised, NaN where missing or beyond the end


class WalkedSteps(NamedTuple):
    """Steps that a model was walked over."""

    piece: Steps
    x: Tensor  # (T, I)
    y: Tensor  # (T, K), what the model put out, standardised


@dataclass(frozen=True, repr=False)
class Series(Forecasting):
    """A series, in memory or on disk: from the rows up to i, forecast each target in row i + h for each horizon h.

    The outputs, K in number, stand target by target, and within it horizon by horizon.
    """

    config: ForecastOptions  # horizons, validation, coverage, and whether missing values are masked
    train_rows: int  # the number of training rows, from the start
    scaling: Scaling  # fitted to the training rows
    # the rows that are read before the present one, as `Lookback` has them
    lags: list[int]
    dense: int
    seasons: list[int]
    order: int
    table: Rows  # the data, the targets in its first columns
    # the periods of the dates whose sine and cosine are input
    calendar: list[str] = field(default_factory=list, kw_only=True)
    # the linear part, where the network learns what it leaves
    paths: LinearPaths | None = field(default=None, kw_only=True)
    spans: list[Span] = field(default_factory=list, kw_only=True)  # the test rows
    # by target, what mean squared errors are divided by for the average relative variance
    variances: list[float] = field(default_factory=list, kw_only=True)
    published: dict[str, dict[str, float]] = field(default_factory=dict, kw_only=True)  # by name and span
    part: str = field(default="", kw_only=True)  # which of many series this is
    among: int = field(default=1, kw_only=True)  # how many on disk, which share the rows that are kept in memory
    # of its rows in time, by which future rows are dated, None if unknown; and the one by which the calendar
    # counts, that of the training rows
    spacing: Spacing | None = field(default=None, kw_only=True)
    ahead: Spacing | None = field(default=None, kw_only=True)
    # in whose time zone the calendar reads the dates of new rows; None of the training set, which are read as
    # they are written
    calendar_clock: Clock | None = field(default=None, kw_only=True)

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def columns(self) -> list[str]:
        return self.table.columns

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.table)

    @property
    def in_memory(self) -> bool:
        return isinstance(self.table, Table)

    @property
    def moments(self) -> list[Moments]:
        """Of each target's training rows."""
        places = range(max(1, len(self.config.targets)))
        return [self.table.moments(0, self.train_rows, slice(place, place + 1)) for place in places]

    @property
    def first_written(self) -> int:
        """The first row whose forecasts are written: of a table on disk, of the test rows alone."""
        return 0 if self.in_memory else self.train_rows

    @property
    def first_shown(self) -> int:
        """The first row whose forecasts a report may show."""
        return 0 if self.in_memory else max(self.train_rows, self.rows - max(FEWEST_SHOWN, SHOWN // self.among))

    @property
    def farthest(self) -> int:
        """The longest horizon."""
        return max(self.config.horizons)

    @property
    def outputs(self) -> list[tuple[int, int]]:
        """The target's place and the horizon of each output."""
        return self.config.outputs

    @property
    def first_step(self) -> int:
        """The row of the first step: it has its lags before it."""
        return self.lags[-1]

    @property
    def train_steps(self) -> int:
        """How many steps have all their targets among the training rows."""
        return self.train_rows - self.first_step - self.farthest

    @property
    def learned_steps(self) -> int:
        """How many of them are left beside those for validation."""
        return self.train_steps - round(self.train_steps * self.config.validation)

    @property
    def has_validation(self) -> bool:
        """Whether there are steps for validation; a small part of few steps is none."""
        return self.learned_steps < self.train_steps

    @property
    def first_held_out(self) -> int:
        """The first step whose errors are held out, for validation; without any, the first training step."""
        first = self.learned_steps if self.has_validation else 0
        return max(first, self.train_steps - MOST_ERRORS // self.among)

    @property
    def layout(self) -> Inputs:
        """The layout of the inputs."""
        marks = self.config.missing == "mask"
        return Inputs(len(self.scaling.mean), self.lags, marks, FEATURES * len(self.calendar), self.dense)

    @property
    def path(self) -> LinearPath | None:
        """The linear path beside which the network is trained."""
        return None if self.paths is None else self.paths.learned

    @property
    def read_size(self) -> int:
        """R, how many numbers the network reads at each step."""
        return self.layout.size if self.path is None else len(self.path.offset)

    def read(self, x: Tensor) -> Tensor:
        """What the network reads of inputs x."""
        return x if self.path is None else self.path.read(x)

    def rest(self, x: Tensor, d: Tensor) -> Tensor:
        """What the network learns of targets d."""
        return d if self.path is None else self.path.rest(x, d)

    def in_units(self, y: Tensor) -> np.ndarray:
        """Outputs (T, K) in the targets' units."""
        columns = zip(y.double().numpy().T, self.outputs, strict=True)
        return np.stack([self.scaling.undo_target(own, place) for own, (place, _) in columns], axis=1)

    def training_examples(self) -> Iterator[Examples]:
        """The training steps, by piece."""
        return self.examples(self.first_step, self.first_step + self.train_steps)

    def examples(self, first: int, stop: int) -> Iterator[Examples]:
        """The steps at rows first to stop, by piece."""
        for piece in self.pieces(first, stop, self.first_step):
            yield Examples(piece.row, self.inputs_of(piece), self.targets_of(piece))

    def held_out(self, network: nn.Module) -> tuple[np.ndarray, np.ndarray]:
        """The network's outputs and targets (N, K) at the validation steps; without any, at the training steps."""
        y, d = zip(*self.walked_by_network(network, self.first_held_out), strict=True)
        return torch.cat(y).double().numpy(), torch.cat(d).double().numpy()

    def held_out_times(self) -> list[Any]:
        """The times of these steps, dates of a zone in UTC."""
        stop = self.first_step + self.train_steps
        pieces = range(self.first_step + self.first_held_out, stop, self.table.piece)
        found = (self.table.timestamps_at(row, min(self.table.piece, stop - row)).moments for row in pieces)
        return [instant(moment) for moments in found for moment in moments]

    def walked_by_network(self, network: nn.Module, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The network's outputs and targets (T, K) from a training step on, by piece."""
        rows = self.first_step + start, self.first_step + self.train_steps
        for piece, x, y in self._walk(network, *rows, 0, self.read):
            early = max(0, rows[0] - piece.row)
            yield y[early:], self.rest(x, self.targets_of(piece))[early:]

    def pieces(self, first: int, stop: int, before: int) -> Iterator[Steps]:
        """The steps at rows first to stop, by piece, each led by so many rows, or by all where there are fewer."""
        return pieces_of(self.table, first, stop, before, self.farthest)

    def begun_pieces(self, first: int, stop: int, before: int) -> Iterator[Steps]:
        """The same, their gaps at the start of a column to be filled by its first value."""
        return (piece.begun_by(self.first_values) for piece in self.pieces(first, stop, before))

    @cached_property
    def first_values(self) -> np.ndarray:
        """Each column's first value, (C)."""
        return first_values(self.table.read, len(self.columns), self.rows, self.table.piece)

    def inputs_of(self, piece: Steps) -> Tensor:
        """x (T, I) of steps that have their lags before them.

        The standardised columns of the row and of its lags, as `as_input` has them; then the sines and cosines of
        the calendar for the date on which the row of the farthest forecast is due.
        """
        found = piece.carried if self.config.missing == "interpolate" else piece.past
        rows = self.scaling.apply(np.stack([found(place) for place in range(len(self.columns))], axis=1))
        x = lagged(as_input(rows[piece.before - self.first_step :], self.config.missing), self.lags)
        if self.calendar:
            assert self.ahead is not None
            stamps = self.table.timestamps_at(piece.row, piece.steps)
            times = stamps.moments
            if self.calendar_clock is not None:
                times = [
                    self.calendar_clock.local(time, text) for time, text in zip(times, stamps.texts, strict=True)
                ]
            due = [self.ahead.after(time, self.farthest) for time in times]
            x = np.concatenate([x, features(due, self.calendar)], axis=1)
        return torch.from_numpy(x).float()

    def targets_of(self, piece: Steps) -> Tensor:
        """d (T, K), standardised, NaN where missing or beyond the end."""
        scaled = piece._replace(values=self.scaling.apply(piece.values))
        return torch.from_numpy(scaled.targets(self.outputs)).float()

    def walked(self, model: nn.Module, before: int) -> Iterator[WalkedSteps]:
        """The steps whose forecasts are written, by piece, each led by so many rows where there are."""
        first = max(self.first_step, self.first_written - self.farthest)
        for piece, x, y in self._walk(model, first, self.rows, before):
            early = max(0, first - piece.row)
            yield WalkedSteps(piece.without(early), x[early:], y[early:])

    def _walk(
        self, model: nn.Module, first: int, stop: int, before: int, read: Callable[[Tensor], Tensor] = lambda x: x
    ) -> Iterator[WalkedSteps]:
        """A model walked over rows first to stop, begun before them so that its state is no new one.

        The first piece may begin earlier.

        Args:
            before: the rows that lead each piece; as many as the lags at least.
            read: what the model reads of inputs x.
        """
        start, before = max(self.first_step, first - self.table.warm_up), max(before, self.first_step)
        state = ()
        for piece in self.pieces(start, stop, before):
            x = self.inputs_of(piece)
            with torch.no_grad():
                y, *state = model(to_device(read(x), device_of(model)), *state)
            if piece.row + piece.steps > first:
                yield WalkedSteps(piece, x, y.to(x.device))

    def training_steps(self) -> tuple[Tensor, Tensor]:
        """What the network reads and learns at the training steps of a table in memory, (T, R) and (T, K)."""
        ((_, x, d),) = self.training_examples()
        return self.read(x), self.rest(x, d)
