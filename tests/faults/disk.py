"""A disk that breaks: the file operations of this process in a folder, watched, made to fail, or cut off.

    disk = Disk(folder, FAULTS["EIO"](17))
    with disk.watched():
        ...  # files are written; the 17th operation fails
    disk.operations  # all of them, in order
    disk.crashes  # the contents that the folder could have after a kill or a power cut at any of them

A power cut keeps only what POSIX promises: synced bytes, under names whose folder was synced since. Later bytes
may be there in full, in part, as zeros, or not at all.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

Tree = tuple[tuple[str, bytes | None], ...]  # path within the folder and content, None for a folder


class Operation(NamedTuple):
    """A file operation on a path: open, write, truncate, fsync, replace, rename, unlink, rmdir or mkdir."""

    kind: str
    path: Path


def _nothing(data: bytes) -> bytes:
    return b""


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _zeros(data: bytes) -> bytes:
    return bytes(len(data))


def _whole(data: bytes) -> bytes:
    return data


class Crash(NamedTuple):
    """The effect of a crash on unsynced names and writes; one of several is drawn for each."""

    names: tuple[bool, ...]  # whether a change lasts
    bytes: tuple[Callable[[bytes], bytes], ...]  # the bytes left of a write


CRASHES = {
    "killed": Crash((True,), (_whole,)),
    "power lost, with names and bytes": Crash((False,), (_nothing,)),
    "power lost, with names": Crash((False,), (_whole,)),
    "power lost, with names and half the bytes": Crash((False,), (_half,)),
    "power lost, with bytes": Crash((True,), (_nothing,)),
    "power lost, with half the bytes": Crash((True,), (_half,)),
    "power lost, zeros for bytes": Crash((True,), (_zeros,)),
    "power lost, by lot": Crash((True, False), (_whole, _half, _zeros, _nothing)),
}


@dataclass(eq=False)
class _File:
    """A file's synced bytes and the later writes: offset and bytes, or the length to cut it to."""

    synced: bytes = b""
    unsynced: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self) -> None:
        self.synced, self.unsynced = self.left(CRASHES["killed"], random.Random()), []

    def left(self, crash: Crash, draw: random.Random) -> bytes:
        content = bytearray(self.synced)
        for offset, data in self.unsynced:
            left = draw.choice(crash.bytes)
            if data is None and left is not _nothing:
                del content[offset:]
            elif data is not None and (reached := left(data)):
                content.extend(bytes(max(0, offset - len(content))))
                content[offset : offset + len(reached)] = reached
        return bytes(content)


@dataclass(eq=False)
class _Folder:
    """The names in a folder, and how they were changed since they were synced: each is set, or removed by None."""

    now: dict[str, _File | _Folder] = field(default_factory=dict)
    synced: dict[str, _File | _Folder] = field(default_factory=dict)
    changes: list[dict[str, _File | _Folder | None]] = field(default_factory=list)

    def change(self, change: dict[str, _File | _Folder | None]) -> None:
        self.changes.append(change)
        self.now = _changed(self.now, change)

    def sync(self) -> None:
        self.synced, self.changes = dict(self.now), []

    def left(self, crash: Crash, draw: random.Random, above: str = "") -> Tree:
        names = self.synced
        for change in self.changes:
            names = _changed(names, change) if draw.choice(crash.names) else names
        found: list[tuple[str, bytes | None]] = []
        for name, node in sorted(names.items()):
            if isinstance(node, _Folder):
                found += [(above + name, None), *node.left(crash, draw, f"{above}{name}/")]
            else:
                found.append((above + name, node.left(crash, draw)))
        return tuple(found)


