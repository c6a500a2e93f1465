"""A run folder: its choices in config.toml, its trained weights in model.safetensors."""

from __future__ import annotations

import fcntl
import tomllib
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import tomli_w
from torch import Tensor

from ..networks import SequenceModel
from .config import Missing, TrainConfig, check, task_of
from .data import Table, read_frame, select, select_series
from .dates import NoDate
from .errors import UserError
from .files import appending, read_regular, write_whole
from .network import network_of
from .scaling import Moments, Scaling
from .spacing import Fixed, Spacing, follows, plain, read_spacing, spacing_of
from .stamps import Clock
from .tasks.forecast import Forecast, note_spacing
from .tasks.intervals import Intervals
from .tasks.task import Task
from .tensors import read_tensors, write_tensors

FORMAT = 1  # of config.toml
INTERVALS = "intervals.toml"


@dataclass(frozen=True)
class Described:
    """What config.toml says.

    Attributes:
        config: the choices it was trained with.
        columns: the columns it reads, the target first.
        scaling: of those columns.
        labels: classes or tokens, by output; empty where numbers are put out.
        calendar: the periods of the dates that are input.
        series: of the columns within each of many series, by its name.
        clock: what the dates of its rows leave unsaid.
        spacings: how its rows are spaced in time, by series; a single one has no name.
    """

    config: TrainConfig
    columns: list[str]
    scaling: Scaling
    labels: list[str]
    calendar: list[str]
    series: dict[str, Scaling]
    clock: Clock
    spacings: dict[str, Spacing]


@dataclass(frozen=True)
class Run(Described):
    """What a run folder holds, enough to forecast again.

    Attributes:
        model: the network with its trained weights.
        intervals: of its forecasts; None where it has none yet.
    """

    model: SequenceModel
    intervals: Intervals | None


def save_config(folder: Path, config: TrainConfig, task: Task) -> None:
    """Write config.toml: every choice, the columns and their scaling, the labels, the periods of the dates."""
    choices = {name: _plain(value) for name, value in asdict(config).items() if value is not None}
    choices.pop("resume", None)
    document = {
        "format": FORMAT,
        "train": choices,
        "columns": task.columns,
        "scaling": asdict(task.scaling),
        "labels": task.labels,
        **({"calendar": task.calendar} if task.calendar else {}),
        **({"series": {name: asdict(own) for name, own in task.series.items()}} if task.series else {}),
        **({"clock": _plain_clock(task.clock)} if task.spacings else {}),
        **({"spacings": {name: plain(own) for name, own in task.spacings.items()}} if task.spacings else {}),
    }
    write_whole(folder / "config.toml", tomli_w.dumps(document).encode())


def save_model(folder: Path, model: SequenceModel) -> None:
    """Write model.safetensors; an older file goes when this one is whole."""
    write_tensors(folder / "model.safetensors", dict(model.state_dict()))


def save_intervals(folder: Path, intervals: Intervals) -> None:
    """Write intervals.toml."""
    write_whole(folder / INTERVALS, tomli_w.dumps(asdict(intervals)).encode())


LOCK = ".lock"


@contextmanager
def locked(folder: Path, owner: str = "") -> Iterator[None]:
    """A run folder for one process alone; the system frees it when the process ends, however it ends.

    Args:
        owner: stands in the lock, for `owned`.

    Raises:
        UserError: another process has it.
    """
    with appending(folder / LOCK) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            file.write(owner)
            file.flush()
        except BlockingIOError as error:
            raise UserError(f"{folder} is being written by another process; wait for it, or stop it") from error
        yield


def owned(folders: Iterable[Path], owner: str) -> Path | None:
    """The folder that such an owner locked last, if there is one."""
    for folder in folders:
        lock = folder / LOCK
        if lock.is_file() and lock.read_text(encoding="utf-8") == owner:
            return folder
    return None


def check_same_data(folder: Path, task: Task, began: Described) -> None:
    """A run is gone on with from the data it began with.

    Raises:
        UserError: the columns, or their means and deviations over the rows learned from, or the labels are others
            now.
    """
    if any(getattr(task, name) != value for name, value in vars(began).items() if name != "config"):
        raise UserError(
            f"{task.name} has changed since {folder} was begun: its training rows have another mean or deviation, "
            "or other labels; put the data back as they were, or begin a new run"
        )


def load_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        UserError: it is no run folder, or a file in it is missing, damaged or of a newer version.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a run folder: there is no such folder; `bptt train` makes one")
    described = read_config(folder / "config.toml")
    try:
        check(described.config)
        model = network_of(described.config, described.columns, described.labels, described.calendar)
    except (UserError, TypeError, ValueError) as error:
        raise UserError(f"{folder / 'config.toml'} describes no network: {error}") from error
    weights: dict[str, Tensor] = read_tensors(folder / "model.safetensors")
    wanted = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    found = {name: tuple(weight.shape) for name, weight in weights.items()}
    if wanted != found:
        name = sorted(set(wanted.items()) ^ set(found.items()))[0][0]
        raise UserError(
            f"{folder / 'model.safetensors'} does not fit config.toml: {name} is {found.get(name, 'missing')} "
            f"in the file and {wanted.get(name, 'unknown')} by the config"
        )
    model.load_state_dict(weights)
    return Run(**vars(described), model=model, intervals=_read_intervals(folder / INTERVALS))


