"""Files that a crash leaves as they were before or as they are to be, never in between.

Written aside, synced to the disk, renamed, and the folder synced: POSIX makes the rename atomic, and the order of
the syncs makes it last.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

from .errors import UserError

ASIDE = ".part"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which becomes `path` when the block ends without an error.

    Raises:
        OSError: it cannot be written; it names the file, and what was there before is untouched.
    """
    aside = path.with_name(path.name + ASIDE)
    try:
        with naming(aside):
            with open(aside, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
    except BaseException:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Let `path` hold this content, all of it or what it held before."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def appending(path: Path) -> Iterator[TextIO]:
    """A text file to add to.

    Raises:
        OSError: it cannot be opened, or at the end what it was given not be written; it names the file.
    """
    with naming(path), path.open("a", encoding="utf-8") as file:
        yield file


def make_folder(path: Path, exist_ok: bool = False) -> None:
    """Make a folder, and those above it, that last.

    Raises:
        OSError: it cannot be made.
    """
    above = next(folder for folder in path.parents if folder.exists())
    path.mkdir(parents=True, exist_ok=exist_ok)
    for folder in path.parents:
        sync_folder(folder)
        if folder == above:
            break


def sync_folder(folder: Path) -> None:
    """Let the names in a folder last."""
    with naming(folder):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError from within that names no file names this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def read_regular(path: Path) -> bytes:
    """The content of a regular file; nothing is followed or waited for.

    Raises:
        UserError: there is none, it is a link, a folder or a pipe, or it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise UserError(f"{path} is not a regular file")
        with os.fdopen(descriptor, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing") from error
    except OSError as error:
        if path.is_symlink():
            raise UserError(f"{path} is a symbolic link; only regular files are read") from error
        raise UserError(f"{path} could not be read: {error.strerror}") from error
