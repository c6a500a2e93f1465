"""Times by the device's own clock, peak memory, TF32 switched on and off, and the lines that the parts print."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import torch

WARM, BLOCKS, BLOCK_MS = 3, 5, 15.0  # calls before the first block; blocks; the length of a block
Item = TypeVar("Item")
GPU = "cuda"  # the type of the device that has CUDA's clock, compiler and settings


class Line(NamedTuple):
    """One line of a part: printed as it comes, its data written to the file."""

    text: str
    data: dict[str, Any] | None = None
    failed: bool = False


class Clock:
    """The time that a part may take."""

    def __init__(self, seconds: float) -> None:
        self.ends, self.cut = time.monotonic() + seconds, ""

    def left(self) -> float:
        return max(0.0, self.ends - time.monotonic())

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items until the time is over; `cut` then says how many there were."""
        listed = list(items)
        for done, item in enumerate(listed):
            if self.left() == 0:
                self.cut = f"{done} of {len(listed)}"
                return
            yield item


class Times(NamedTuple):
    """Milliseconds of a call: the median and the least of some blocks."""

    median: float
    least: float

    def __str__(self) -> str:
        return f"{self.median:9.3f} ({self.least:9.3f})"


def is_gpu(device: torch.device) -> bool:
    """Whether it is measured by CUDA's own means."""
    return device.type == GPU


def finish(device: torch.device) -> None:
    """Wait for what the device has to do."""
    if device.type != "cpu":
        torch.get_device_module(device).synchronize(device)


def block(step: Callable[[], Any], calls: int, device: torch.device) -> float:
    """Milliseconds by call, of so many calls one after the other; on CUDA between two events."""
    finish(device)
    if not is_gpu(device):
        start = time.perf_counter()
        for _ in range(calls):
            step()
        finish(device)
        return 1e3 * (time.perf_counter() - start) / calls
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    for _ in range(calls):
        step()
    last.record()
    finish(device)
    return first.elapsed_time(last) / calls


def alternating(steps: Sequence[Callable[[], Any]], device: torch.device, tiny: bool = False) -> list[Times]:
    """The times of each step, in blocks that take turns after a warm-up."""
    warm, blocks = (1, 1) if tiny else (WARM, BLOCKS)
    estimates = [block(step, warm, device) for step in steps]
    estimates = estimates if tiny else [block(step, 1, device) for step in steps]
    found: list[list[float]] = [[] for _ in steps]
    for turn in range(blocks):
        for number in range(len(steps))[:: 1 if turn % 2 else -1]:
            calls = 1 if tiny else max(1, min(100, round(BLOCK_MS / estimates[number])))
            found[number].append(block(steps[number], calls, device))
    return [Times(statistics.median(times), min(times)) for times in found]


def peak(step: Callable[[], Any], device: torch.device) -> int | None:
    """Peak bytes that a step allocates above those allocated before it; None on the CPU."""
    if device.type == "cpu":
        return None
    module = torch.get_device_module(device)
    finish(device)
    before = module.memory_allocated(device)
    module.reset_peak_memory_stats(device)
    step()
    finish(device)
    return module.max_memory_allocated(device) - before


def mebibytes(count: int | None) -> str:
    """Bytes as a column in MiB."""
    return "       -" if count is None else f"{count / 2**20:8.1f}"


@contextmanager
def float32_by(precision: str) -> Iterator[None]:
    """Within it, cuDNN computes float32 in "ieee" or through "tf32"."""
    setting: Any = getattr(torch.backends.cudnn, "rnn", None)
    if hasattr(setting, "fp32_precision"):
        before = setting.fp32_precision
        setting.fp32_precision = precision
        yield
        setting.fp32_precision = before
        return
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    yield
    torch.backends.cudnn.allow_tf32 = before
