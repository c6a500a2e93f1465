"""Dataclasses of plain values filled from TOML, each value checked against the type of its field."""

from __future__ import annotations

from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ..printable import shortened

Filled = TypeVar("Filled")


def filled(kind: type[Filled], values: Any) -> Filled:
    """A dataclass with these values by the names of its fields.

    Raises:
        ValueError: they are no table, or one of them is missing, not known or not of its field's type.
    """
    if not isinstance(values, dict):
        raise ValueError(f"a table of {', '.join(get_type_hints(kind))} is needed")
    hints = get_type_hints(kind)
    for name, value in values.items():
        if name not in hints:
            raise ValueError(f"{shortened(name)} is not known")
        if not _fits(value, hints[name]):
            raise ValueError(f"{name} = {shortened(repr(value))} is not what it takes, {_shown(hints[name])}")
    try:
        return kind(**{name: _converted(value, hints[name]) for name, value in values.items()})
    except TypeError as error:  # of the dataclass, which names what is missing
        raise ValueError(str(error)) from error


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


def _shown(hint: Any) -> str:
    """A type in words."""
    kind, inside = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return " or ".join(_shown(one) for one in inside if one is not type(None))
    if kind is Annotated:
        return _shown(inside[0])
    if kind is Literal:
        return " or ".join(map(repr, inside))
    if kind in (tuple, list):
        return f"a list of: {_shown(inside[0])}"
    words = {Path: "a path", str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(hint, str(hint))
