"""A file a command writes where the user asks for it: always a new one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import UserError
from ..files import creating


def check_new(path: Path | None, option: str) -> None:
    """Refuse a file that exists or cannot be made, before any work; None is no file.

    Raises:
        UserError: it exists, or there is no folder for it that can be written to.
    """
    if path is None:
        return
    if os.path.lexists(path):
        raise UserError(f"{path} exists already and is not overwritten; pass another {option}")
    if not path.parent.is_dir():
        raise UserError(f"{path} cannot be written: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"{path} cannot be written: no files can be made in {path.parent}")


def write_text(path: Path, text: str) -> None:
    """`write_texts` of one text."""
    write_texts(path, [text])


def write_texts(path: Path, texts: Iterable[str]) -> None:
    """Write a new text file, piece by piece.

    Raises:
        UserError: it cannot be written.
        OSError: another file fails, from which a text comes.
    """
    try:
        with creating(path) as file:
            for text in texts:
                file.write(text.encode())
    except OSError as error:
        if error.filename != str(path):
            raise
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
