"""Snapshots: all that a training needs to go on after a crash, the last two of them kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import UserError
from .files import make_folder
from .tensors import read_tensors, write_tensors

KEPT = 2


class Snapshots:
    """The snapshots in a folder, numbered in the order they were taken.

    A new one is whole before an older one goes, so that there is always one to go on from.

    Args:
        folder: made with the first snapshot.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, tree: Any) -> None:
        """Write one.

        Raises:
            OSError: it cannot be written; those before it are untouched.
        """
        if not self.folder.exists():
            make_folder(self.folder)
        there = self._there()
        number = int(there[-1].stem) + 1 if there else 1
        write_tensors(self.folder / f"{number:09d}.safetensors", tree)
        for path in there[: len(there) + 1 - KEPT]:
            path.unlink()

    def load(self) -> tuple[Any, list[str]]:
        """The newest that is whole, None where there is none yet, and what is wrong with those after it.

        Raises:
            UserError: there are some, and none is whole.
        """
        wrong = []
        for path in reversed(self._there()):
            try:
                return read_tensors(path), wrong
            except UserError as error:
                wrong.append(str(error))
        if wrong:
            raise UserError(f"no snapshot in {self.folder} can be used: {'; '.join(wrong)}; train again")
        return None, []

    def _there(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.safetensors") if path.stem.isdigit())
