"""Ctrl-C and SIGTERM as a question asked between epochs, and Ctrl-C as what ends a filter at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interruption:
    """While entered, the first SIGINT or SIGTERM is remembered and not raised; outside the main thread none is.

    Args:
        caught: whether to do so; else signals act as ever. Default True.

    Attributes:
        signal: the one that came, None while none has.
    """

    def __init__(self, caught: bool = True) -> None:
        self._caught = caught and threading.current_thread() is threading.main_thread()
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        for number in (signal.SIGINT, signal.SIGTERM) if self._caught else ():
            self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def came(self) -> bool:
        """Whether a signal has come."""
        return self.signal is not None

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextmanager
def ended_at_once() -> Iterator[None]:
    """While entered, Ctrl-C ends the process there and then, as it ends any filter that waits for its input.

    Python's own handler would run in the main thread, once that is back from waiting; the signal may have come to
    another one, and the wait goes on. Where SIGINT is ignored or has another handler, it stays so.
    """
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
