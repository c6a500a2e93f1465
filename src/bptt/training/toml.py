"""TOML files read, and dataclasses made of their tables, each value checked against the type of its field."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ..errors import UserError
from ..files import LARGEST_TEXT, read_regular
from ..printable import shortened

Made = TypeVar("Made")


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        return tomllib.loads(read_regular(path, most=LARGEST_TEXT).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}") from error


def made_of(kind: type[Made], values: Any) -> Made:
    """A dataclass with the values of a table, by the names of its fields.

    Raises:
        ValueError: this is no table, or one of its values is missing, unknown or not of its field's type.
    """
    hints = get_type_hints(kind)
    if not isinstance(values, dict):
        raise ValueError(f"a table of {', '.join(hints)} is needed")
    for name, value in values.items():
        if name not in hints:
            raise ValueError(f"{shortened(name)} is not known")
        if not _fits(value, hints[name]):
            wanted = _in_words(hints[name])
            raise ValueError(f"{name} must be {wanted}, got {shortened(toml_text(value))}")
    try:
        return kind(**{name: _converted(value, hints[name]) for name, value in values.items()})
    except TypeError as error:  # of the dataclass, which names what is missing
        raise ValueError(str(error)) from error


def toml_text(value: Any) -> str:
    """A value as TOML writes it, in one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(toml_text, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name} = {toml_text(one)}' for name, one in value.items())}}}"
    return repr(value) if isinstance(value, str) else str(value)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of TOML is one of a type."""
    kind, inside = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return any(_fits(value, one) for one in inside)
    if kind is Annotated:
        return _fits(value, inside[0])
    if kind is Literal:
        return value in inside
    if kind in (tuple, list):
        return isinstance(value, list) and all(_fits(one, inside[0]) for one in value)
    if hint is Path:
        return isinstance(value, str)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint


def _converted(value: Any, hint: Any) -> Any:
    """A value of TOML that fits, as that type."""
    kind, inside = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return _converted(value, next(one for one in inside if _fits(value, one)))
    if kind is Annotated:
        return _converted(value, inside[0])
    if kind in (tuple, list):
        return kind(_converted(one, inside[0]) for one in value)
    return hint(value) if hint in (Path, float) else value


def _in_words(hint: Any) -> str:
    """A type in words."""
    kind, inside = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return " or ".join(_in_words(one) for one in inside if one is not type(None))
    if kind is Annotated:
        return _in_words(inside[0])
    if kind is Literal:
        return ("one of " if len(inside) > 1 else "") + ", ".join(map(repr, inside))
    if kind in (tuple, list):
        return f"a list of: {_in_words(inside[0])}"
    words = {Path: "a path", str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(hint, str(hint))
