"""The help pages of the commands: options in groups, wrapped to the terminal."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from typing import NamedTuple

from ..terminal import NARROW, prose_width, spelled, wrapped

INDENT, INDENT_NARROW = 22, 6  # of the texts, and of those on a narrow terminal


class Entry(NamedTuple):
    """An option, an argument or a command, and what it does."""

    name: str  # as it is typed
    text: str


def page(usage: str, about: list[str], sections: Mapping[str, Sequence[Entry]], foot: str = "") -> str:
    """A page of paragraphs and lists of entries under titles."""
    paragraphs = [f"usage: {usage}", *about]
    parts = [_prose(paragraph) for paragraph in paragraphs]
    for title, entries in sections.items():
        parts.append("\n".join([f"{title}:", *(line for entry in entries for line in _lines(entry))]))
    return "\n\n".join([*parts, *([_prose(foot)] if foot else [])])


def _prose(text: str, indent: str = "") -> str:
    return "\n".join(wrapped(" ".join(spelled(text).split()), indent))


def _lines(entry: Entry) -> list[str]:
    """The name, and beside it or below it the text."""
    width = prose_width()
    indent = INDENT if width >= NARROW else INDENT_NARROW
    text = _prose(entry.text, " " * indent).splitlines()
    first = f"  {entry.name}"
    if text and len(first) + 2 <= indent:
        return [first.ljust(indent) + text[0].strip(), *text[1:]]
    if len(first) > width:
        return [*wrapped(entry.name.replace(",", ", "), "  "), *text]
    return [first, *text]


def unwrapped(show: Callable[[], object]) -> str:
    """The help that tyro prints, without boxes and on lines of any length."""
    text, columns = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "1000"
    try:
        with redirect_stdout(text), suppress(SystemExit):
            show()
    finally:
        del os.environ["COLUMNS"]
        if columns is not None:
            os.environ["COLUMNS"] = columns
    return text.getvalue()


def help_page(raw: str, groups: Mapping[str, Sequence[str]], foot: str = "") -> str:
    """A command's help as a page.

    Args:
        raw: `unwrapped`.
        groups: the options of each group, by their field names, in the order shown; without any, tyro's own.
        foot: the last line of the page.
    """
    about, sections = _read(raw)
    command = " ".join(word for word in about.split()[1:3])
    positional = [entry.name for entry in sections.get("positional arguments", [])]
    shown = _grouped(sections, groups) if groups else sections
    return page(" ".join([command, *positional, "[OPTIONS]"]), about.split("\n\n")[1:], shown, foot)


def _read(raw: str) -> tuple[str, dict[str, list[Entry]]]:
    """The text above the sections, and the entries of each section by its title."""
    about: list[str] = []
    sections: dict[str, list[Entry]] = {}
    entries: list[Entry] | None = None
    lines = [line.rstrip() for line in raw.splitlines()]
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if following.startswith(" ---"):
            entries = sections.setdefault(line.strip(), [])
        elif entries is None:
            about.append(line)
        elif line.startswith("   "):
            name, text = entries.pop()
            entries.append(Entry(name, f"{text} {line.strip()}"))
        elif line.startswith("  "):
            name, _, text = line.strip().partition("  ")
            entries.append(Entry(name.replace("{None,", "{"), text))  # None stands for an option not given
    return "\n".join(about).strip(), sections


def _grouped(sections: Mapping[str, list[Entry]], groups: Mapping[str, Sequence[str]]) -> dict[str, list[Entry]]:
    by_field = {_field(entry): entry for entries in sections.values() for entry in entries}
    found = {title: [by_field.pop(name) for name in names if name in by_field] for title, names in groups.items()}
    *_, last = found.values()
    last += by_field.values()
    return found


def _field(entry: Entry) -> str:
    """The field of an option: weight_decay of --weight-decay FLOAT, data of [DATA]."""
    return re.sub(r"\W*(\w[\w-]*).*", r"\1", entry.name).lower().replace("-", "_")
