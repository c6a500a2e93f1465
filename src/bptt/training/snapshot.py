"""Snapshots: all that a training needs to go on after a crash, the last two of them kept."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import ASIDE, check_folder, make_folder
from .tensors import read_tensors, write_tensors
from .workers import ALONE, Workers

KEPT = 2
SUFFIX = ".safetensors"
NAME = rf"[0-9]+({re.escape(SUFFIX)})?"  # of one worker's file, or of several workers' folder


class Snapshots:
    """The snapshots in a folder, numbered in the order they were taken.

    A new one is whole before an older one goes, so that there is always one to go on from. One worker writes a
    file; several write a folder together. Any number of workers reads either.

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
            tree: as `write_tensors` takes it; what is no `Part` is the same on all workers, or the first one's.

        Raises:
            OSError: it cannot be written; those before it are untouched.
        """
        if not self.folder.parent.is_dir():  # removed while the run goes on: nobody looks for what would be made
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.folder.parent))
        there = self._there()
        place = self.folder / f"{_number(there[-1]) + 1 if there else 1:09d}"
        if self.workers.size == 1:
            if not self.folder.exists():
                make_folder(self.folder)
            write_tensors(place.with_suffix(SUFFIX), tree)
        else:
            from .shards import save_shards

            save_shards(self.workers.said_by_first(place), tree, self.workers)
        if self.workers.rank == 0:
            left = list(self.folder.glob(f"*{ASIDE}"))  # where one was killed as it wrote or removed a snapshot
            whole = [path for path in there if path not in self._damaged]
            for path in (*left, *self._damaged.intersection(there), *whole[: len(whole) + 1 - KEPT]):
                _remove(path)

    def load(self) -> tuple[Any, list[str]]:
        """The newest that is whole, None where there is none yet, and what is wrong with those after it.

        Raises:
            UserError: there are some, and none is whole.
        """
        wrong: list[str] = []
        for path in reversed(self._there()):
            tree, problem = None, None
            try:
                if (tree := self._read(path)) is None:
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

    def _read(self, path: Path) -> Any:
        if path.suffix == SUFFIX:
            return read_tensors(path)
        check_folder(path)
        from .shards import load_shards

        return load_shards(path, self.workers)

    def _there(self) -> list[Path]:
        named = [path for path in self.folder.glob("*") if re.fullmatch(NAME, path.name)]
        return sorted(named, key=_number)


def _number(path: Path) -> int:
    return int(path.stem)


def _remove(path: Path) -> None:
    """A file, or a folder, which first loses its name, so that no half of one is taken for a snapshot."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    if path.suffix != ASIDE:
        path = path.replace(path.with_name(path.name + ASIDE))
    shutil.rmtree(path)
