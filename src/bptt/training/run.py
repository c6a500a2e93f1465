"""A run folder: its choices in config.toml, its trained weights in model.safetensors."""

from __future__ import annotations

import fcntl
import json
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import tomli_w
import torch
from torch import Tensor

from ..errors import NothingThere, UserError
from ..files import LARGEST_TEXT, appending, read_regular, write_whole
from ..networks import SequenceModel
from .config_file import ConfigFile, read_config
from .data.dates import NoDate
from .data.find_spacing import follows, spacing_of
from .data.scaling import Moments, Scaling
from .data.spacing import Fixed
from .data.tables import Selection, Table, leaving_out, read_frame, select_series
from .data.timestamps import Clock
from .network import build, count_of, sizes_of
from .options.forecast import ForecastOptions
from .options.parts import Missing
from .tasks.forecast import Forecast, note_spacing
from .tasks.intervals import Intervals
from .tasks.task import Task
from .tensors import read_tensors, write_tensors
from .toml import made_of, read_toml

INTERVALS = "intervals.toml"
METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class Run(ConfigFile):
    """What a run folder holds, enough to forecast again.

    Attributes:
        model: the network with its trained weights.
        intervals: of its forecasts; None where it has none yet.
    """

    model: SequenceModel
    intervals: Intervals | None


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


def is_finished(folder: Path) -> bool:
    """Whether a run has its last line of metrics, which is written when all else is, and was not stopped."""
    try:
        last = json.loads(read_regular(folder / METRICS, most=LARGEST_TEXT).splitlines()[-1])
    except (UserError, ValueError, IndexError, RecursionError):
        return False
    return isinstance(last, dict) and last.get("event") == "test" and last.get("interrupted") is False


def check_same_data(folder: Path, task: Task, began: ConfigFile) -> None:
    """Refuse to resume on changed data that have no digest: runs of older versions.

    Raises:
        UserError: the columns, or their means and deviations over the rows learned from, or the labels are others
            now.
    """
    told = {name: value for name, value in vars(began).items() if name not in ("config", "digests")}
    if any(getattr(task, name) != value for name, value in told.items()):
        raise UserError(
            f"{task.name} has changed since {folder} was begun: its training rows have another mean or deviation, "
            "or other labels; put the data back as they were, or begin a new run"
        )


def check_same_files(folder: Path, digests: dict[str, str], began: ConfigFile) -> None:
    """Refuse to resume where a file that was read is another now.

    Raises:
        UserError: one is; the message names it.
    """
    if (name := changed_file(digests, began)) is not None:
        raise UserError(
            f"{name} has changed since {folder} was begun (its SHA-256 is another), and --resume goes on with "
            "the data it began with; put the file back as it was, or begin a new run"
        )


def changed_file(digests: dict[str, str], began: ConfigFile) -> str | None:
    """A file that was read and is another now; None where all are the same, or a run says nothing of its files."""
    names = sorted(began.digests.keys() | digests.keys()) if began.digests else []
    return next((name for name in names if began.digests.get(name) != digests.get(name)), None)


def load_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        UserError: it is no run folder or not finished, or a file in it is missing, damaged or of a newer version.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a run folder: there is no such folder; `bptt train` makes one")
    described = read_config(folder / "config.toml")
    sizes = sizes_of(described.config, described.columns, described.labels, described.calendar)
    weights_path = folder / "model.safetensors"
    if not os.path.lexists(weights_path) and not is_finished(folder):
        raise UserError(
            f"{folder} is not finished: it has no model.safetensors yet; if its training was broken off, "
            f"`bptt train --resume {folder}` goes on with it"
        )
    weights = _read_weights(weights_path)
    try:
        count, there = count_of(described.config, *sizes), sum(weight.numel() for weight in weights.values())
        if count > there:  # nothing larger than the file is built
            raise UserError(f"its network has {count:,} weights, and model.safetensors {there:,}")
        model = build(described.config, *sizes)
    except (UserError, TypeError, ValueError) as error:
        raise UserError(f"{folder / 'config.toml'} describes no network of this run: {error}") from error
    wanted = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    found = {name: tuple(weight.shape) for name, weight in weights.items()}
    if wanted != found:
        name = sorted(set(wanted.items()) ^ set(found.items()))[0][0]
        raise UserError(
            f"{folder / 'model.safetensors'} does not fit config.toml: {name} is {found.get(name, 'missing')} "
            f"in the file and {wanted.get(name, 'unknown')} by the config"
        )
    model.load_state_dict(weights)
    outputs = len(described.forecast.outputs) if described.config.task == "forecast" else 0
    return Run(**vars(described), model=model, intervals=_read_intervals(folder / INTERVALS, outputs))


