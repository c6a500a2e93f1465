"""Time and peak memory of torch.nn's modules and bptt's on a device, forward alone and a whole training step.

A step is zero_grad, forward and backward, x without gradient, I = H. `IMPLEMENTATIONS` lists the compared modules;
the ratios of medians are relative to the first, so below 1 the others are faster.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import nn

import bptt

from .cases import name_of
from .measuring import Clock, Line, Times, alternating, mebibytes, peak

MOST = 1.05  # a larger ratio counts as slower than torch.nn: timings vary by a few percent


class Implementation(NamedTuple):
    """A way to compute a recurrent module."""

    name: str
    make: Callable[[str, int, int], nn.Module]  # of RNN, GRU or LSTM, I and H


IMPLEMENTATIONS = [
    Implementation("torch.nn", lambda kind, I, H: getattr(nn, kind)(I, H)),
    Implementation("bptt", lambda kind, I, H: getattr(bptt, kind)(I, H)),
]


class Size(NamedTuple):
    """A size that is measured."""

    kind: str
    dtype: torch.dtype
    T: int
    B: int
    H: int

    def __str__(self) -> str:
        return f"{self.kind:<5}{name_of(self.dtype):<9} T={self.T:<5}B={self.B:<4}H={self.H:<5}"


def sizes(tiny: bool) -> list[Size]:
    """All sizes: single steps, which show what Python takes; then the middle ones, as the time may end early."""
    kinds, dtypes = ("RNN", "GRU", "LSTM"), (torch.float32, torch.bfloat16, torch.float16)
    if tiny:
        return [Size(kind, torch.float32, 3, 2, 4) for kind in kinds]
    every = itertools.product((100, 1000), (128, 512, 64, 256, 1024), (32, 1, 8, 128), dtypes, kinds)
    found = [Size(kind, dtype, T, B, H) for T, H, B, dtype, kind in every]
    found.sort(key=lambda s: (s.H not in (128, 512)) + (s.B not in (1, 32)))
    return [Size(kind, torch.float32, 1, 1, 128) for kind in kinds] + found


def speed(device: torch.device, tiny: bool, clock: Clock) -> Iterator[Line]:
    """A line for each size; then the ratios of each kind and dtype in short."""
    width = 2 * len(IMPLEMENTATIONS)
    names = " / ".join(one.name for one in IMPLEMENTATIONS)
    yield Line(f"{names}: forward ms (least), ratio; step ms (least), ratio; peak MiB of a step")
    for kind in ("RNN", "GRU", "LSTM"):
        module = IMPLEMENTATIONS[-1].make(kind, 4, 4).to(device)
        yield Line(bptt.why(module, torch.zeros(1, 1, 4, device=device)).splitlines()[0])
    ratios: dict[tuple[str, str], list[float]] = {}
    for size in clock.each(sizes(tiny)):
        try:
            forward, step, peaks = measured(size, device, tiny)
        except torch.OutOfMemoryError:
            torch.get_device_module(device).empty_cache()
            yield Line(f"{size} does not fit the device's memory", {"size": str(size), "fits": False})
            continue
        shown = [f"{_row(forward)}  |{_row(step)}  |", *(mebibytes(count) for count in peaks)]
        found = [of[n].median / of[0].median for of in (forward, step) for n in range(1, width // 2)]
        ratios.setdefault((size.kind, name_of(size.dtype)), []).extend(found)
        data = size._asdict() | {
            "dtype": name_of(size.dtype),
            "forward": {one.name: t for one, t in zip(IMPLEMENTATIONS, forward, strict=True)},
            "step": {one.name: t for one, t in zip(IMPLEMENTATIONS, step, strict=True)},
            "peak": {one.name: count for one, count in zip(IMPLEMENTATIONS, peaks, strict=True)},
        }
        yield Line(f"{size}{' '.join(shown)}", data)
    for (kind, dtype), found in ratios.items():
        slower = sum(ratio > MOST for ratio in found)
        text = f"{kind:<5}{dtype:<9} ratio: median {statistics.median(found):.2f}, largest {max(found):.2f}, "
        data = {"kind": kind, "dtype": dtype, "median": statistics.median(found), "largest": max(found)}
        yield Line(text + f"above {MOST} in {slower} of {len(found)}", data | {"above": slower})


def measured(size: Size, device: torch.device, tiny: bool) -> tuple[list[Times], list[Times], list[int | None]]:
    """Of each implementation: forward alone, a whole step, and the peak memory of a step."""
    kind, dtype, T, B, H = size
    x = torch.randn(T, B, H).to(device, dtype)
    modules: list[Any] = [one.make(kind, H, H).to(device, dtype) for one in IMPLEMENTATIONS]
    for module in modules[1:]:
        module.load_state_dict(modules[0].state_dict())
    seed = torch.randn(T, B, H).to(device, dtype)

    def forward(module: Any) -> Any:
        with torch.no_grad():
            return module(x)

    def step(module: Any) -> None:
        module.zero_grad()
        module(x)[0].backward(seed)

    forwards = alternating([lambda m=m: forward(m) for m in modules], device, tiny)
    steps = alternating([lambda m=m: step(m) for m in modules], device, tiny)
    return forwards, steps, [peak(lambda m=m: step(m), device) for m in modules]


def _row(times: list[Times]) -> str:
    """The times of all, and the ratios of all but the first."""
    ratios = "".join(f"{other.median / times[0].median:6.2f}" for other in times[1:])
    return "".join(f"{t}" for t in times) + ratios
