"""Text as the terminal can show it: wrapped to its width, spelled in its letters, bars in plain characters."""

from __future__ import annotations

import codecs
import os
import shutil
import sys
import textwrap
import unicodedata
from itertools import groupby
from operator import itemgetter
from typing import TextIO

WIDTH = 80  # columns of a text where nothing says how wide the terminal is
WIDEST = 100  # columns of prose at most
NARROW = 60  # columns, below which a terminal is narrow
PLAIN = "bptt.plain"  # the error handler that spells what an encoding does not have
SPELLED = {"∂": "d", "Φ": "Phi", "Σ": "sum", "Π": "prod", "δ": "delta", "α": "alpha", "σ": "sigma", "ρ": "rho"}
SPELLED |= {"λ": "lambda", "β": "beta", "ℓ": "l", "‖": "||", "√": "sqrt", "±": "+-"}
SPELLED |= {"→": "->", "←": "<-", "·": "*", "×": "x", "−": "-", "≤": "<=", "≥": ">=", "…": "...", "•": "*"}
SPELLED |= {"⋯": "...", "⊙": "*", "ε": "epsilon", "∈": "in", "≠": "!=", "▸": ">", "◂": "<", "\u0303": "~"}
BLOCKS = dict(zip("▁▂▃▄▅▆▇█▏▎▍▌▋▊▉", "_.-=+*%########", strict=True))  # of profiles, then of bars


def columns(stream: TextIO | None = None) -> int | None:
    """The width of the terminal: COLUMNS, else that of a stream; None where it is no terminal."""
    if "COLUMNS" not in os.environ and not (stream or sys.stdout).isatty():
        return None
    return shutil.get_terminal_size((WIDTH, 24)).columns


def prose_width() -> int:
    """The width of prose on standard output."""
    return min(columns() or WIDTH, WIDEST)


def wrapped(text: str, start: str = "", width: int | None = None) -> list[str]:
    """Prose in lines of the terminal's width, no word split; later lines begin below the end of `start`."""
    return textwrap.wrap(
        text,
        width or prose_width(),
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )


def fitted(text: str, stream: TextIO | None = None) -> str:
    """A text as it is; for a terminal in the letters it has, and lines that are too wide wrapped between words."""
    if (width := columns(stream)) is None:
        return text
    lines = []
    for line in spelled(text, stream).split("\n"):
        inner = line.lstrip(" ")
        indent = " " * (len(line) - len(inner))
        lines += [line] if len(line) <= width else wrapped(inner, indent, width)
    return "\n".join(lines)


def spelled(text: str, stream: TextIO | None = None) -> str:
    """A text in the letters that a stream has, by default standard output."""
    encoding = (stream or sys.stdout).encoding or "utf-8"
    return text.encode(encoding, PLAIN).decode(encoding)


def drawn(blocks: str) -> str:
    """Block characters; on a terminal that says it is dumb plain ones in their place."""
    return blocks.translate(str.maketrans(BLOCKS)) if os.environ.get("TERM") == "dumb" else blocks


def _spelled(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    spelled = map(_spelling, error.object[error.start : error.end])
    return "".join(
        mark + "".join(one for _, one in some) for mark, some in groupby(spelled, itemgetter(0))
    ), error.end


def _spelling(letter: str) -> tuple[str, str]:
    """How a letter is spelled, and the mark before it where it is raised or lowered."""
    kind, _, plain = unicodedata.decomposition(letter).partition(" ")
    mark = {"<super>": "^", "<sub>": "_"}.get(kind, "")
    letter = "".join(chr(int(code, 16)) for code in plain.split()) if mark else letter
    return mark, letter if letter.isascii() else (SPELLED | BLOCKS).get(letter, "?")


codecs.register_error(PLAIN, _spelled)
