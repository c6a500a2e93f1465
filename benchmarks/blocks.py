"""Functions timed in alternating warm blocks, as a line of a table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

from bptt.speed import mean_time


def timed_line(
    title: str,
    tasks: Mapping[str, Callable[[], object]],
    blocks: int,
    calls: int,
    seconds: float,
    threads: int,
) -> str:
    """Milliseconds of each function, the least and in brackets the median, and its ratio to the first one.

    Args:
        calls, seconds: of a block, as `mean_time` takes them.
        threads: with one it is processor time, with more wall-clock time.
    """
    clock = time.thread_time if threads == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(blocks):
        for name, task in tasks.items():
            times[name].append(1e3 * mean_time(task, calls, seconds, clock))
    first, *others = times.values()
    line = title + _shown(first)
    return line + "".join(f"{_shown(column)}{min(column) / min(first):>7.2f}x" for column in others)


def _shown(column: list[float]) -> str:
    return f"{min(column):>9.2f}{f'({statistics.median(column):.2f})':>9}"
