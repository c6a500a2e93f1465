"""The options of `bptt train` for the classification of sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import UseAppendAction, arg

from ...errors import UserError
from .base import CellName, DataOption, TaskOption
from .shared import ColumnOption, TableOptions

ReadoutName = Literal["last", "mean", "both"]

NeededColumn = Annotated[str | None, arg(metavar="COLUMN", help_behavior_hint="(needed with a table)")]


@dataclass(frozen=True)
class ClassifyOptions(TableOptions):
    """Train a recurrent network to classify sequences.

    DATA is a UEA/UCR .ts file, or a table in long format: a row for each step, --series and --label columns. With
    a run's config.toml as DATA that run is repeated; options given beside it override it.

    Writes a run folder: config.toml, model.safetensors, metrics.jsonl, report.html, predictions.csv and
    confusion.csv.
    """

    data: DataOption = None
    """A .ts, CSV or Parquet file, or a run's config.toml."""
    task: TaskOption = "classify"
    series: NeededColumn = None
    """Column that names the sequence of each row, its rows in the order of time."""
    label: NeededColumn = None
    """Column of each sequence's class."""
    input: Annotated[
        UseAppendAction[tuple[tuple[str, ...], ...]],
        arg(metavar="COLUMN ...", help_behavior_hint="(repeatable; default: all other columns)"),
    ] = ()
    """Input columns."""
    time: ColumnOption = None
    """Column of numbers or dates that labels the rows; it must increase within each sequence."""
    missing: Literal["error", "interpolate"] = "error"
    test: float = 0.2
    """Fraction of each class's sequences, drawn by the seed, kept as test set; a _TEST.ts beside a _TRAIN.ts is
    the test set instead."""
    validation: float = 0.0
    """Fraction of each class's training sequences, drawn by the seed, kept as validation set, which chooses the
    best epoch; 0 keeps the last epoch."""
    cell: CellName = "gru"
    leak: float = 1.0
    hidden: int = 64
    init: float = 1.0
    stride: Annotated[
        int | None, arg(metavar="INT", help_behavior_hint="(default: chosen by cross-validation)")
    ] = None
    """Consecutive steps that the network reads as one step."""
    readout: Annotated[ReadoutName | None, arg(help_behavior_hint="(default: chosen by cross-validation)")] = None
    """Scores of a sequence's classes: the outputs of its last step, the mean of all steps' outputs, or the mean of
    both."""
    batch: Annotated[
        int | None, arg(metavar="INT", help_behavior_hint="(default: 32, or a sixth of the sequences)")
    ] = None
    """Sequences per update."""
    epochs: Annotated[int, arg(help_behavior_hint="(default: at least 1500 updates)")] = 0
    """Passes over the training set."""
    noise: float = 0.3
    lr: float = 0.005
    weight_decay: float = 1e-4
    class_weights: Literal["none", "balanced"] = "none"
    """balanced gives each class the same weight in the loss, however many sequences it has."""

    def check(self) -> None:
        if self.data is None:
            raise UserError(
                "--task classify needs DATA: a .ts file, or a table with --series COLUMN --label COLUMN"
            )
        if self.data.suffix.lower() == ".ts":
            for name in ("series", "label", "time", "input"):
                if getattr(self, name):
                    raise UserError(f"--{name} chooses a column of a table, and {self.data} is a .ts file")
        else:
            for name in ("series", "label"):
                if getattr(self, name) is None:
                    raise UserError(
                        f"--{name} COLUMN is needed with {self.data}: one label a sequence, one row a step"
                    )
        super().check()
        self._require_counts("stride")

    def _require_counts(self, name: str) -> None:
        if name != "epochs" or self.epochs != 0:
            super()._require_counts(name)
