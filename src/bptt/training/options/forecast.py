"""The options of `bptt train` for a forecast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from ...errors import UserError
from .base import CellName, DataOption
from .shared import ColumnOption, Missing, ReachOptions, TableOptions

TABLES = (".csv", ".parquet", ".pq", ".npy")


@dataclass(frozen=True)
class ForecastOptions(TableOptions, ReachOptions):
    """Train a recurrent network to forecast columns of a table from their past.

    The rows of DATA are in the order of time; the last ones are the test set. Without DATA it forecasts the
    embedded yearly sunspot numbers (1700-2008) one year ahead, trained on 1700-1920, by a recipe of its own: an
    Elman network of 12 units, no linear part; the defaults below are those with DATA. With a run's config.toml as
    DATA that run is repeated; options given beside it override it.

    Writes a run folder: config.toml, model.safetensors, metrics.jsonl, report.html and forecast.csv.
    """

    data: DataOption = None
    """CSV, Parquet or .npy file with rows in the order of time, or a run's config.toml; default: the sunspots."""
    target: Annotated[
        str | tuple[str, ...] | None, arg(metavar="COLUMN ...", help_behavior_hint="(needed with DATA)")
    ] = None
    """Columns to forecast; their past is always an input."""
    series: ColumnOption = None
    """Column that names the series of each row: many series in one file, each in the order of time."""
    missing: Missing = "error"
    """Missing values: refuse them, interpolate between neighbours, or mask them: as inputs they are 0, beside a
    further input that marks them, and as targets they are left out of the loss."""
    horizon: Annotated[int | tuple[int, ...], arg(metavar="INT ...")] = 1
    """How many rows ahead to forecast; several are forecast together."""
    lags: Annotated[
        int | None, arg(metavar="INT", help_behavior_hint="(default: recent ones, and those a season ago)")
    ] = None
    """Rows that are input at each step: the present one and those just before it."""
    calendar: bool = True
    """Input the hour of day, day of week and day of year, as sine and cosine, where the dates of --time differ in
    them."""
    season: Annotated[
        int | None, arg(metavar="INT", help_behavior_hint="(default: found in the training rows)")
    ] = None
    """Rows of one season."""
    linear: bool = True
    """Forecast by a ridge regression on the inputs, and train the network on what it leaves; where validation does
    not show that the network helps, it is left out. --no-linear: the network alone."""
    validation: float = 0.2
    cell: CellName = "gru"
    leak: float = 1.0
    hidden: int = 32
    init: float = 1.0
    epochs: int = 200
    lr: float = 0.005
    weight_decay: float = 1e-4
    coverage: float = 0.9
    """Fraction of true values that the prediction intervals should contain; their width comes from the errors on
    the validation set."""
    memory: Annotated[
        str | None,
        arg(metavar="SIZE", help_behavior_hint="(default: 64MB checkpointed, else half of the machine's)"),
    ] = None
    """Memory to use, for example 64MB: by --reach checkpointed for its states; with --reach truncated, a table
    that needs more is read piece by piece."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to forecast."""
        return (self.target,) if isinstance(self.target, str) else self.target or ()

    @property
    def horizons(self) -> tuple[int, ...]:
        """The horizons, in the order given."""
        return (self.horizon,) if isinstance(self.horizon, int) else self.horizon

    @property
    def outputs(self) -> list[tuple[int, int]]:
        """Each output's target, by its place, and horizon, target by target."""
        return [(place, ahead) for place in range(max(1, len(self.targets))) for ahead in self.horizons]

    def check(self) -> None:
        self._check_columns()
        for name in ("horizon", "lags", "season"):
            self._require_counts(name)
        if len(set(self.horizons)) < len(self.horizons):
            raise UserError(f"--horizon {' '.join(map(str, self.horizons))} names one twice")
        if self.data is None and self.test != ForecastOptions.test:
            raise UserError("--test splits DATA, but no DATA was given; the sunspots' test years are fixed")
        super().check()
        if self.series is None:
            self._require_truncated("batch")
        if self.memory is not None and self.reach == "full":
            raise UserError(
                "--memory bounds --reach checkpointed, or a table read piece by piece with --reach truncated; "
                "this is --reach full"
            )
        self._require(0 < self.coverage < 1, "coverage", "between 0 and 1")

    def _check_columns(self) -> None:
        if self.data is not None and not self.targets:
            text = f"; {self.data.name} is no table by its name: to train on it as a text, pass --task text"
            hint = "" if self.data.suffix.lower() in TABLES else text
            raise UserError(f"--target COLUMN is needed with {self.data}: the column to forecast{hint}")
        if self.data is None and (self.target or self.input or self.time or self.series):
            raise UserError(
                "--target, --input, --time and --series choose columns of DATA, but no DATA was given "
                "(put it before --target and --input, which take all names that follow)"
            )


@dataclass(frozen=True)
class SunspotOptions(ForecastOptions):
    """The options for the embedded sunspot numbers, which have a recipe of their own."""

    lags: int | None = 2
    calendar: bool = False
    linear: bool = False
    validation: float = 0.0
    cell: CellName = "elman"
    leak: float = 0.7
    hidden: int = 12
    init: float = 0.02
    epochs: int = 300
    lr: float = 0.02
    weight_decay: float = 1e-3
