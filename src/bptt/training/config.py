"""What one training run is: every choice, with its default, as the command line and config.toml have it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from ..errors import UserError

TaskName = Literal["forecast", "classify", "text"]
Cell = Literal["elman", "gru", "lstm"]
Missing = Literal["error", "interpolate", "mask"]
Reach = Literal["full", "truncated", "checkpointed"]
Schedule = Literal["constant", "cosine", "step", "plateau"]
Tokens = Literal["characters", "bytes"]

TABLES = (".csv", ".parquet", ".pq", ".npy")
MOST = 2**31  # of options that are whole numbers
MOST_LAYERS = 1000
LARGE = 1e37  # where options that are real numbers end; a float32, and ten times as much in Adam, does at 3.4e38

# Defaults that another task than forecasting has; the others are those of the class below.
TASK_DEFAULTS: dict[TaskName, dict[str, Any]] = {
    "forecast": {},
    "classify": {
        **{"cell": "gru", "leak": 1.0, "hidden": 64, "init": 1.0, "lags": 1, "batch": 32},
        **{"epochs": 60, "lr": 0.005, "weight_decay": 1e-4},
    },
    "text": {
        **{"cell": "lstm", "leak": 1.0, "hidden": 128, "init": 1.0, "lags": 1, "reach": "truncated"},
        **{"k1": 64, "batch": 16, "epochs": 8, "lr": 0.01, "weight_decay": 0.0, "test": 0.1},
    },
}

# The options that are not every task's, and whose they are.
TASKS_WITH: dict[str, tuple[TaskName, ...]] = {
    **dict.fromkeys(("target", "horizon", "calendar", "season", "coverage", "lags", "memory"), ("forecast",)),
    **dict.fromkeys(("series", "input", "time", "missing", "noise"), ("forecast", "classify")),
    **dict.fromkeys(("reach", "k1", "k2"), ("forecast", "text")),
    **dict.fromkeys(("label", "readout", "class_weights"), ("classify",)),
    "tokens": ("text",),
}


def _by_task(name: str) -> Any:
    """An option whose help tells the default of every task."""
    others = "".join(f"; {task}: {own[name]}" for task, own in TASK_DEFAULTS.items() if name in own)
    return arg(help_behavior_hint=lambda default: f"(default: {default}{others})")


@dataclass(frozen=True)
class TrainConfig:
    """Train a recurrent network by backpropagation through time: to forecast, to classify, or on text.

    forecast: a table whose rows stand in the order of time; learn from its start, test on its end. Without DATA,
    the embedded yearly sunspot numbers (1700-2008): learn from 1700-1920, forecast one year ahead.
    classify: one label a sequence, from a UEA/UCR .ts file or a table in long format (--series, --label).
    text: a language model of the characters of a UTF-8 file, or of the bytes of any; without DATA, Moby-Dick.
    A config.toml of a run as DATA runs it again; options given beside it override it.
    Writes a run folder: config.toml, model.safetensors, metrics.jsonl, report.html, and what the task puts out.
    """

    data: Annotated[Path | None, Positional, arg(metavar="DATA", help_behavior_hint="")] = None
    """CSV, Parquet or .npy file with rows in the order of time, .ts or .txt file, or a run's config.toml; without
    it, what is embedded."""
    task: Annotated[
        TaskName | None, arg(metavar="{forecast,classify,text}", help_behavior_hint="(default: seen from DATA)")
    ] = None
    """What is learned; without it, classify for a .ts file or --label, text for a .txt file, else forecast."""
    target: Annotated[
        str | tuple[str, ...] | None, arg(metavar="COLUMN ...", help_behavior_hint="(needed with DATA)")
    ] = None
    """Columns to forecast; their past is always an input."""
    series: Annotated[
        str | None, arg(metavar="COLUMN", help_behavior_hint="(default: none; needed to classify)")
    ] = None
    """Column that says which series a row belongs to: many in one file, each in the order of time."""
    label: Annotated[str | None, arg(metavar="COLUMN", help_behavior_hint="(classify)")] = None
    """Column of each sequence's class."""
    tokens: Tokens = "characters"
    """What a text is learned as, one a step: the characters it holds, or bytes, of which there are 256."""
    input: Annotated[
        UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="COLUMN ...", help_behavior_hint="(repeatable)")
    ] = ()
    """Further input columns; to classify, those that are input (default: all that are left)."""
    time: Annotated[str | None, arg(metavar="COLUMN", help_behavior_hint="(default: row numbers)")] = None
    """Column of numbers or dates that labels the rows; with --series, it must increase within each."""
    calendar: bool = False
    """Input the hour of day, day of week and day of year, as sine and cosine, as far as the dates of --time differ
    in them."""
    missing: Missing = "error"
    """What to do with missing values: refuse them, interpolate between neighbours, or, to forecast, mask them: as
    inputs they are 0 beside a column that says so, as targets they weigh nothing."""
    horizon: Annotated[int | tuple[int, ...], arg(metavar="INT ...")] = 1
    """How many rows ahead to forecast; several are forecast side by side."""
    season: Annotated[
        int | None, arg(metavar="INT", help_behavior_hint="(default: seen from the training rows)")
    ] = None
    """Rows after which the seasonal persistence forecast repeats what was."""
    coverage: float = 0.9
    """How often the prediction intervals should hold what comes, as the errors on the validation rows tell."""
    test: Annotated[float, _by_task("test")] = 0.2
    """Part of the rows or tokens, at the end, that is tested on and never learned from; to classify, of each
    class's sequences, drawn by the seed, where there is no _TEST.ts beside a _TRAIN.ts."""
    validation: float = 0.0
    """Part of the training rows, at their end, that chooses the best epoch; to classify, of each class's
    sequences, drawn by the seed; 0 keeps the last epoch."""
    cell: Annotated[Cell, _by_task("cell")] = "elman"
    """Recurrent cell."""
    activation: Literal["tanh", "relu", "sigmoid", "softplus", "gelu", "identity"] = "tanh"
    """Of the Elman cell's units."""
    leak: Annotated[float, _by_task("leak")] = 0.7
    """Of the Elman cell's units: how much of the state is new at each step; 1 is the plain network."""
    hidden: Annotated[int, _by_task("hidden")] = 12
    """Units of each layer."""
    layers: int = 1
    """Recurrent layers."""
    dropout: float = 0.0
    """Part of each layer's outputs, but the last one's, that is zeroed while training."""
    readout: Literal["last", "mean"] = "last"
    """What the class is read from: the state after the last step, or the mean of all of them."""
    lags: int = 2
    """Rows that are input at each step: the present one and those just before it."""
    reach: Annotated[Reach, _by_task("reach")] = "full"
    """How far back errors go: to the first row; over the last k2 rows, with an update every k1; or to the first
    row in bounded memory."""
    k1: Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: 20; text: 64)")] = None
    """Rows between two updates, with --reach truncated."""
    k2: Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: k1)")] = None
    """Rows an error goes back, with --reach truncated; at least k1."""
    batch: Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: 1; classify: 32; text: 16)")] = (
        None
    )
    """Stretches that the training rows are cut into and walked side by side, with --reach truncated; to classify,
    sequences of an update; with --series, series of an update, which are all of them without it."""
    memory: Annotated[
        str | None,
        arg(metavar="SIZE", help_behavior_hint="(default: 64MB checkpointed, else half of the machine's)"),
    ] = None
    """Memory it may use, for example 64MB: of a checkpointed walk; with --reach truncated, a table that would take
    more is read piece by piece."""
    epochs: Annotated[int, _by_task("epochs")] = 300
    """Walks over what is learned from and back."""
    patience: Annotated[int | None, arg(metavar="INT", help_behavior_hint="(default: never)")] = None
    """Epochs without a better validation loss after which training stops."""
    lr: Annotated[float, _by_task("lr")] = 0.02
    """Adam's learning rate at the start."""
    schedule: Schedule = "cosine"
    """Of the learning rate, epoch by epoch: it stays; falls to 0 along a cosine; is divided by 10 after each third
    of the epochs; or is halved after 5 epochs without a better loss (of the validation where there is one)."""
    weight_decay: Annotated[float, _by_task("weight_decay")] = 1e-3
    """L2 penalty on all weights."""
    noise: float = 0.0
    """Standard deviation of the Gaussian noise on the standardised inputs while training."""
    class_weights: Literal["none", "balanced"] = "none"
    """Whether each class weighs the same in the loss, however many sequences it has."""
    clip: Annotated[float | Literal["auto"], arg(metavar="FLOAT|auto")] = 1.0
    """Largest norm of the gradient; longer ones are shortened to it. auto clips nothing in the first epoch, or the
    first few of less than 20 updates, and then at the norm that nine in ten of their gradients were below, as
    `bptt diagnose` suggests it."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the walks while training; weights, losses and tests stay in float32."""
    init: Annotated[float, _by_task("init")] = 0.02
    """Weights start uniform within this divided by the square root of the hidden units."""
    seed: int = 0
    """Of the weights and the noise; the same seed gives the same run."""
    out: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: a new one in runs/)")] = None
    """Run folder to make; it must not exist."""
    workers: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: this process alone)")] = None
    """Processes that train together here, each its share of the --batch; started again when one dies."""
    tensorboard: bool = False
    """Write the metrics for TensorBoard too, into the run folder (pip install bptt[tensorboard])."""
    snapshot: float = 30.0
    """Seconds between two snapshots, which --resume goes on from; 0 takes one after every update."""
    resume: Annotated[Path | None, arg(metavar="RUN", help_behavior_hint="")] = None
    """Run folder to go on with where its last snapshot stands, as if nothing had happened; no other option."""

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
        """The target's place and the horizon of each output of a forecast, target by target."""
        return [(place, ahead) for place in range(max(1, len(self.targets))) for ahead in self.horizons]

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


