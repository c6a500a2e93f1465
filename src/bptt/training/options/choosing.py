"""Which task a command line or a config.toml is about, and so whose options it takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ...errors import UserError
from .base import TaskName, TrainOptions, option_of
from .classify import ClassifyOptions
from .forecast import ForecastOptions, SunspotOptions
from .text import TextOptions

OPTIONS: dict[TaskName, type[TrainOptions]] = {
    "forecast": ForecastOptions,
    "classify": ClassifyOptions,
    "text": TextOptions,
}
GROUPS = {  # of fields, as the help shows them
    "data": (
        *("data", "task", "target", "series", "label", "tokens", "input", "time", "missing", "horizon", "lags"),
        *("calendar", "season", "linear", "coverage", "test", "validation"),
    ),
    "network": ("cell", "activation", "leak", "hidden", "layers", "dropout", "init", "stride", "readout"),
    "training": (
        *("reach", "k1", "k2", "memory", "batch", "epochs", "patience", "lr", "schedule", "weight_decay", "noise"),
        *("class_weights", "clip", "precision"),
    ),
    "run": ("seed", "out", "device", "workers", "tensorboard", "snapshot", "resume"),
}
_FIELDS = {field.name: field for kind in OPTIONS.values() for field in fields(kind)}
_is_command = ContextVar("whether a command runs", default=False)


def task_of(choices: Mapping[str, Any]) -> TaskName:
    """The task that some choices name, or else the one that the data and the other choices show."""
    for task in OPTIONS:
        if choices.get("task") == task:
            return task
    suffix = Path(str(choices.get("data", ""))).suffix.lower()
    if suffix == ".ts" or "label" in choices or ("series" in choices and "target" not in choices):
        return "classify"
    return "text" if suffix in (".txt", ".text") else "forecast"


def options_of(task: TaskName, choices: Mapping[str, Any]) -> type[TrainOptions]:
    """The options of a task, with the defaults for its data."""
    return SunspotOptions if task == "forecast" and choices.get("data") is None else OPTIONS[task]


def check_own(choices: Mapping[str, Any], task: TaskName) -> None:
    """Refuse options of other tasks, and values that only other tasks have.

    Raises:
        UserError: one is; the message says whose it is.
    """
    suffix = Path(str(choices.get("data", ""))).suffix.lower()
    by_name = "task" not in choices and suffix in (".ts", ".txt", ".text")
    hints = {other: get_type_hints(kind) for other, kind in OPTIONS.items()}
    for name, value in choices.items():
        own = _literals(hints[task].get(name))
        tasks = [other for other in OPTIONS if name in hints[other]]
        if name != "task" and own and value not in own:
            tasks = [other for other in tasks if value in _literals(hints[other][name])]
            if tasks:
                raise UserError(
                    f"{option_of(name)} {value} is an option of --task {' and '.join(tasks)}; --task {task} takes "
                    f"{option_of(name)} {' or '.join(own)}"
                )
        elif tasks and task not in tasks:
            seen = f" (seen from {suffix}; pass --task {tasks[0]})" if by_name else ""
            raise UserError(
                f"{option_of(name)} is an option of --task {' and '.join(tasks)}; this is --task {task}{seen}"
            )


def _literals(hint: Any) -> tuple[str, ...]:
    """The values of a type that lists them; none of another type."""
    return get_args(hint) if get_origin(hint) is Literal else ()


@contextmanager
def errors_for_python() -> Iterator[None]:
    """Spell options in the errors of a block as arguments, unless a command runs it; also a decorator."""
    try:
        yield
    except UserError as error:
        error.args = (for_caller(str(error)),)
        raise


@contextmanager
def errors_for_command_line() -> Iterator[None]:
    """Leave options in the errors of a block as they are typed."""
    token = _is_command.set(True)
    try:
        yield
    finally:
        _is_command.reset(token)


def for_caller(text: str) -> str:
    """A message with its options as they are typed where a command runs, else as arguments."""
    return text if _is_command.get() else as_keywords(text)


def as_keywords(text: str) -> str:
    """A message for callers in Python, its options spelled as arguments, but for those of `commands`.

    >>> as_keywords("fill them, or pass --missing interpolate; --test must be below 1; --no-linear or --linear")
    "fill them, or pass missing='interpolate'; test must be below 1; linear=False or linear=True"
    """
    words = {
        value for kind in OPTIONS.values() for hint in get_type_hints(kind).values() for value in _literals(hint)
    }

    def argument(found: re.Match[str]) -> str:
        if found["command"]:
            return found[0]
        no, name, after = found["no"], found["name"].replace("-", "_"), found["value"] or ""
        if name not in _FIELDS:
            return found[0]
        if no or _FIELDS[name].type == "bool":
            return f"{name}={not no}{after}"
        value = after.strip()
        if value in words:
            return f"{name}={value!r}"
        return f"{name}={value}" if re.fullmatch(r"-?\d[\d.]*|[A-Z]+", value) else name + after

    return re.sub(
        r"(?P<command>`[^`]*`)|--(?P<no>no-)?(?P<name>[a-z]\w*(?:-\w+)*)(?P<value> [\w.-]*\w)?", argument, text
    )


def named_in(arguments: Sequence[str]) -> dict[str, str]:
    """The options that a command line of `bptt train` names, by field, each with its first value; "data" is DATA.

    Unknown options are passed over: the parser refuses them.
    """
    found: dict[str, str] = {}
    name, takes = "", 0.0  # the option that the next words belong to, and how many it still takes
    for word in arguments:
        if word.startswith("--"):
            option, equals, value = word[2:].partition("=")
            name = option.replace("-", "_")
            if name.startswith("no_") and name[3:] in _FIELDS:
                name = name[3:]
            kind = str(_FIELDS[name].type) if name in _FIELDS else ""
            takes = 0 if equals or kind == "bool" else float("inf") if "tuple[" in kind else 1
            if name in _FIELDS:
                found.setdefault(name, value)
        elif takes:
            takes -= 1
            if name in _FIELDS:
                found[name] = found.get(name) or word
        elif not word.startswith("-"):
            found.setdefault("data", word)
    return found
