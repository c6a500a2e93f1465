"""Atomic writes: after a crash a file has its old content or its new content, never a part of it.

Written aside, synced to the disk, renamed, and the folder synced: POSIX makes the rename atomic, and the order of
the syncs makes it last.

Only new files, or regular ones with one name, are written: never the target of a link, a pipe or a device.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

from .errors import UserError

ASIDE = ".part"
LARGEST_TEXT = 2**28  # bytes of a run's config.toml, intervals.toml or metrics.jsonl


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which becomes `path` when the block ends without an error.

    Raises:
        UserError: there is something at `path` that is no regular file.
        OSError: it cannot be written; it names the file, and the old content is untouched.
    """
    aside = path.with_name(path.name + ASIDE)
    check_regular(path)
    if check_regular(aside):
        aside.unlink()  # of a process that was killed as it wrote; another name of it keeps what it has
    with creating(aside) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
        file.close()  # Windows renames no open file
        os.replace(aside, path)
    sync_folder(path.parent)


@contextmanager
def creating(path: Path) -> Iterator[BinaryIO]:
    """A new file to write to, removed if the block ends with an error.

    Raises:
        FileExistsError: the name is taken, even by a broken link.
        OSError: it cannot be written; it names the file.
    """
    with naming(path):
        file = open(path, "xb")  # noqa: SIM115
        try:
            with file:
                yield file
        except BaseException:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            raise


def check_regular(path: Path) -> bool:
    """Whether there is a regular file; False where there is nothing.

    Raises:
        UserError: there is something else.
    """
    with naming(path):
        try:
            found = path.lstat()
        except FileNotFoundError:
            return False
    _refuse_others(path, found)
    return True


def _refuse_others(path: Path, found: os.stat_result) -> None:
    kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe"}
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        what = kinds.get(kind, "a device or a socket")
        raise UserError(f"{path} is {what}, and only a regular file is written there; remove it")


def write_whole(path: Path, content: bytes) -> None:
    """Write the content of `path`; a crash leaves all of it or the old content."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def appending(path: Path) -> Iterator[TextIO]:
    """A text file to append to.

    Raises:
        UserError: it is no regular file, or has another name as well, under which it would change too.
        OSError: it cannot be opened or written; the error names the file.
    """
    check_regular(path)
    with naming(path), open(path, "a", encoding="utf-8", newline="\n", opener=_guarded) as file:
        found = os.fstat(file.fileno())
        _refuse_others(path, found)
        if found.st_nlink > 1:
            raise UserError(f"{path} is a hard link to a file that has other names too; remove it")
        yield file


def _guarded(path: str | Path, flags: int) -> int:
    """Open a file, but follow no link and wait for no pipe; Windows has no flags for these, but one for bytes."""
    guards = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
    return os.open(path, flags | sum(guards), 0o666)


def make_folder(path: Path, exist_ok: bool = False) -> None:
    """Make a folder and those above it, and sync them to the disk.

    Raises:
        OSError: it cannot be made.
    """
    above = next(folder for folder in path.parents if folder.exists())
    path.mkdir(parents=True, exist_ok=exist_ok)
    for folder in path.parents:
        sync_folder(folder)
        if folder == above:
            break


def check_folder(path: Path) -> None:
    """Refuse a link or a file in a folder's place: through a link, files would be written elsewhere.

    Raises:
        UserError: it is a link, a file or anything else that is no folder.
    """
    if path.is_symlink():
        raise UserError(f"{path} is a symbolic link, and a run writes into its own folder alone; remove it")
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is no folder, where a folder is needed; remove it")


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to the disk, but on Windows, which opens no folder."""
    if sys.platform == "win32":
        return
    with naming(folder):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name this file in an OSError of the block that names none."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def digest_of(path: Path) -> str:
    """A file's SHA-256, in hexadecimal; it is read piece by piece.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror}") from error


def read_regular(path: Path, most: int | None = None) -> bytes:
    """The content of a regular file; never blocks.

    Args:
        path: of the file.
        most: bytes that it may have. Default any number.

    Raises:
        UserError: there is none, it is a link, a folder or a pipe, it is too large, or it cannot be read.
    """
    try:
        if path.is_symlink():
            raise UserError(f"{path} is a symbolic link; only regular files are read")
        descriptor = _guarded(path, os.O_RDONLY)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise UserError(f"{path} is not a regular file")
        with os.fdopen(descriptor, "rb") as file:
            if most is not None and found.st_size > most:
                raise UserError(f"{path} has {found.st_size:,} bytes; at most {most:,} are read")
            return file.read()
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing") from error
    except MemoryError as error:
        raise UserError(f"{path} is larger than the memory that is free") from error
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror}") from error