def task_of(config: TrainConfig) -> TaskName:
    """The task asked for, or the one seen from the data."""
    if config.task is not None:
        return config.task
    suffix = "" if config.data is None else config.data.suffix.lower()
    if suffix == ".ts" or config.label is not None or (config.series is not None and not config.targets):
        return "classify"
    return "text" if suffix in (".txt", ".text") else "forecast"


def configured(task: TaskName, **choices: Any) -> TrainConfig:
    """A run of a task, with that task's defaults where nothing is chosen."""
    return TrainConfig(**{"task": task, **TASK_DEFAULTS[task], **choices})


def arguments_of(config: TrainConfig) -> list[str]:
    """The command line's arguments that stand for these choices."""
    found: list[str] = [] if config.data is None else [str(config.data)]
    plain = configured(task_of(config))
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name == "data" or (field.name != "task" and value == getattr(plain, field.name)):
            continue
        if value is None:
            continue
        option = option_of(field.name)
        if isinstance(value, bool):
            found.append(option if value else option.replace("--", "--no-", 1))
            continue
        groups = value if field.name == "input" else (value if isinstance(value, tuple) else (value,),)
        for group in groups:
            found += [option, *map(str, group)]
    return found


def check(config: TrainConfig) -> None:
    """Refuse choices that cannot work, before any file is read.

    Raises:
        UserError: naming the option, what it was and what is wanted.
    """
    task = task_of(config)
    plain = {name: (own, TASK_DEFAULTS[task].get(name, own)) for name, own in vars(TrainConfig()).items()}
    for name, tasks in TASKS_WITH.items():
        if task not in tasks and getattr(config, name) not in plain[name]:
            raise UserError(
                f"{option_of(name)} is a choice of --task {' and '.join(tasks)}; this is --task {task}"
            )
    _CHECKS[task](config)
    for name in ("hidden", "lags", "epochs", "workers", "patience", "horizon"):
        _require_counts(name, config)
    _require(1 <= config.layers <= MOST_LAYERS, "layers", config, f"at least 1 and at most {MOST_LAYERS}")
    for name in ("lr", "init"):
        _require(0 < getattr(config, name) < LARGE, name, config, f"above 0 and below {LARGE:g}")
    if config.clip != "auto":
        _require(0 < config.clip < LARGE, "clip", config, f"above 0 and below {LARGE:g}, or auto")
    for name in ("weight_decay", "noise", "snapshot"):
        _require(0 <= getattr(config, name) < LARGE, name, config, f"at least 0 and below {LARGE:g}")
    _require(0 < config.leak <= 1, "leak", config, "above 0 and at most 1")
    for name in ("activation", "leak"):
        if config.cell != "elman" and getattr(config, name) not in plain[name]:
            raise UserError(f"--{name} is a choice of the Elman cell; a {config.cell.upper()} has none")
    _check_reach(config)
    _require(0 < config.test < 1, "test", config, "between 0 and 1")
    _require(0 <= config.validation < 1, "validation", config, "at least 0 and below 1")
    _require(0 <= config.dropout < 1, "dropout", config, "at least 0 and below 1")
    if config.dropout and config.layers == 1:
        raise UserError(
            f"--dropout {config.dropout:g} acts between layers, and there is one; pass --layers 2 or more"
        )
    if config.patience is not None and config.validation == 0:
        raise UserError(
            f"--patience {config.patience} waits for a better validation loss, and --validation is 0: pass for "
            "example --validation 0.1"
        )
    _require(0 < config.coverage < 1, "coverage", config, "between 0 and 1")
    _require(0 <= config.seed < 2**63, "seed", config, "at least 0 and below 2^63")


