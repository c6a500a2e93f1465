"""A run's config.toml as choices again, each checked as the command line checks it."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from .config import TrainConfig, configured, task_of
from .errors import UserError
from .plain_text import text_of


def read_choices(path: Path) -> TrainConfig:
    """The choices in [train] of a config.toml, the task's defaults for those that are not there.

    The run folder it names, `out`, is left out: what runs again makes a new one.

    Raises:
        UserError: there is no such file, or it holds something that is no choice.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    try:
        document = tomllib.loads(text_of(path))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} could not be read as TOML: {error}") from error
    choices = document.get("train")
    if not isinstance(choices, dict):
        raise UserError(f"{path} has no table [train]; `bptt train` writes one into each run folder's config.toml")
    hints = get_type_hints(TrainConfig, include_extras=False)
    known = [field.name for field in fields(TrainConfig)]
    for name, value in choices.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise UserError(
                f"{path}: [train] has {name!r}, which is no choice" + (f"; {near[0]}?" if near else "")
            )
        if not _fits(value, hints[name]):
            raise UserError(f"{path}: {name} = {value!r} is not what it takes, {_shown(hints[name])}")
    values = {name: _as_chosen(value, hints[name]) for name, value in choices.items() if name != "out"}
    return configured(**{**values, "task": task_of(TrainConfig(**values))})


def _fits(value: Any, hint: Any) -> bool:
    """Whether a TOML value is one of a choice's type."""
    kind, inside = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return any(_fits(value, one) for one in inside)
    if kind is Annotated:
        return _fits(value, inside[0])
    if kind is Literal:
        return value in inside
    if kind is tuple:
        return isinstance(value, list) and all(_fits(one, inside[0]) for one in value)
    if hint is Path:
        return isinstance(value, str)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint


def _as_chosen(value: Any, hint: Any) -> Any:
    """A TOML value that fits, as the type that `TrainConfig` has it in."""
    kind, inside = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return _as_chosen(value, next(one for one in inside if _fits(value, one)))
    if kind is Annotated:
        return _as_chosen(value, inside[0])
    if kind is tuple:
        return tuple(_as_chosen(one, inside[0]) for one in value)
    return hint(value) if hint in (Path, float) else value


def _shown(hint: Any) -> str:
    """A type in words."""
    kind, inside = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return " or ".join(_shown(one) for one in inside if one is not type(None))
    if kind is Annotated:
        return _shown(inside[0])
    if kind is Literal:
        return " or ".join(map(repr, inside))
    if kind is tuple:
        return f"a list of: {_shown(inside[0])}"
    words = {Path: "a path", str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(hint, str(hint))
