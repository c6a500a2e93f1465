"""Names and texts from a user's files as one short line for a terminal or a page, without control characters."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 60  # characters of a name that are shown
LONGEST_WORD = 400  # of a word in a message


def printable(text: str, keep: str = "") -> str:
    r"""A text with its control characters written out, such as those that reverse the line.

    >>> print(printable("a\x1b[31m\u202eb\n"))
    a\x1b[31m\u202eb\n
    """
    return "".join(one if one.isprintable() or one in keep else repr(one)[1:-1] for one in text)


def shortened(name: str, most: int = LONGEST) -> str:
    """A name's beginning and end, where it is long.

    >>> shortened("abcdefghijklmnopqrstuvwxyz", 11)
    'abcdef…vwxyz'
    """
    half = most // 2
    return name if len(name) <= most else f"{name[: most - half]}…{name[-half:]}"


def shown(name: str) -> str:
    """A name as a table or a page shows it."""
    return shortened(printable(name))


def significant(value: float) -> str:
    """A number with three or four significant digits; whole below a million.

    >>> [significant(number) for number in (0.95, 0.0863, 1e-30, 1.5, 62.41, 53012.4, 1.25e20)]
    ['0.950', '0.0863', '1e-30', '1.500', '62.41', '53012', '1.25e+20']
    """
    size = abs(value)
    if 0.1 <= size < 10 or value == 0:
        return f"{value:.3f}"
    if 1000 <= size < 1e6:
        return f"{value:.0f}"
    return f"{value:.4g}" if 10 <= size < 1000 else f"{value:.3g}"


def distinct(names: Iterable[str]) -> dict[str, str]:
    """Each name as it is shown; names that would look the same are numbered."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        own, number = shown(name), 1
        while own in found.values():
            number += 1
            own = f"{shown(name)} ({number})"
        found[name] = own
    return found


def message(text: str) -> str:
    """A message as one line: control characters written out, long words shortened."""
    return re.sub(rf"\S{{{LONGEST_WORD},}}", lambda word: shortened(word[0], LONGEST_WORD), printable(text))
