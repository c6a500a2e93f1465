"""What a run folder's config.toml says of the run: written once, and checked before anything is built of it."""

from __future__ import annotations

import math
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import tomli_w

from ..errors import UserError
from ..files import LARGEST_TEXT, read_regular, write_whole
from .config import TrainConfig, check, task_of
from .data.calendar import PERIODS
from .data.scaling import Scaling
from .data.spacing import Spacing, read_spacing, to_toml
from .data.timestamps import Clock
from .tasks.task import Task
from .typed import filled

FORMAT = 1  # of config.toml


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
        digests: the SHA-256 of each file that was read, by its path; empty for runs of versions that had none.
    """

    config: TrainConfig
    columns: list[str]
    scaling: Scaling
    labels: list[str]
    calendar: list[str]
    series: dict[str, Scaling]
    clock: Clock
    spacings: dict[str, Spacing]
    digests: dict[str, str]


def save_config(folder: Path, config: TrainConfig, task: Task, digests: dict[str, str]) -> None:
    """Write config.toml: every choice, the columns and their scaling, the labels, the periods of the dates.

    Args:
        digests: of the files that were read, by their paths.
    """
    choices = {name: _plain(value) for name, value in asdict(config).items() if value is not None}
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
        **({"clock": _plain_clock(task.clock)} if task.spacings else {}),
        **({"spacings": {name: to_toml(own) for name, own in task.spacings.items()}} if task.spacings else {}),
    }
    write_whole(folder / "config.toml", tomli_w.dumps(document).encode())


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _plain_clock(clock: Clock) -> dict[str, Any]:
    return {name: value for name, value in asdict(clock).items() if value is not None}


def read_config(path: Path) -> Described:
    """What a config.toml says.

    Raises:
        UserError: it is missing, damaged or of a newer version.
    """
    document = read_toml(path)
    version = document.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise UserError(f"{path} has format {version}; this bptt reads up to {FORMAT}: update bptt")
    try:
        described = _described(document)
        check(described.config)
        return described
    except KeyError as error:
        raise UserError(f"{path} is damaged: it has no {error}") from error
    except (ValueError, UserError) as error:
        raise UserError(f"{path} is damaged: {error}") from error


def read_toml(path: Path) -> dict[str, Any]:
    """A file that a run wrote.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        return tomllib.loads(read_regular(path, most=LARGEST_TEXT).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}") from error


def _described(document: dict[str, Any]) -> Described:
    """The same of a file's content; a ValueError says what is not as it must be."""
    if document["format"] is not FORMAT:
        raise ValueError(f"format is {document['format']!r}")
    known = {field.name for field in fields(TrainConfig)}
    choices = {name: value for name, value in _table(document["train"], "train").items() if name in known}
    config = filled(TrainConfig, choices)
    columns, labels = _names(document["columns"], "columns"), _names(document.get("labels", []), "labels")
    task = task_of(config)
    if task == "forecast" and columns[: len(config.targets)] != list(config.targets):
        raise ValueError("columns do not begin with the targets")
    if task == "text" and any(len(label) != 1 for label in labels):
        raise ValueError("labels of a text are not one character each")
    calendar = _names(document.get("calendar", []), "calendar")
    if unknown := [period for period in calendar if period not in PERIODS]:
        raise ValueError(f"calendar has {unknown[0]!r}")
    series = _table(document.get("series", {}), "series")
    spacings = _table(document.get("spacings", {}), "spacings")
    if calendar and not spacings:
        raise ValueError("it reads dates and does not say how they are spaced: train it again")
    digests = _table(document.get("digests", {}), "digests")
    if not all(isinstance(digest, str) for digest in digests.values()):
        raise ValueError("digests are not texts")
    return Described(
        config,
        columns,
        _scaling(document["scaling"], "scaling", len(columns)),
        labels,
        calendar,
        {name: _scaling(own, f"series {name!r}", len(columns)) for name, own in series.items()},
        _clock(document.get("clock", {})),
        {name: read_spacing(own) for name, own in spacings.items()},
        digests,
    )


def _clock(value: Any) -> Clock:
    try:
        return filled(Clock, value)
    except (KeyError, OSError) as error:
        raise ValueError(f"clock is of no zone that is known here: {error}") from error


def _table(value: Any, what: str) -> dict[str, Any]:
    """A table of TOML; a ValueError where it is none."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no table")
    return value


def _names(value: Any, what: str) -> list[str]:
    """A list of texts, each there once; a ValueError where it is none."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{what} is no list of texts")
    if len(set(value)) < len(value):
        raise ValueError(f"{what} has one twice")
    return value


def _scaling(value: Any, what: str, columns: int) -> Scaling:
    found = filled(Scaling, value)
    for part in (found.mean, found.std):
        if len(part) != columns or not all(math.isfinite(one) for one in part):
            raise ValueError(f"{what} is not of {columns} finite numbers")
    if not all(one > 0 for one in found.std):
        raise ValueError(f"{what} has a deviation that is not above 0")
    return found