def _read_weights(path: Path) -> dict[str, Tensor]:
    """A network's weights, finite float32."""
    weights = read_tensors(path)
    if not isinstance(weights, dict) or not all(isinstance(weight, Tensor) for weight in weights.values()):
        raise UserError(f"{path} is damaged: it holds something else than weights by their names")
    for name, weight in weights.items():
        if weight.dtype != torch.float32 or not weight.isfinite().all():
            raise UserError(f"{path} is damaged: {name} is not finite float32 throughout")
    return weights


def _read_intervals(path: Path, outputs: int) -> Intervals | None:
    """What an intervals.toml says; None where there is none."""
    if not os.path.lexists(path):
        return None
    try:
        found = made_of(Intervals, read_toml(path))
        if len(found.widths) != outputs or not all(width >= 0 for width in found.widths):
            raise ValueError(f"{outputs} widths of at least 0 are needed")
        if not 0 < found.coverage < 1:
            raise ValueError(f"coverage must be between 0 and 1, got {found.coverage}")
        return found
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from error


def new_tasks(run: Run, data: Path, time: str | None, missing: Missing | None) -> list[Forecast]:
    """New data as a run reads it, series by series: every row may be forecast, none is for training or judged.

    A series that the run has not seen is scaled by its own rows; one with too few is left out, with a warning.

    Args:
        run: a trained run.
        data: a CSV, Parquet or .npy file with the run's columns.
        time: the column that labels the rows; None is the run's own, if the file has it.
        missing: what to do with missing values; None masks them where the run does, and else refuses them.

    Raises:
        UserError: it is no forecasting run, the file cannot be read, a column is missing, or no series has as many
            rows as the run's lags.
    """
    config = run.config
    if not isinstance(config, ForecastOptions):
        raise UserError(f"this run was trained with --task {config.task} and makes no forecasts of {data}")
    if missing == "mask" and config.missing != "mask":
        raise UserError("--missing mask needs a run that was trained with it; fill them or interpolate")
    frame = read_frame(data)
    time = time or (config.time if config.time in frame.columns else None)
    if run.calendar and time is None:
        raise UserError(f"{data} has no column {config.time!r}, whose dates this run reads; pass --time COLUMN")
    missing = missing or ("mask" if config.missing == "mask" else "error")
    targets = max(1, len(config.targets))
    columns = tuple(run.columns[:targets]), tuple(run.columns[targets:])
    tables = select_series(frame, data.name, Selection(*columns, time, missing, config.series, run.clock))
    found = []
    for name, table in tables.items():
        with leaving_out(f"series {name!r} is left out") if len(tables) > 1 else nullcontext():
            found.append(_new_task(run, name, table, time))
    if not found:
        raise UserError(f"{data} has no series with as many rows as this run needs for its {config.lags} lags")
    note_spacing(found)
    return found


def _new_task(run: Run, name: str, table: Table, time: str | None) -> Forecast:
    """The same of one series, "" where there is but one.

    Raises:
        NothingThere: it has too few rows.
    """
    config = run.forecast
    known = Fixed("1", dated=False) if time is None else run.spacings.get(name)
    unknown = run.calendar and known is None and config.lags < 2
    needed, why = (2, "two dates") if unknown else (config.lags, "its lags")
    if len(table.values) < needed:
        raise NothingThere(
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
                stacklevel=3,
            )
    ahead = known or own
    task = Forecast(table, config, 0, [], scaling, [], {}, run.calendar, part=name, spacing=own, ahead=ahead)
    task.check_times()
    return task


def _by_clock(table: Table, clock: Clock) -> Table:
    """A table whose dates are in the zone of those that were learned from."""
    try:
        texts = table.timestamps.texts
        times = [clock.local(time, text) for time, text in zip(table.times, texts, strict=True)]
    except NoDate as error:
        raise UserError(f"{table.name}: {error}") from error
    return replace(table, times=times)
