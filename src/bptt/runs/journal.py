"""All that a run writes into its folder while it trains: weights, metrics, snapshots."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import tomli_w
from torch import nn

from ..errors import UserError
from ..files import ASIDE, appending, check_regular, naming, write_whole
from ..training.config_file import ConfigFile, save_config
from ..training.loop import Epoch
from ..training.snapshot import Snapshots
from ..training.tasks.intervals import Intervals
from ..training.tensors import write_tensors
from ..training.workers import ALONE, Workers
from .run_folder import INTERVALS, METRICS, WEIGHTS, is_finished

LOCK = ".lock"
WRITES = ("config.toml", METRICS, WEIGHTS, "diverged.safetensors", INTERVALS, "report.html")
WRITES += ("forecast.csv", "predictions.csv", "confusion.csv", "sample.txt")  # in the run folder, beside snapshots


class Journal:
    """A run being written down: its metrics, and its folder, for one process alone.

    Args:
        folder: which exists; None where nothing is written.
        workers: of whom the first one writes, and all of them the snapshots.
        owner: stands in the folder's lock.

    Attributes:
        is_first: whether this process is the worker that judges and writes.
        lines: those of metrics.jsonl, by the first worker.

    Raises:
        UserError: another process writes to it, a worker does not see it, or a link, a pipe or a device stands
            where a file is to be written.
    """

    def __init__(self, folder: Path | None, workers: Workers = ALONE, owner: str = "") -> None:
        self.folder, self.is_first = folder, workers.rank == 0
        self.lines: list[dict[str, Any]] = []
        self._own = folder if self.is_first else None  # to be written by this process
        self._snapshots = None if folder is None else Snapshots(folder / "snapshots", workers)
        self._metrics: TextIO | None = None
        self._open = ExitStack()
        if folder is not None and not folder.is_dir():
            raise UserError(
                f"worker {workers.rank} sees no {folder}; let the run be on a disk that all workers share"
            )
        if (folder := self._own) is not None:
            taken = [path for path in (folder / "snapshots").glob("*") if path.is_symlink() or not path.is_dir()]
            for path in [*(folder / name for name in WRITES), *taken]:
                check_regular(path)
                check_regular(path.with_name(path.name + ASIDE))
            self._open.enter_context(locked(folder, owner))

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        with self._open:
            if kind is None and self._metrics is not None:
                os.fsync(self._metrics.fileno())

    @property
    def writes(self) -> bool:
        """Whether this process writes a folder."""
        return self._own is not None

    def config(self, content: ConfigFile) -> None:
        """Write config.toml."""
        if self._own is not None:
            save_config(self._own, content)

    def begin(self, epochs: list[Epoch]) -> None:
        """Open metrics.jsonl, with the lines of the epochs there are already and no others."""
        self.lines = [_epoch_line(epoch) for epoch in epochs]
        if self._own is not None:
            path = self._own / METRICS
            write_whole(path, "".join(map(_text, self.lines)).encode())
            self._metrics = self._open.enter_context(appending(path))

    def epoch(self, epoch: Epoch) -> None:
        """Write an epoch's line of metrics."""
        self.line(_epoch_line(epoch))

    def line(self, line: dict[str, Any]) -> None:
        """Write a line of metrics."""
        self.lines.append(line)
        if self._own is not None and self._metrics is not None:
            with naming(self._own / METRICS):
                self._metrics.write(_text(line))
                self._metrics.flush()

    def snapshot(self, tree: Any) -> None:
        """Take a snapshot, all workers together."""
        if self._snapshots is not None:
            self._snapshots.save(tree)

    def model(self, model: nn.Module) -> None:
        """Write model.safetensors."""
        if self._own is not None:
            write_tensors(self._own / WEIGHTS, dict(model.state_dict()))

    def intervals(self, intervals: Intervals) -> None:
        """Write intervals.toml."""
        if self._own is not None:
            write_whole(self._own / INTERVALS, tomli_w.dumps(asdict(intervals)).encode())

    def diverged(self, walked: Any) -> None:
        """Write what a loss that is not finite was computed from, diverged.safetensors."""
        if self._own is not None:
            write_tensors(self._own / "diverged.safetensors", walked._asdict())

    def last_snapshot(self) -> tuple[Any, list[str]]:
        """The newest snapshot that is whole, None where there is none, and what is wrong with those after it."""
        return (None, []) if self._snapshots is None else self._snapshots.load()

    def check_untrained(self) -> None:
        """Nothing is there that training wrote, so that it may start from the beginning.

        Raises:
            UserError: there are weights, or lines of metrics.
        """
        if self.folder is None:
            return
        weights, metrics = self.folder / WEIGHTS, self.folder / METRICS
        if weights.exists() or (metrics.exists() and metrics.stat().st_size > 0):
            raise UserError(
                f"{self.folder} has been trained, but there is no snapshot in {self.folder / 'snapshots'} to go "
                "on from; put the snapshots back, or begin a new run"
            )

    def is_finished(self) -> bool:
        """Whether the run has its last line of metrics, which is written when all else is, and was not stopped."""
        return self.folder is not None and is_finished(self.folder)


def _epoch_line(epoch: Epoch) -> dict[str, Any]:
    line = {"event": "epoch", **epoch._asdict()}
    return line if epoch.sample is not None else {name: own for name, own in line.items() if name != "sample"}


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line) + "\n"


@contextmanager
def locked(folder: Path, owner: str = "") -> Iterator[None]:
    """Hold a run folder for this process alone; the system frees it when the process ends, however it ends.

    Args:
        owner: is written into the lock, for `owned`.

    Raises:
        UserError: another process has it.
    """
    with appending(folder / LOCK) as file:
        try:
            _lock(file)
            file.truncate(0)
            file.write(owner)
            file.flush()
        except BlockingIOError as error:
            raise UserError(f"{folder} is being written by another process; wait for it, or stop it") from error
        yield


def _lock(file: TextIO) -> None:
    """Lock a file until it is closed; a BlockingIOError where another process has locked it."""
    if sys.platform == "win32":
        import msvcrt

        try:
            os.lseek(file.fileno(), 2**30, os.SEEK_SET)  # beyond the content, which others may read
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError from error
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def owned(folders: Iterable[Path], owner: str) -> Path | None:
    """The folder that such an owner locked last, if there is one."""
    for folder in folders:
        lock = folder / LOCK
        if lock.is_file() and lock.read_text(encoding="utf-8") == owner:
            return folder
    return None