def _read_intervals(path: Path) -> Intervals | None:
    """What an intervals.toml says; None where there is none."""
    if not path.exists():
        return None
    try:
        return Intervals(**tomllib.loads(read_regular(path).decode("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error}") from error


def new_tasks(run: Run, data: Path, time: str | None, missing: Missing | None) -> list[Forecast]:
    """New data as a run reads it, series by series: every row may be forecast, none is for training or judged.

    A series that the run has not seen is scaled by its own rows.

    Args:
        run: a trained run.
        data: a CSV, Parquet or .npy file with the run's columns.
        time: the column that labels the rows; None is the run's own, if the file has it.
        missing: what to do with missing values; None masks them where the run does, and else refuses them.

    Raises:
        UserError: it is no forecasting run, the file cannot be read, a column is missing, or there are fewer rows
            than the run's lags.
    """
    config = run.config
    if (task := task_of(config)) != "forecast":
        raise UserError(f"this run was trained with --task {task} and makes no forecasts of {data}")
    if missing == "mask" and config.missing != "mask":
        raise UserError("--missing mask needs a run that was trained with it; fill them or interpolate")
    frame = read_frame(data)
    time = time or (config.time if config.time in frame.columns else None)
    if run.calendar and time is None:
        raise UserError(f"{data} has no column {config.time!r}, whose dates this run reads; pass --time COLUMN")
    missing = missing or ("mask" if config.missing == "mask" else "error")
    targets = max(1, len(config.targets))
    columns = tuple(run.columns[:targets]), tuple(run.columns[targets:])
    tables = {"": select(frame, data.name, *columns, time, missing, run.clock)} if config.series is None else {}
    if config.series is not None:
        tables = select_series(frame, data.name, config.series, *columns, time, missing, run.clock)
    found = []
    for name, table in tables.items():
        known = Fixed("1", dated=False) if time is None else run.spacings.get(name)
        unknown = run.calendar and known is None and config.lags < 2
        needed, why = (2, "two dates") if unknown else (config.lags, "its lags")
        if len(table.values) < needed:
            raise UserError(
                f"{table.name} has {len(table.values)} rows, but this run needs at least {needed} ({why})"
            )
        scaling = run.scaling if config.series is None else run.series.get(name)
        scaling = scaling or Scaling.of(table.values, table.columns, table.name)
        scaling.check(Moments.of(table.values), table.columns, table.name)
        own = known if known is not None and follows(known, table.times) else spacing_of(table.times)
        if run.calendar:
            table = _by_clock(table, run.clock)
            if known is not None and known.usual and own != known:
                warnings.warn(
                    f"{table.name}: the rows are spaced {own}, and this run learned from rows {known}, by which "
                    "its calendar counts",
                    stacklevel=2,
                )
        ahead = known or own
        found.append(
            Forecast(table, config, 0, [], scaling, [], {}, run.calendar, part=name, spacing=own, ahead=ahead)
        )
        found[-1].check_times()
    note_spacing(found)
    return found


def _by_clock(table: Table, clock: Clock) -> Table:
    """A table whose dates are in the zone of those that were learned from."""
    try:
        texts = table.stamps.texts
        times = [clock.local(time, text) for time, text in zip(table.times, texts, strict=True)]
    except NoDate as error:
        raise UserError(f"{table.name}: {error}") from error
    return replace(table, times=times)


def read_config(path: Path) -> Described:
    """What a config.toml says.

    Raises:
        UserError: it is missing, damaged or of a newer version.
    """
    try:
        document = tomllib.loads(read_regular(path).decode("utf-8"))
        if document["format"] > FORMAT:
            raise UserError(f"{path} has format {document['format']}; this bptt reads up to {FORMAT}: update bptt")
        known = {field.name for field in fields(TrainConfig)}
        choices = {name: _read(name, value) for name, value in document["train"].items() if name in known}
        config = TrainConfig(**choices)
        scaling, labels = Scaling(**document["scaling"]), document.get("labels", [])
        series = {name: Scaling(**own) for name, own in document.get("series", {}).items()}
        calendar, clock = document.get("calendar", []), Clock(**document.get("clock", {}))
        spacings = {name: read_spacing(own) for name, own in document.get("spacings", {}).items()}
        if calendar and not spacings:
            raise UserError(f"{path} reads dates and does not say how they are spaced: train it again")
        return Described(config, document["columns"], scaling, labels, calendar, series, clock, spacings)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(f"{path} is damaged: {error}") from error


def _plain_clock(clock: Clock) -> dict[str, Any]:
    return {name: value for name, value in asdict(clock).items() if value is not None}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _read(name: str, value: Any) -> Any:
    """A choice as `TrainConfig` has it, from TOML's types."""
    if name in ("data", "out"):
        return Path(value)
    return tuple(_read("", one) for one in value) if isinstance(value, list) else value