def _check_forecast(config: TrainConfig) -> None:
    if config.data is not None and not config.targets:
        text = f"; {config.data.name} is no table by its name: to learn it as a text, pass --task text"
        hint = "" if config.data.suffix.lower() in TABLES else text
        raise UserError(f"--target COLUMN is needed with {config.data}: the column to forecast{hint}")
    if config.data is None and (config.target or config.input or config.time or config.series):
        raise UserError(
            "--target, --input, --time and --series choose columns of DATA, but no DATA was given "
            "(put it before --target and --input, which take all names that follow)"
        )
    if len(set(config.horizons)) < len(config.horizons):
        raise UserError(f"--horizon {' '.join(map(str, config.horizons))} names one twice")
    _require_counts("season", config)
    if config.calendar and config.time is None:
        raise UserError("--calendar reads the dates of --time COLUMN, and none was named")
    if config.data is None and config.test != TrainConfig.test:
        raise UserError("--test cuts DATA, but no DATA was given; the sunspots' test years are fixed")


def _check_classify(config: TrainConfig) -> None:
    if config.missing == "mask":
        raise UserError("--missing mask is a choice of --task forecast; to classify, fill them or interpolate")
    if config.data is None:
        raise UserError("--task classify needs DATA: a .ts file, or a table with --series COLUMN --label COLUMN")
    columns = {name: getattr(config, name) for name in ("series", "label", "time")}
    if config.data.suffix.lower() == ".ts":
        for name, value in {**columns, "input": config.inputs}.items():
            if value:
                raise UserError(f"--{name} chooses a column of a table, and {config.data} is a .ts file")
        return
    for name in ("series", "label"):
        if columns[name] is None:
            raise UserError(f"--{name} COLUMN is needed with {config.data}: one label a sequence, one row a step")


