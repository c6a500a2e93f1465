"""A run folder: its choices in config.toml, its trained weights in model.safetensors."""

from __future__ import annotations

import fcntl
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import tomli_w
from torch import Tensor

from ..networks import SequenceModel
from .config import Missing, TrainConfig, check
from .data import read_frame, select
from .errors import UserError
from .files import read_regular, write_whole
from .fit import build
from .scaling import Scaling
from .tasks.forecast import Forecast
from .tasks.task import Task
from .tensors import read_tensors, write_tensors

FORMAT = 1  # of config.toml


@dataclass(frozen=True)
class Run:
    """What a run folder holds, enough to forecast again.

    Attributes:
        config: the choices it was trained with.
        columns: the columns it reads, the target first.
        scaling: of those columns.
        model: the network with its trained weights.
    """

    config: TrainConfig
    columns: list[str]
    scaling: Scaling
    model: SequenceModel


def save_config(folder: Path, config: TrainConfig, task: Task) -> None:
    """Write config.toml: every choice, the columns and their scaling."""
    choices = {name: _plain(value) for name, value in asdict(config).items() if value is not None}
    choices.pop("resume", None)
    document = {
        "format": FORMAT,
        "train": choices,
        "columns": task.columns,
        "scaling": asdict(task.scaling),
    }
    write_whole(folder / "config.toml", tomli_w.dumps(document).encode())


def save_model(folder: Path, model: SequenceModel) -> None:
    """Write model.safetensors; an older file goes when this one is whole."""
    write_tensors(folder / "model.safetensors", dict(model.state_dict()))


LOCK = ".lock"


@contextmanager
def locked(folder: Path, owner: str = "") -> Iterator[None]:
    """A run folder for one process alone; the system frees it when the process ends, however it ends.

    Args:
        owner: stands in the lock, for `owned`.

    Raises:
        UserError: another process has it.
    """
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"{folder} is being written by another process; wait for it, or stop it") from error
        file.truncate(0)
        file.write(owner)
        file.flush()
        yield


def owned(folders: Iterable[Path], owner: str) -> Path | None:
    """The folder that such an owner locked last, if there is one."""
    for folder in folders:
        lock = folder / LOCK
        if lock.is_file() and lock.read_text(encoding="utf-8") == owner:
            return folder
    return None


def check_same_data(folder: Path, task: Task, columns: list[str], scaling: Scaling) -> None:
    """A run is gone on with from the data it began with.

    Raises:
        UserError: the columns, or their means and deviations over the rows learned from, are others now.
    """
    if task.columns != columns or task.scaling != scaling:
        raise UserError(
            f"{task.name} has changed since {folder} was begun: its training rows have another mean or deviation; "
            "put the data back as they were, or begin a new run"
        )


def load_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        UserError: it is no run folder, or a file in it is missing, damaged or of a newer version.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a run folder: there is no such folder; `bptt train` makes one")
    config, columns, scaling = read_config(folder / "config.toml")
    try:
        check(config)
        model = build(config, len(columns) * config.lags)
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
    return Run(config, columns, scaling, model)


def new_task(run: Run, data: Path, time: str | None, missing: Missing) -> Forecast:
    """New data as a run reads it: every row may be forecast, none is for training or judged.

    Args:
        run: a trained run.
        data: a CSV, Parquet or .npy file with the run's columns.
        time: the column that labels the rows; None is the run's own, if the file has it.
        missing: what to do with missing values.

    Raises:
        UserError: the file cannot be read, a column is missing, or there are fewer rows than the run's lags.
    """
    frame = read_frame(data)
    time = time or (run.config.time if run.config.time in frame.columns else None)
    target, *inputs = run.columns
    table = select(frame, data.name, target, tuple(inputs), time, missing)
    lags, horizon = run.config.lags, run.config.horizon
    if len(table.values) < lags:
        raise UserError(f"{data} has {len(table.values)} rows, but this run needs at least {lags} (its lags)")
    return Forecast(table, lags, horizon, 0, [], run.scaling, 1.0, {})


def read_config(path: Path) -> tuple[TrainConfig, list[str], Scaling]:
    """The choices, columns and scaling in a config.toml.

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
        return config, document["columns"], Scaling(**document["scaling"])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error}") from error


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _read(name: str, value: Any) -> Any:
    """A choice as `TrainConfig` has it, from TOML's types."""
    if name in ("data", "out"):
        return Path(value)
    return tuple(tuple(group) for group in value) if name == "input" else value
