"""Takes the snapshots of a training when they are due."""

from __future__ import annotations

import time
from typing import Any

from .journal import Journal
from .preparing import Work


class SnapshotKeeper:
    """Called after each update, it takes a snapshot when one is due, and at the start and the end anyhow."""

    def __init__(self, work: Work, journal: Journal) -> None:
        self._work, self._journal = work, journal
        self._before, self._started = work.seconds, time.monotonic()

    def __enter__(self) -> SnapshotKeeper:
        self._take()
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None:
            self._take()

    def __call__(self) -> None:
        if self._work.training.workers.ask(self._due):
            self._take()

    def _due(self) -> bool:
        return self._journal.writes and time.monotonic() - self._last >= self._work.config.snapshot

    def _take(self) -> None:
        work = self._work
        work.seconds = self._before + time.monotonic() - self._started
        state = work.training.state_dict()
        self._journal.snapshot({"training": state, "by_lag": work.by_lag, "seconds": work.seconds})
        self._last = time.monotonic()
