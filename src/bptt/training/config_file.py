"""A run folder's config.toml: the options of the run and a description of its data, written and read."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from ..errors import UserError
from ..files import write_whole
from ..printable import shortened
from .data.calendar import PERIODS
from .data.scaling import Scaling
from .data.spacing import Spacing, read_spacing, to_toml
from .data.text_files import check_file
from .data.timestamps import Clock
from .options.base import TaskName, TrainOptions, check_device_name
from .options.choosing import OPTIONS, check_own, options_of, task_of
from .options.forecast import ForecastOptions
from .options.text import TextOptions
from .toml import made_of, read_toml, toml_text

if TYPE_CHECKING:
    from .tasks.task import Task

FORMAT = 2  # of config.toml
OPTION_NAMES = {field.name for kind in OPTIONS.values() for field in fields(kind)}


@dataclass(frozen=True)
class ConfigFile:
    """The content of a config.toml; its attributes are those of `Run`."""

    config: TrainOptions
    columns: list[str] = field(default_factory=list)
    scaling: Scaling = Scaling([], [])  # noqa: RUF009  frozen
    labels: list[str] = field(default_factory=list)
    calendar: list[str] = field(default_factory=list)
    lags: list[int] = field(default_factory=list)
    series: dict[str, Scaling] = field(default_factory=dict)
    clock: Clock = Clock()  # noqa: RUF009  frozen
    spacings: dict[str, Spacing] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    device: str = "cpu"

    @property
    def forecast_options(self) -> ForecastOptions:
        """The options of a run that forecasts.

        Raises:
            UserError: it has another task.
        """
        if not isinstance(self.config, ForecastOptions):
            raise UserError(f"this run was trained with --task {self.config.task} and makes no forecasts")
        return self.config


def config_of(config: TrainOptions, task: Task, digests: dict[str, str], device: str = "cpu") -> ConfigFile:
    """The content of the config.toml of a run.

    Args:
        config: its options.
        task: what it is trained on.
        digests: of the data that were read, by the paths of their files.
        device: the one it is trained on.
    """
    return ConfigFile(
        config=replace(config, resume=None),
        columns=task.columns,
        scaling=task.scaling,
        labels=task.labels,
        calendar=task.calendar,
        lags=task.lags,
        series=task.series,
        clock=task.clock if task.spacings else Clock(),
        spacings=task.spacings,
        digests=digests,
        device=device,
    )


def save_config(folder: Path, content: ConfigFile) -> None:
    """Write config.toml: every option, the columns and their scaling, the labels, the periods of the dates."""
    options = _set(content.config)
    document = {
        "format": FORMAT,
        "device": content.device,
        "train": {name: str(value) if isinstance(value, Path) else value for name, value in options.items()},
        "columns": content.columns,
        "scaling": asdict(content.scaling),
        "labels": content.labels,
    }
    optional = {
        "calendar": content.calendar,
        "lags": content.lags,
        "digests": content.digests,
        "series": {name: asdict(own) for name, own in content.series.items()},
        "clock": _set(content.clock) if content.spacings else {},
        "spacings": {name: to_toml(own) for name, own in content.spacings.items()},
    }
    document |= {name: value for name, value in optional.items() if value}
    write_whole(folder / "config.toml", tomli_w.dumps(document).encode())


def _set(values: Any) -> dict[str, Any]:
    """A dataclass's values by their names, without those that are None, which TOML does not have."""
    return {name: value for name, value in asdict(values).items() if value is not None}


def read_options(path: Path, given: dict[str, str]) -> TrainOptions:
    """The options in [train] of a config.toml, the task's defaults for those that are not there.

    The run folder it names, `out`, is left out: repeating a run makes a new one.

    Args:
        path: a run's config.toml, or a file written by hand.
        given: options that override the file's; they may show the task of a file that does not name it.

    Raises:
        UserError: there is no such file, or it holds something that is no option.
    """
    check_file(path, "a run's config.toml")
    document = _document(path)
    choices = document.get("train")
    if not isinstance(choices, dict):
        raise UserError(f"{path} has no table [train]; `bptt train` writes one into each run folder's config.toml")
    task = task_of(choices | given)
    try:
        check_own(choices, task)
        named = {"task": task} if "task" in given else {}
        return replace(_content(document, task, choices | named).config, out=None)
    except (ValueError, UserError) as error:
        raise UserError(f"{path}: {error}") from error


