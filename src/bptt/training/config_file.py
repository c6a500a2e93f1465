"""A run folder's config.toml: the options of the run and a description of its data, written and read."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import tomli_w

from ..errors import UserError
from ..files import write_whole
from .data.calendar import PERIODS
from .data.scaling import Scaling
from .data.spacing import KINDS, Spacing, read_spacing, to_toml
from .data.text_files import check_file
from .data.timestamps import Clock
from .options.base import TrainOptions
from .options.choosing import OPTIONS, check_own, task_of
from .options.forecast import ForecastOptions
from .options.text import TextOptions
from .toml import made_of, read_toml, toml_text

if TYPE_CHECKING:
    from .tasks.task import Task

FORMAT = 2  # of config.toml
KEYS = ["format", "train", "columns", "scaling", "labels", "calendar", "digests", "series", "clock", "spacings"]


@dataclass(frozen=True)
class ConfigFile:
    """The content of a config.toml.

    Attributes:
        config: the options it was trained with.
        columns: the columns it reads, the targets first.
        scaling: of those columns.
        labels: classes or tokens, by output; empty if the outputs are numbers.
        calendar: the periods of the dates that are input.
        series: the scaling of the columns within each of many series, by its name.
        clock: day order and time zone of the dates of its rows.
        spacings: how its rows are spaced in time, by series; a single one has no name.
        digests: the SHA-256 of each file that was read, by its path; empty for embedded data.
    """

    config: TrainOptions
    columns: list[str]
    scaling: Scaling
    labels: list[str]
    calendar: list[str]
    series: dict[str, Scaling]
    clock: Clock
    spacings: dict[str, Spacing]
    digests: dict[str, str]

    @property
    def forecast_options(self) -> ForecastOptions:
        """The options of a run that forecasts.

        Raises:
            UserError: it has another task.
        """
        if not isinstance(self.config, ForecastOptions):
            raise UserError(f"this run was trained with --task {self.config.task} and makes no forecasts")
        return self.config


def save_config(folder: Path, config: TrainOptions, task: Task, digests: dict[str, str]) -> None:
    """Write config.toml: every option, the columns and their scaling, the labels, the periods of the dates.

    Args:
        digests: of the files that were read, by their paths.
    """
    choices = {name: str(value) if isinstance(value, Path) else value for name, value in _set(config).items()}
    choices.pop("resume", None)
    document = {
        "format": FORMAT,
        "train": choices,
        "columns": task.columns,
        "scaling": asdict(task.scaling),
        "labels": task.labels,
        **({"calendar": task.calendar} if task.calendar else {}),
        **({"digests": digests} if digests else {}),
        **({"series": {name: asdict(own) for name, own in task.series.items()}} if task.series else {}),
        **({"clock": _set(task.clock)} if task.spacings else {}),
        **({"spacings": {name: to_toml(own) for name, own in task.spacings.items()}} if task.spacings else {}),
    }
    write_whole(folder / "config.toml", tomli_w.dumps(document).encode())


def _set(values: Any) -> dict[str, Any]:
    """A dataclass's values by their names, without those that are None, which TOML does not have."""
    return {name: value for name, value in asdict(values).items() if value is not None}


def read_options(path: Path, given: dict[str, str]) -> TrainOptions:
    """The options in [train] of a config.toml, the task's defaults for those that are not there.

    The run folder it names, `out`, is left out: repeating a run makes a new one.

    Args:
        given: options that override the file's; they may show the task of a file that does not name it.

    Raises:
        UserError: there is no such file, or it holds something that is no option.
    """
    check_file(path, "a run's config.toml")
    document = read_toml(path)
    _check_format(path, document)
    choices = document.get("train")
    if not isinstance(choices, dict):
        raise UserError(f"{path} has no table [train]; `bptt train` writes one into each run folder's config.toml")
    task = task_of(choices | given)
    known = _field_names(OPTIONS[task])
    try:
        _check_keys(document)
        check_own(choices, task)
        for name in choices:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"; {near[0]}?" if near else ""
                raise UserError(f"[train] has {name!r}, which is no option{hint}")
        kept = {name: value for name, value in choices.items() if name != "out"}
        return made_of(OPTIONS[task], kept | ({"task": task} if "task" in given else {}))
    except (ValueError, UserError) as error:
        raise UserError(f"{path}: {error}") from error


def read_config(path: Path) -> ConfigFile:
    """The content of a run's own config.toml.

    Raises:
        UserError: it is missing, damaged or of another version.
    """
    document = read_toml(path)
    _check_format(path, document)
    try:
        found = _content(document)
        found.config.check()
        return found
    except KeyError as error:
        raise UserError(f"{path} is damaged: it has no {error}") from error
    except (ValueError, UserError) as error:
        raise UserError(f"{path} is damaged: {error}") from error


