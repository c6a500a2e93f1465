"""Snapshots: all that a training needs to go on after a crash, the last two of them kept."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import ASIDE, check_folder, make_folder
from .tensors import Leaves, read_tensors, taken_apart, write_leaves
from .workers import ALONE, Workers

KEPT = 2
SUFFIX = ".safetensors"


class Snapshots:
    """The snapshots in a folder, a file each, numbered in the order they were taken.

    A new one is whole before an older one goes, so that there is always one to go on from. The first worker writes
    it, with the parts of all; any number of workers reads it.

    Args:
        folder: made with the first snapshot.
        workers: all of them call the same methods at the same time.

    Raises:
        UserError: a link or a file stands in the folder's place.
    """

    def __init__(self, folder: Path, workers: Workers = ALONE) -> None:
        check_folder(folder)
        self.folder, self.workers = folder, workers
        self._damaged: set[Path] = set()  # found when one was read

    def save(self, tree: Any) -> None:
        """Write one.

        Args:
            tree: as `write_tensors` takes it; what is no `Shard` is the same on all workers, or the first one's.

        Raises:
            OSError: it cannot be written, which all workers raise; those before it are untouched.
        """
        leaves, plain = taken_apart(tree)
        leaves |= self.workers.joined(leaves)
        self.workers.by_first(lambda: self._write(leaves, plain))

    def _write(self, leaves: Leaves, plain: str) -> None:
        if not self.folder.parent.is_dir():  # the folder was removed during the run: do not make it again
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.folder.parent))
        if not self.folder.exists():
            make_folder(self.folder)
        there = self._there()
        number = int(there[-1].stem) + 1 if there else 1
        write_leaves(self.folder / f"{number:09d}{SUFFIX}", leaves, plain)
        killed = self._there(SUFFIX + ASIDE)  # where a process was killed as it wrote a snapshot
        whole = [path for path in there if path not in self._damaged]
        for path in (*killed, *self._damaged.intersection(there), *whole[: len(whole) + 1 - KEPT]):
            path.unlink()

    def load(self) -> tuple[Any, list[str]]:
        """The newest that is whole, None where there is none yet, and what is wrong with those after it.

        Raises:
            UserError: there are some, and none is whole.
        """
        wrong: list[str] = []
        for path in reversed(self._there()):
            tree, problem = None, None
            try:
                if (tree := read_tensors(path)) is None:
                    problem = f"{path} is damaged: there is nothing in it"
            except UserError as error:
                problem = str(error)
            met = [said for said in self.workers.all(problem) if said is not None]
            if not met:
                return tree, wrong
            wrong.append(met[0])
            self._damaged.add(path)
        if wrong:
            raise UserError(f"no snapshot in {self.folder} can be used: {'; '.join(wrong)}; train again")
        return None, []

    def _there(self, suffix: str = SUFFIX) -> list[Path]:
        """The files of a number and this suffix, in the order of their numbers."""
        named = [path for path in self.folder.glob("*") if re.fullmatch(r"[0-9]+" + re.escape(suffix), path.name)]
        files = (path for path in named if path.is_symlink() or path.is_file())
        return sorted(files, key=lambda path: int(path.name.split(".")[0]))
