"""A file a command writes where the user asks for it: always a new one."""

from __future__ import annotations

import os
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
    """Write a text file, a new one.

    Raises:
        UserError: it cannot be written.
    """
    try:
        with creating(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