def _check_format(path: Path, document: dict[str, Any]) -> None:
    """A file of another version is refused; one without a format may have been written by hand."""
    version = document.get("format", FORMAT)
    whole = type(version) is int
    if whole and version == 1:
        raise UserError(f"{path} was written by bptt 0.1, which this version does not read; train the run again")
    if not whole or version != FORMAT:
        hint = ": update bptt" if whole and version > FORMAT else ""
        raise UserError(f"{path} has format {toml_text(version)}; this bptt reads format {FORMAT}{hint}")


def _check_keys(document: dict[str, Any]) -> None:
    """A ValueError for a key outside [train] that no config.toml has."""
    series = _table(document.get("series", {}), "series")
    spacings = _table(document.get("spacings", {}), "spacings")
    of_spacings = ["kind", *(name for kind in KINDS.values() for name in _field_names(kind))]
    tables = {
        "": (document, KEYS),
        "scaling": (document.get("scaling", {}), _field_names(Scaling)),
        "clock": (document.get("clock", {}), _field_names(Clock)),
        "series": (series, [name for name, own in series.items() if isinstance(own, dict)]),
        "spacings": (spacings, [name for name, own in spacings.items() if isinstance(own, dict)]),
        **{f"series.{name}": (own, _field_names(Scaling)) for name, own in series.items()},
        **{f"spacings.{name}": (own, of_spacings) for name, own in spacings.items()},
    }
    for where, (table, known) in tables.items():
        for name in _table(table, where):
            if name not in known:
                _refuse_key(where, name)
    for path, digest in _table(document.get("digests", {}), "digests").items():
        if not isinstance(digest, str) or re.fullmatch("[0-9a-f]{64}", digest) is None:
            _refuse_key("digests", path)


def _refuse_key(where: str, name: str) -> NoReturn:
    is_option = any(name in _field_names(kind) for kind in OPTIONS.values())
    hint = "an option: write it below [train]" if is_option else "which is not known there"
    raise ValueError(f"{f'[{where}]' if where else 'its top level'} has {name!r}, {hint}")


def _field_names(kind: Any) -> list[str]:
    return [field.name for field in fields(kind)]


def _content(document: dict[str, Any]) -> ConfigFile:
    """The same of a TOML document; a ValueError says what is not as it must be."""
    if "format" not in document:
        raise KeyError("format")
    _check_keys(document)
    config = _own_options(_table(document["train"], "train"))
    columns, labels = _names(document["columns"], "columns"), _names(document.get("labels", []), "labels")
    if isinstance(config, ForecastOptions) and columns[: len(config.targets)] != list(config.targets):
        raise ValueError("columns do not begin with the targets")
    if isinstance(config, TextOptions) and any(len(label) != 1 for label in labels):
        raise ValueError("labels of a text are not one character each")
    calendar = _names(document.get("calendar", []), "calendar")
    if unknown := [period for period in calendar if period not in PERIODS]:
        raise ValueError(f"calendar has {unknown[0]!r}")
    series = document.get("series", {})
    spacings = document.get("spacings", {})
    if calendar and not spacings:
        raise ValueError("it reads dates and does not say how they are spaced: train it again")
    return ConfigFile(
        config,
        columns,
        _scaling(document["scaling"], "scaling", len(columns)),
        labels,
        calendar,
        {name: _scaling(own, f"series {name!r}", len(columns)) for name, own in series.items()},
        _clock(document.get("clock", {})),
        {name: read_spacing(own) for name, own in spacings.items()},
        document.get("digests", {}),
    )


def _own_options(choices: dict[str, Any]) -> TrainOptions:
    """A run's options; those that a later version adds are passed over."""
    kind = OPTIONS[task_of(choices)]
    known = _field_names(kind)
    return made_of(kind, {name: value for name, value in choices.items() if name in known})


def _clock(value: Any) -> Clock:
    try:
        return made_of(Clock, value)
    except (KeyError, OSError) as error:
        raise ValueError(f"clock has a time zone that is not known here: {error}") from error


def _table(value: Any, what: str) -> dict[str, Any]:
    """A table of TOML; a ValueError if it is none."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no table")
    return value


def _names(value: Any, what: str) -> list[str]:
    """A list of different texts; a ValueError if it is none."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{what} is no list of texts")
    if len(set(value)) < len(value):
        raise ValueError(f"{what} has one twice")
    return value


def _scaling(value: Any, what: str, columns: int) -> Scaling:
    found = made_of(Scaling, value)
    for part in (found.mean, found.std):
        if len(part) != columns or not all(math.isfinite(one) for one in part):
            raise ValueError(f"{what} is not of {columns} finite numbers")
    if not all(one > 0 for one in found.std):
        raise ValueError(f"{what} has a deviation that is not above 0")
    return found