def _check_text(config: TrainConfig) -> None:
    if config.reach != "truncated":
        raise UserError(f"--task text supports only --reach truncated, got --reach {config.reach}")


_CHECKS = {"forecast": _check_forecast, "classify": _check_classify, "text": _check_text}


def _check_reach(config: TrainConfig) -> None:
    many = task_of(config) == "classify" or config.series is not None
    for name in ("k1", "k2", "batch"):
        value = getattr(config, name)
        if value is not None and config.reach != "truncated" and not (name == "batch" and many):
            raise UserError(f"--{name} {value} is a choice of --reach truncated; this is --reach {config.reach}")
        _require_counts(name, config)
    if config.k2 is not None and config.k2 < config.window:
        raise UserError(
            f"--k2 {config.k2} is less than --k1 {config.window}: some rows would never be learned from; "
            "pass --k2 of at least k1"
        )
    if config.memory is not None and config.reach == "full":
        raise UserError(
            "--memory bounds --reach checkpointed, or a table read piece by piece with --reach truncated; "
            "this is --reach full"
        )


def _require_counts(name: str, config: TrainConfig) -> None:
    value = getattr(config, name)
    counts = value if isinstance(value, tuple) else () if value is None else (value,)
    holds = value != () and all(1 <= count < MOST for count in counts)
    _require(holds, name, config, "at least 1" + (f" and below {MOST}" if max(counts, default=0) >= MOST else ""))


def _require(holds: bool, name: str, config: TrainConfig, wanted: str) -> None:
    if not holds:
        raise UserError(f"{option_of(name)} must be {wanted}, got {getattr(config, name)}")


def option_of(name: str) -> str:
    """A field as the command line has it."""
    return f"--{name.replace('_', '-')}"
