"""TOML files read, and dataclasses made of their tables, each value checked against the type of its field."""

from __future__ import annotations

import sys
import tomllib
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
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


def made_of(kind: type[Made], values: Any, where: str = "it") -> Made:
    """A dataclass with the values of a table, by the names of its fields; tables in it become dataclasses as well.

    Args:
        kind: the dataclass.
        values: the table. A value may be of its field's type already.
        where: the name of the table, for errors.

    Raises:
        ValueError: this is no table, or one of its values is missing, unknown or not of its field's type.
    """
    hints = get_type_hints(kind)
    if not isinstance(values, dict):
        raise ValueError(f"{where} must be {_in_words(kind)}, got {shortened(toml_text(values))}")
    for name, value in values.items():
        if name not in hints:
            near = get_close_matches(name, hints, 1)
            hint = f"; is {near[0]!r} meant?" if near else ""
            raise ValueError(f"{where} has {shortened(name)!r}, which is not known there{hint}")
        if not _fits(value, hints[name]):
            wanted = _in_words(hints[name])
            raise ValueError(f"{name} must be {wanted}, got {shortened(toml_text(value))}")
    try:
        return kind(**{name: _converted(value, hints[name], name) for name, value in values.items()})
    except TypeError as error:  # of the dataclass; it names the missing field
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
    if kind is dict:
        return isinstance(value, dict) and all(_fits(one, inside[1]) for one in value.values())
    if is_dataclass(hint):
        return isinstance(value, dict | hint)
    if hint is Path:
        return isinstance(value, str)
    if hint is float:
        whole = type(value) is int and abs(value) <= sys.float_info.max
        return whole or isinstance(value, float)
    return type(value) is hint


def _converted(value: Any, hint: Any, where: str) -> Any:
    """A value of TOML that fits, as that type."""
    kind, inside = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return _converted(value, next(one for one in inside if _fits(value, one)), where)
    if kind is Annotated:
        return _converted(value, inside[0], where)
    if kind in (tuple, list):
        return kind(_converted(one, inside[0], where) for one in value)
    if kind is dict:
        return {name: _converted(one, inside[1], f"{where}.{name}") for name, one in value.items()}
    if isinstance(hint, type) and is_dataclass(hint) and isinstance(value, dict):
        return made_of(hint, value, f"[{where}]")
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
    if is_dataclass(hint):
        return f"a table of {', '.join(field.name for field in fields(hint))}"
    if kind is dict:
        return f"a table, each of its values {_in_words(inside[1])}"
    words = {Path: "a path", str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(hint, str(hint))
