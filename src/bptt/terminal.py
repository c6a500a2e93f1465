"""Text as the terminal can show it: wrapped to its width, spelled in its letters, bars in plain characters."""

from __future__ import annotations

import codecs
import os
import shutil
import sys
import textwrap
from typing import TextIO

WIDTH = 80  # columns of a text where nothing says how wide the terminal is
WIDEST = 100  # columns of prose at most
PLAIN = "bptt.plain"  # the error handler that spells what an encoding does not have
SPELLED = {"∂": "d", "Φ": "Phi", "Σ": "sum", "Π": "prod", "δ": "delta", "α": "alpha", "σ": "sigma", "ρ": "rho"}
SPELLED |= {"λ": "lambda", "β": "beta", "ℓ": "l", "‖": "||", "²": "^2", "ᵀ": "^T", "√": "sqrt", "±": "+-"}
SPELLED |= {"→": "->", "←": "<-", "·": "*", "×": "x", "−": "-", "≤": "<=", "≥": ">=", "…": "...", "•": "*"}
SPELLED |= {"⋯": "...", "⊙": "*"}
BLOCKS = dict(zip("▁▂▃▄▅▆▇█▏▎▍▌▋▊▉", "_.-=+*%########", strict=True))  # of profiles, then of bars


def columns(stream: TextIO | None = None) -> int | None:
    """The width of the terminal: COLUMNS, else that of a stream; None where it is no terminal."""
    if "COLUMNS" not in os.environ and not (stream or sys.stdout).isatty():
        return None
    return shutil.get_terminal_size((WIDTH, 24)).columns


def wrapped(text: str, start: str = "", width: int | None = None) -> list[str]:
    """Prose in lines of the terminal's width, no word split; later lines begin below the end of `start`."""
    width = width or min(columns() or WIDTH, WIDEST)
    return textwrap.wrap(
        text,
        width,
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
    letters = SPELLED | BLOCKS
    return "".join(letters.get(one, "?") for one in error.object[error.start : error.end]), error.end


codecs.register_error(PLAIN, _spelled)