def read_config(path: Path) -> ConfigFile:
    """The content of a run's own config.toml; options that a later version has added are passed over.

    Raises:
        UserError: it is missing, damaged or of another version.
    """
    document = _document(path)
    for name in ("format", "train", "columns", "scaling"):
        if name not in document:
            raise UserError(f"{path} is damaged: it has no {name!r}")
    try:
        choices = document["train"]
        if not isinstance(choices, dict):
            raise ValueError("train is no table")
        task = task_of(choices)
        known = [field.name for field in fields(OPTIONS[task])]
        found = _content(document, task, {name: value for name, value in choices.items() if name in known})
        if isinstance(found.config, ForecastOptions) and found.config.lags is not None and not found.lags:
            found = replace(found, lags=list(range(found.config.lags)))
        _check(found)
        return found
    except (ValueError, UserError) as error:
        raise UserError(f"{path} is damaged: {error}") from error


def _document(path: Path) -> dict[str, Any]:
    """The tables of a config.toml, whose format this version reads.

    A file of another version is refused; one without a format may have been written by hand.
    """
    document = read_toml(path)
    version = document.get("format", FORMAT)
    whole = type(version) is int
    if whole and version == 1:
        raise UserError(f"{path} was written by bptt 0.1, which this version does not read; train the run again")
    if not whole or version != FORMAT:
        hint = ": update bptt" if whole and version > FORMAT else ""
        raise UserError(f"{path} has format {toml_text(version)}; this bptt reads format {FORMAT}{hint}")
    return document


def _content(document: dict[str, Any], task: TaskName, choices: dict[str, Any]) -> ConfigFile:
    """A document with these options of a task in place of its [train]."""
    _check_misplaced(document)
    own: dict[str, Any] = {name: value for name, value in document.items() if name not in ("format", "train")}
    own["config"] = made_of(options_of(task, choices), choices, "[train]")
    if isinstance(spacings := own.get("spacings"), dict):
        own["spacings"] = {name: read_spacing(spacing) for name, spacing in spacings.items()}
    try:
        return made_of(ConfigFile, own, "its top level")
    except (KeyError, OSError) as error:
        raise ValueError(f"clock has a time zone that is not known here: {error}") from error


def _check_misplaced(table: dict[str, Any], where: str = "") -> None:
    """Refuse an option outside of [train], as one is that was added at the end of the file."""
    known = [] if where else [field.name for field in fields(ConfigFile)]
    for name, value in table.items():
        if isinstance(value, dict):
            if where or name != "train":
                _check_misplaced(value, f"{where}.{name}".removeprefix("."))
        elif name not in known and name in OPTION_NAMES and not _is_digest(value):
            place = f"[{where}]" if where else "its top level"
            raise ValueError(f"{place} has {name!r}, an option: write it below [train]")


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _check(found: ConfigFile) -> None:
    """Refuse values that have the right types and describe no run; a ValueError or a UserError says why."""
    config, columns = found.config, found.columns
    config.check()
    check_device_name(found.device)
    for name in ("columns", "labels", "calendar"):
        if len(set(getattr(found, name))) < len(getattr(found, name)):
            raise ValueError(f"{name} has one twice")
    if isinstance(config, ForecastOptions) and columns[: len(config.targets)] != list(config.targets):
        raise ValueError("columns do not begin with the targets")
    if isinstance(config, TextOptions) and any(len(label) != 1 for label in found.labels):
        raise ValueError("labels of a text are not one character each")
    if unknown := [period for period in found.calendar if period not in PERIODS]:
        raise ValueError(f"calendar has {unknown[0]!r}")
    if isinstance(config, ForecastOptions) and (
        not found.lags or found.lags[0] != 0 or any(b <= a for a, b in pairwise(found.lags))
    ):
        raise ValueError("lags must rise from 0")
    if found.calendar and not found.spacings:
        raise ValueError("it reads dates and does not say how they are spaced: train it again")
    if others := [path for path, digest in found.digests.items() if not _is_digest(digest)]:
        raise ValueError(f"the digest of {shortened(others[0])!r} is no SHA-256")
    scalings = {"scaling": found.scaling, **{f"series {name!r}": own for name, own in found.series.items()}}
    for name, scaling in scalings.items():
        for part in (scaling.mean, scaling.std):
            if len(part) != len(columns) or not all(math.isfinite(one) for one in part):
                raise ValueError(f"{name} is not of {len(columns)} finite numbers")
        if not all(one > 0 for one in scaling.std):
            raise ValueError(f"{name} has a deviation that is not above 0")
