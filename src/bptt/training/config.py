"""What one training run is: every choice, with its default, as the command line and config.toml have it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from .errors import UserError

Cell = Literal["elman", "gru", "lstm"]
Missing = Literal["error", "interpolate"]
Reach = Literal["full", "truncated", "checkpointed"]


@dataclass(frozen=True)
class TrainConfig:
    """Train a recurrent network to forecast, by backpropagation through time.

    Without DATA, the embedded yearly sunspot numbers (1700-2008): learn from 1700-1920, forecast one year ahead.
    With DATA, a table whose rows stand in the order of time: learn from its start, test on its end.
    Writes a run folder: config.toml, model.safetensors, metrics.jsonl, forecast.csv and report.html.
    """

    data: Annotated[Path | None, Positional, arg(metavar="DATA", help_behavior_hint="")] = None
    """CSV, Parquet or .npy file, rows in the order of time; without it, the sunspots."""
    target: Annotated[str | None, arg(metavar="COLUMN", help_behavior_hint="(needed with DATA)")] = None
    """Column to forecast; its past is always an input."""
    input: Annotated[
        UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="COLUMN ...", help_behavior_hint="(repeatable)")
    ] = ()
    """Further input columns."""
    time: Annotated[str | None, arg(metavar="COLUMN", help_behavior_hint="(default: row numbers)")] = None
    """Column of numbers or ISO dates that labels the rows."""
    missing: Missing = "error"
    """What to do with missing values: refuse them, or interpolate between neighbours."""
    horizon: int = 1
    """How many rows ahead to forecast."""
    test: float = 0.2
    """Part of the rows, at the end, that is tested on and never learned from."""
    validation: float = 0.0
    """Part of the training rows, at their end, that chooses the best epoch; 0 keeps the last epoch."""
    cell: Cell = "elman"
    """Recurrent cell."""
    activation: Literal["tanh", "relu", "sigmoid", "softplus", "gelu", "identity"] = "tanh"
    """Of the Elman cell's units."""
    leak: float = 0.7
    """Of the Elman cell's units: how much of the state is new at each step; 1 is the plain network."""
    hidden: int = 12
    """Units of each layer."""
    layers: int = 1
    """Recurrent layers."""
    lags: int = 2
    """Rows that are input at each step: the present one and those just before it."""
    reach: Reach = "full"
    """How far back errors go: to the first row; over the last k2 rows, with an update every k1; or to the first
    row in bounded memory."""
    k1: Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: 20)")] = None
    """Rows between two updates, with --reach truncated."""
    k2: Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: k1)")] = None
    """Rows an error goes back, with --reach truncated; at least k1."""
    batch: Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: 1)")] = None
    """Stretches that the training rows are cut into and walked side by side, with --reach truncated."""
    memory: Annotated[
        str | None,
        arg(metavar="SIZE", help_behavior_hint="(default: 64MB checkpointed, else half of the machine's)"),
    ] = None
    """Memory it may use, for example 64MB: of a checkpointed walk; with --reach truncated, a table that would take
    more is read piece by piece."""
    epochs: int = 300
    """Walks over the training rows and back."""
    lr: float = 0.02
    """Adam's learning rate at the start; it falls to 0 along a cosine."""
    weight_decay: float = 1e-3
    """L2 penalty on all weights."""
    noise: float = 0.0
    """Standard deviation of the Gaussian noise on the standardised inputs while training."""
    clip: float = 1.0
    """Largest norm of the gradient; longer ones are shortened to it."""
    init: float = 0.02
    """Weights start uniform within this divided by the square root of the hidden units."""
    seed: int = 0
    """Of the weights and the noise; the same seed gives the same run."""
    out: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: a new one in runs/)")] = None
    """Run folder to make; it must not exist."""
    workers: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: this process alone)")] = None
    """Processes that train together here, each its share of the --batch; started again when one dies."""
    snapshot: float = 30.0
    """Seconds between two snapshots, which --resume goes on from; 0 takes one after every update."""
    resume: Annotated[Path | None, arg(metavar="RUN", help_behavior_hint="")] = None
    """Run folder to go on with where its last snapshot stands, as if nothing had happened; no other option."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The further input columns, in the order given."""
        return tuple(column for group in self.input for column in group)

    @property
    def window(self) -> int:
        """k1, its default filled in."""
        return 20 if self.k1 is None else self.k1

    @property
    def stretches(self) -> int:
        """The batch, its default filled in."""
        return 1 if self.batch is None else self.batch


def arguments_of(config: TrainConfig) -> list[str]:
    """The command line's arguments that stand for these choices."""
    found: list[str] = [] if config.data is None else [str(config.data)]
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name == "data" or value == field.default:
            continue
        option = f"--{field.name.replace('_', '-')}"
        groups = value if isinstance(value, tuple) else ((value,),)
        for group in groups:
            found += [option, *map(str, group)]
    return found


def check(config: TrainConfig) -> None:
    """Refuse choices that cannot work, before any file is read.

    Raises:
        UserError: naming the option, what it was and what is wanted.
    """
    if config.data is not None and config.target is None:
        raise UserError(f"--target COLUMN is needed with {config.data}: which column is to be forecast?")
    if config.data is None and (config.target or config.input or config.time):
        raise UserError(
            "--target, --input and --time choose columns of DATA, but no DATA was given "
            "(put it before --input, which takes all names that follow)"
        )
    if config.data is None and config.test != TrainConfig.test:
        raise UserError("--test cuts DATA, but no DATA was given; the sunspots' test years are fixed")
    for name in ("horizon", "hidden", "layers", "lags", "epochs"):
        _require(getattr(config, name) >= 1, name, config, "at least 1")
    for name in ("lr", "clip", "init"):
        _require(0 < getattr(config, name) < float("inf"), name, config, "above 0 and finite")
    for name in ("weight_decay", "noise", "snapshot"):
        _require(0 <= getattr(config, name) < float("inf"), name, config, "at least 0 and finite")
    _require(0 < config.leak <= 1, "leak", config, "above 0 and at most 1")
    for name in ("activation", "leak"):
        if config.cell != "elman" and getattr(config, name) != getattr(TrainConfig, name):
            raise UserError(f"--{name} is a choice of the Elman cell; a {config.cell.upper()} has none")
    _check_reach(config)
    _require(0 < config.test < 1, "test", config, "between 0 and 1")
    _require(0 <= config.validation < 1, "validation", config, "at least 0 and below 1")
    _require(0 <= config.seed < 2**63, "seed", config, "at least 0 and below 2^63")


def _check_reach(config: TrainConfig) -> None:
    for name in ("k1", "k2", "batch"):
        value = getattr(config, name)
        if value is not None and config.reach != "truncated":
            raise UserError(f"--{name} {value} is a choice of --reach truncated; this is --reach {config.reach}")
        _require(value is None or value >= 1, name, config, "at least 1")
    if config.k2 is not None and config.k2 < config.window:
        raise UserError(
            f"--k2 {config.k2} is less than --k1 {config.window}: some rows would never be learned from; "
            "pass --k2 of at least k1"
        )
    _require(config.workers is None or config.workers >= 1, "workers", config, "at least 1")
    if config.memory is not None and config.reach == "full":
        raise UserError(
            "--memory bounds --reach checkpointed, or a table read piece by piece with --reach truncated; "
            "this is --reach full"
        )


def _require(holds: bool, name: str, config: TrainConfig, wanted: str) -> None:
    if not holds:
        raise UserError(f"--{name.replace('_', '-')} must be {wanted}, got {getattr(config, name)}")
