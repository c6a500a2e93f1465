"""Forecasting many series of one file with one network, trained on all of them side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import UserError
from ...forecast_model import LinearPath
from ...networks import SequenceModel
from ..batches import Groups
from ..data.scaling import Moments, Scaling
from ..data.spacing import Spacing
from ..data.tables import Rows, leaving_out
from ..data.timestamps import OFFSETS, Clock
from ..forward import noisy
from ..options.forecast import ForecastOptions
from ..transfer import device_of, to_device
from ..updates import Updates, Whole, Windows, check_workers, loss_for_targets, mean_square, predictions
from ..workers import ALONE, Workers
from .excerpt import TrainingExcerpt
from .forecast import Forecast, note_spacing, part_forecast, with_linear_part
from .forecasting import Forecasting
from .scores import judged
from .seasons import lookback_of
from .stretch_windows import Stretch, stretch_updates, validation_error
from .task import Judged, WholeModel
from .whole_model import whole_of


@dataclass(frozen=True, repr=False)
class Panel(Forecasting):
    """Many series as one task: each split, scaled and judged on its own, all trained on in the same updates."""

    name: str  # of the file
    config: ForecastOptions
    parts: list[Forecast]

    @property
    def columns(self) -> list[str]:
        return self.parts[0].columns

    @property
    def in_memory(self) -> bool:
        return self.parts[0].in_memory

    @property
    def rows(self) -> int:
        """How many rows all series have."""
        return sum(part.rows for part in self.parts)

    @property
    def train_steps(self) -> int:
        return sum(part.train_steps for part in self.parts)

    @property
    def learned_steps(self) -> int:
        return sum(part.learned_steps for part in self.parts)

    @property
    def amount(self) -> str:
        return f"{super().amount} in {len(self.parts)} series"

    @property
    def calendar(self) -> list[str]:
        return self.parts[0].calendar

    @property
    def lags(self) -> list[int]:
        return self.parts[0].lags

    @property
    def path(self) -> LinearPath | None:
        return self.parts[0].path

    def whole(self, network: SequenceModel) -> WholeModel:
        return whole_of(self.parts, network)

    @property
    def series(self) -> dict[str, Scaling]:
        return {part.part: part.scaling for part in self.parts}

    @property
    def clock(self) -> Clock:
        clocks = [part.clock for part in self.parts]
        zones = {clock.zone for clock in clocks}
        return Clock(clocks[0].day_first, zones.pop() if len(zones) == 1 else OFFSETS)

    @property
    def spacings(self) -> dict[str, Spacing]:
        return {name: own for part in self.parts for name, own in part.spacings.items()}

    @property
    def scaling(self) -> Scaling:
        """By the training rows of all series."""
        return reduce(Moments.joined, (part.table.moments(0, part.train_rows) for part in self.parts)).scaling

    def updates(self, model: nn.Module, workers: Workers = ALONE) -> Updates:
        """Series side by side from their first steps; where one has ended, the others continue without it.

        All of them in the same updates, or with --batch so many at a time.
        """
        config, count = self.config, len(self.parts)
        size = min(config.batch or count, count)
        check_workers(config, workers, size)
        if not self.in_memory:
            return self._streamed_updates(size, model, workers)
        x, d = self._side_by_side()
        steps = torch.arange(len(x), device="cpu")[:, None, None]
        is_learned = steps < torch.tensor([part.learned_steps for part in self.parts], device="cpu")[:, None]
        learned, later = d.where(is_learned, torch.nan), d.where(~is_learned, torch.nan)

        def validation() -> float | None:
            return mean_square(predictions(model, x), later).item() if config.validation else None

        def group(numbers: list[int]) -> Updates:
            steps = slice(max(self.parts[number].learned_steps for number in numbers))
            own_x, own_d, share = x[steps, numbers], learned[steps, numbers], workers.share(len(numbers))
            if config.reach != "truncated":
                return Whole(model, own_x, own_d, config, validation)
            loss, device = loss_for_targets(own_d), device_of(model)
            own_x, own_d = to_device(own_x, device), to_device(own_d, device)

            def sequences(epoch: int) -> tuple[Tensor, Tensor]:
                return noisy(own_x, config, epoch)[:, share], own_d[:, share]

            return Windows(model, sequences, config, validation, loss, workers)

        return group(list(range(count))) if size == count else Groups(count, size, config.seed, group, validation)

    def _streamed_updates(self, size: int, model: nn.Module, workers: Workers) -> Updates:
        """The same of a table on disk."""
        count = len(self.parts)
        stretches = [Stretch(part, part.first_step, part.learned_steps) for part in self.parts]

        def group(numbers: list[int]) -> Updates:
            return stretch_updates([stretches[number] for number in numbers], self.parts, model, workers)

        if size == count:
            return group(list(range(count)))
        return Groups(count, size, self.config.seed, group, lambda: validation_error(self.parts, model))

    def training_excerpt(self) -> TrainingExcerpt:
        """The last training steps of the longest series."""
        longest = max(self.parts, key=lambda part: part.train_steps).training_excerpt()
        notes = [note for part in self.parts if (note := part.beyond()) is not None]
        more = [f"So do {len(notes) - 1} of the other {len(self.parts) - 1} series."] if len(notes) > 1 else []
        return longest._replace(notes=(*notes[:1], *more))

    def judge(self, whole: WholeModel, title: str, path: Path) -> Judged:
        """Forecast every row of each series, write that, and compare with the baselines on each one's end."""
        return judged(self.parts, whole, title, path)

    def _side_by_side(self) -> tuple[Tensor, Tensor]:
        """x (T, B, I) and d (T, B, K) of each series' training steps; beyond them x is 0 and d NaN."""
        pairs = [part.training_steps() for part in self.parts]
        x, d = [x for x, _ in pairs], [d for _, d in pairs]
        return nn.utils.rnn.pad_sequence(x), nn.utils.rnn.pad_sequence(d, padding_value=torch.nan)


def panel(config: ForecastOptions, tables: Mapping[str, Rows]) -> Panel:
    """Tables by the names of their series; those with too few rows or values are left out, with a warning."""
    assert config.data is not None
    parts = []
    for part, table in tables.items():
        with leaving_out(f"series {part!r} is left out"):
            parts.append(part_forecast(table, config, part))
    if not parts:
        raise UserError(f"{config.data}: no series has enough rows and values for training")
    among = 1 if parts[0].in_memory else len(parts)
    shared = [period for period in parts[0].calendar if all(period in part.calendar for part in parts)]
    fewest = min(part.train_rows for part in parts)
    seasons = [season for season in max(parts, key=lambda part: part.train_rows).seasons if season <= fewest]
    shape = lookback_of(seasons, fewest, config)._asdict()
    parts = with_linear_part([replace(part, calendar=shared, among=among, **shape) for part in parts])
    note_spacing(parts)
    return Panel(config.data.name, config, parts)