def _changed(names: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    return {name: node for name, node in {**names, **change}.items() if node is not None}


def tree_of(folder: Path) -> Tree:
    """The files and folders in a folder."""
    paths = sorted(folder.rglob("*"))
    return tuple((str(path.relative_to(folder)), None if path.is_dir() else path.read_bytes()) for path in paths)


def lay_out(tree: Tree, folder: Path) -> None:
    """Put a tree into an empty folder."""
    for path, content in tree:
        if content is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(content)


class Disk:
    """The operations within a folder, while they are watched.

    Args:
        folder: an existing one; its first content is synced.
        fault: called before each operation with all so far, this one the last; it may raise an error.

    Attributes:
        operations: in order.
        crashes: every distinct content that a crash could leave, with the operation before which it last could,
            counted from 1, and how; one number past the last operation is the end.
    """

    def __init__(self, folder: Path, fault: Callable[[list[Operation]], None] = lambda operations: None) -> None:
        self.folder, self._fault = folder.resolve(), fault
        self.operations: list[Operation] = []
        self.crashes: dict[Tree, tuple[int, str]] = {}
        self._root = _Folder()
        for path, content in tree_of(self.folder):
            self._change(self.folder / path, _Folder() if content is None else _File(content))
            self._folder_of(self.folder / path).sync()

    def left(self, how: str) -> Tree:
        """The content that a crash leaves now, by its name in `CRASHES`."""
        return self._root.left(CRASHES[how], random.Random(len(self.operations)))

    def saw_every_write(self) -> bool:
        """Whether every write in the folder was seen."""
        return sorted(tree_of(self.folder)) == sorted(self.left("killed"))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch, and note the content after a crash before each operation and at the end."""
        calls = {name: getattr(self, f"_{name}") for name in _CALLS}
        with (
            patch.multiple(os, **calls),
            patch.object(io, "open", self._open),
            patch.object(builtins, "open", self._open),
        ):
            try:
                yield
            finally:
                self._note(len(self.operations) + 1)

    def before(self, kind: str, path: Path) -> None:
        """An operation is about to be done."""
        self.operations.append(Operation(kind, path))
        self._note(len(self.operations))
        self._fault(self.operations)

    def opened(self, path: Path, emptied: bool) -> _File:
        """A file has been opened to be written to."""
        if path.name not in self._folder_of(path).now:
            self._change(path, _File())
        file = self._node(path)
        assert isinstance(file, _File)
        if emptied:
            file.unsynced.append((0, None))
        return file

    def _note(self, at: int) -> None:
        for how in CRASHES:
            self.crashes[self.left(how)] = at, how

    def _inside(self, file: Any, dir_fd: int | None = None) -> Path | None:
        """An absolute path, None where it is not within the folder."""
        if not isinstance(file, str | os.PathLike):
            return None
        path = Path(os.path.abspath(os.path.join("" if dir_fd is None else _path_of(dir_fd), file)))
        return path if path == self.folder or self.folder in path.parents else None

    def _node(self, path: Path) -> _File | _Folder:
        node: _File | _Folder = self._root
        for name in path.relative_to(self.folder).parts:
            assert isinstance(node, _Folder)
            node = node.now[name]
        return node

    def _folder_of(self, path: Path) -> _Folder:
        folder = self._node(path.parent)
        assert isinstance(folder, _Folder)
        return folder

    def _change(self, path: Path, node: _File | _Folder | None) -> None:
        self._folder_of(path).change({path.name: node})

    def _open(self, file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        path = self._inside(file)
        if path is None or not set(mode) & set("wax+"):
            return _OPEN(file, mode, *rest, **more)
        raw = _Raw(self, path, mode.translate({ord("b"): None, ord("t"): None}), more.pop("opener", None))
        return _buffered(raw, mode, *rest, **more)

    def _fsync(self, descriptor: Any) -> None:
        path = self._inside(_path_of(descriptor if isinstance(descriptor, int) else descriptor.fileno()))
        if path is None:
            return _CALLS["fsync"](descriptor)
        self.before("fsync", path)
        self._node(path).sync()  # this disk is the one that keeps

    def _moved(self, kind: str, old: Any, new: Any) -> None:
        source, target = self._inside(old), self._inside(new)
        if source is None or target is None:
            return _CALLS[kind](old, new)
        assert source.parent == target.parent, "not foreseen"
        self.before(kind, source)
        _CALLS[kind](old, new)
        self._folder_of(source).change({source.name: None, target.name: self._node(source)})

    def _replace(self, old: Any, new: Any) -> None:
        self._moved("replace", old, new)

    def _rename(self, old: Any, new: Any) -> None:
        self._moved("rename", old, new)

    def _gone(self, kind: str, path: Any, dir_fd: int | None) -> None:
        inside = self._inside(path, dir_fd)
        if inside is not None:
            self.before(kind, inside)
        _CALLS[kind](path, dir_fd=dir_fd)
        if inside is not None:
            self._change(inside, None)

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._gone("unlink", path, dir_fd)

    _remove = _unlink

    def _rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._gone("rmdir", path, dir_fd)

    def _mkdir(self, path: Any, mode: int = 0o777) -> None:
        inside = self._inside(path)
        if inside is not None:
            self.before("mkdir", inside)
        _CALLS["mkdir"](path, mode)
        if inside is not None:
            self._change(inside, _Folder())


_OPEN = io.open
_CALLS = {name: getattr(os, name) for name in ("fsync", "replace", "rename", "unlink", "remove", "rmdir", "mkdir")}


def _path_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _buffered(raw: _Raw, mode: str, buffering: int = -1, *text: Any, **more: Any) -> Any:
    """As `open` would, over a raw file."""
    buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
    return buffered if "b" in mode else io.TextIOWrapper(buffered, *text, **more)


class _Raw(io.FileIO):
    """An open file; a write to it is done in two halves, as the system may."""

    def __init__(self, disk: Disk, path: Path, mode: str, opener: Any) -> None:
        disk.before("open", path)
        super().__init__(path, mode, opener=opener)
        self._disk, self._path, self._first_half = disk, path, False
        self._file = disk.opened(path, "w" in mode)

    def write(self, data: Any) -> int:
        self._first_half = not self._first_half and len(data) > 1
        piece = bytes(data)[: len(data) // 2] if self._first_half else bytes(data)
        self._disk.before("write", self._path)
        self._file.unsynced.append((self.tell(), piece))
        return super().write(piece)

    def truncate(self, size: int | None = None) -> int:
        size = self.tell() if size is None else size
        self._disk.before("truncate", self._path)
        self._file.unsynced.append((size, None))
        return super().truncate(size)


class Fault:
    """An error of the system at an operation, and at others after it.

    Args:
        number: of the error, such as errno.EIO.
        fails: whether an operation does, given the one that was to fail first and it.
        at: the operation that is to fail first, counted from 1.

    Attributes:
        hit: whether anything failed.
    """

    def __init__(self, number: int, fails: Callable[[Operation, Operation], bool], at: int) -> None:
        self._number, self._fails, self._at, self.hit = number, fails, at, False

    def __call__(self, operations: list[Operation]) -> None:
        now = operations[-1]
        if len(operations) >= self._at and self._fails(operations[self._at - 1], now):
            self.hit = True
            named = () if now.kind in ("write", "truncate", "fsync") else (str(now.path),)  # as the system does
            raise OSError(self._number, os.strerror(self._number), *named)


def _full(first: Operation, now: Operation) -> bool:
    """From then on there is no space; names can still be removed, changed and made."""
    return now.kind in ("write", "mkdir") or (now is first and now.kind in ("open", "fsync"))


def _once(first: Operation, now: Operation) -> bool:
    return now is first


def _on_that_file(first: Operation, now: Operation) -> bool:
    return now.path == first.path


FAULTS: dict[str, Callable[[int], Fault]] = {
    "ENOSPC": lambda at: Fault(errno.ENOSPC, _full, at),
    "EIO": lambda at: Fault(errno.EIO, _once, at),
    "EIO from then on": lambda at: Fault(errno.EIO, _on_that_file, at),
}


def kill(at: int) -> Callable[[list[Operation]], None]:
    """SIGKILL at an operation, counted from 1."""

    def fault(operations: list[Operation]) -> None:
        if len(operations) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return fault
