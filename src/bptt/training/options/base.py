"""The options that every task takes, and their checks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from ...errors import UserError

TaskName = Literal["forecast", "classify", "text"]
CellName = Literal["elman", "gru", "lstm"]
ActivationName = Literal["tanh", "relu", "sigmoid", "softplus", "gelu", "identity"]
Schedule = Literal["constant", "cosine", "step", "plateau"]

MOST = 2**31  # of options that are whole numbers
MOST_LAYERS = 1000
LARGE = 1e37  # bound of options that are real numbers: Adam multiplies them by ten, and float32 ends at 3.4e38

TaskOption = Annotated[
    TaskName, arg(metavar="{forecast,classify,text}", help_behavior_hint="(default: seen from DATA)")
]
DeviceOption = Annotated[str | None, arg(metavar="auto|cpu|cuda|cuda:N|mps", help_behavior_hint="(default: auto)")]
DataOption = Annotated[Path | None, Positional, arg(metavar="[DATA]", help_behavior_hint="")]


@dataclass(frozen=True)
class TrainOptions:
    """Train a recurrent network: forecast a table, classify sequences, or model a text."""

    data: DataOption = None
    """Data to train on, or a run's config.toml."""
    task: TaskOption = "forecast"
    """Kind of task. Default: classify for a .ts file or with --label, text for a .txt file, else forecast."""
    test: float = 0.2
    """Fraction of the rows, at the end, kept as test set."""
    validation: float = 0.0
    """Fraction of the training rows, at their end, kept as validation set, which chooses the best epoch; 0 keeps
    the last epoch."""
    cell: CellName = "elman"
    """Recurrent cell."""
    activation: ActivationName = "tanh"
    """Activation function of the Elman cell."""
    leak: float = 0.7
    """Leak rate of the Elman cell; 1 is the plain network."""
    hidden: int = 12
    """Hidden units of each layer."""
    layers: int = 1
    """Recurrent layers."""
    dropout: float = 0.0
    """Dropout between layers while training."""
    init: float = 0.02
    """Initial weights are uniform within plus or minus this, divided by the square root of --hidden."""
    batch: Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: 1; all with --series)")] = None
    """With --reach truncated, pieces that the training rows are cut into, trained on side by side; with --series,
    series per update."""
    epochs: int = 300
    """Passes over the training set."""
    patience: Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: never)")] = None
    """Stop after so many epochs without a better validation loss."""
    lr: float = 0.02
    """Initial learning rate of Adam."""
    schedule: Schedule = "cosine"
    """Learning rate schedule: constant; a cosine down to 0; a tenth after each third of the epochs; or half after
    5 epochs without a better loss (of the validation set, if there is one)."""
    weight_decay: float = 1e-3
    """L2 penalty on all weights."""
    clip: Annotated[float | Literal["auto"], arg(metavar="FLOAT|auto")] = 1.0
    """Largest gradient norm; longer gradients are scaled down to it. auto takes the norm that nine in ten of the
    first gradients (one epoch, at least 20 updates) stay below, as `bptt diagnose` suggests."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of forward and backward pass in training, by autocast, on any device; weights, losses and tests
    stay in float32."""
    device: DeviceOption = None
    """Device to train on. auto takes CUDA where a GPU is there and the network is large enough to gain from it,
    else the CPU; --resume continues where the run was trained."""
    seed: int = 0
    """Seed of everything random; the same seed gives the same run."""
    out: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: a new one in runs/)")] = None
    """Run folder to make; it must not exist."""
    workers: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: this process alone)")] = None
    """Processes that train together on this machine, each on its share of --batch, on CUDA each with a GPU of its
    own; restarted when one dies."""
    tensorboard: bool = False
    """Write the metrics for TensorBoard too, into the run folder (pip install bptt[tensorboard])."""
    snapshot: float = 30.0
    """Seconds between two snapshots, from which --resume continues; 0 takes one after every update."""
    resume: Annotated[Path | None, arg(metavar="RUN", help_behavior_hint="")] = None
    """Run folder to continue from its last snapshot, exactly as if it had not stopped; no other option but
    --device."""

    @property
    def stretches(self) -> int:
        """The batch, its default filled in."""
        return 1 if self.batch is None else self.batch

    @property
    def method(self) -> str:
        """How far back errors are propagated, in words."""
        return "full BPTT"

    def check(self) -> None:
        """Refuse options that cannot work, before any file is read.

        Raises:
            UserError: naming the option, its value and what is wanted.
        """
        for name in ("hidden", "epochs", "workers", "patience", "batch"):
            self._require_counts(name)
        self._require(1 <= self.layers <= MOST_LAYERS, "layers", f"at least 1 and at most {MOST_LAYERS}")
        for name in ("lr", "init"):
            self._require(0 < getattr(self, name) < LARGE, name, f"above 0 and below {LARGE:g}")
        if self.clip != "auto":
            self._require(0 < self.clip < LARGE, "clip", f"above 0 and below {LARGE:g}, or auto")
        for name in ("weight_decay", "snapshot"):
            self._require(0 <= getattr(self, name) < LARGE, name, f"at least 0 and below {LARGE:g}")
        self._require(0 < self.leak <= 1, "leak", "above 0 and at most 1")
        for name, plain in (("activation", "tanh"), ("leak", 1.0)):
            if self.cell != "elman" and getattr(self, name) not in (plain, getattr(type(self), name)):
                raise UserError(f"--{name} is an option of the Elman cell; a {self.cell.upper()} has none")
        self._require(0 < self.test < 1, "test", "between 0 and 1")
        for name in ("validation", "dropout"):
            self._require(0 <= getattr(self, name) < 1, name, "at least 0 and below 1")
        if self.dropout and self.layers == 1:
            raise UserError(
                f"--dropout {self.dropout:g} acts between layers, and there is one; pass --layers 2 or more"
            )
        if self.patience is not None and self.validation == 0:
            raise UserError(
                f"--patience {self.patience} waits for a better validation loss, and --validation is 0: pass for "
                "example --validation 0.1"
            )
        self._require(0 <= self.seed < 2**63, "seed", "at least 0 and below 2^63")
        check_device_name(self.device)

    def arguments(self) -> list[str]:
        """The command line's arguments that stand for these options."""
        found: list[str] = [] if self.data is None else [str(self.data)]
        for field in fields(self):
            value, option = getattr(self, field.name), option_of(field.name)
            if value is None or field.name == "data" or (field.name != "task" and value == field.default):
                continue
            if isinstance(value, bool):
                found.append(option if value else option.replace("--", "--no-", 1))
                continue
            for group in value if field.name == "input" else (_several(value),):
                found += [option, *map(str, group)]
        return found

    def _require_counts(self, name: str) -> None:
        counts = _several(getattr(self, name))
        holds = counts != () and all(count is None or 1 <= count < MOST for count in counts)
        too_many = any(count is not None and count >= MOST for count in counts)
        self._require(holds, name, "at least 1" + (f" and below {MOST}" if too_many else ""))

    def _require(self, holds: bool, name: str, wanted: str) -> None:
        if not holds:
            raise UserError(f"{option_of(name)} must be {wanted}, got {getattr(self, name)}")


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def option_of(name: str) -> str:
    """A field's name on the command line."""
    return f"--{name.replace('_', '-')}"


def check_device_name(name: str | None) -> None:
    """Refuse a text that names no device.

    Raises:
        UserError: it does not.
    """
    if name is not None and re.fullmatch(r"[a-z]+(:[0-9]{1,4})?", name) is None:
        raise UserError(f"--device must be auto, cpu, cuda, cuda:N or mps, got {name}")


def first_given(options: TrainOptions, besides: Iterable[str] = ()) -> str | None:
    """The first field that differs from its default, besides some; None if there is none."""
    names = (field.name for field in fields(options) if getattr(options, field.name) != field.default)
    return next((name for name in names if name not in besides), None)
