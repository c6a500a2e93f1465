"""A file a command writes where the user asks for it: always a new one."""

from __future__ import annotations

from pathlib import Path

from ..training.errors import UserError


def check_new(path: Path | None, option: str) -> None:
    """Refuse a file that exists, before any work; None is no file.

    Raises:
        UserError: it exists.
    """
    if path is not None and path.exists():
        raise UserError(f"{path} exists already and is not overwritten; pass another {option}")


def write_text(path: Path, text: str) -> None:
    """Write a text file.

    Raises:
        UserError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
