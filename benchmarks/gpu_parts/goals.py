"""What the CUDA kernels should reach on an H100: a line for each goal, with what was found beside its limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch

from .cases import name_of
from .measuring import Line, Times

HALF = torch.bfloat16


class Size(NamedTuple):
    """A layer of H inputs and units that is timed: a cell of `kernels.CELLS`, T steps, B rows."""

    cell: str
    dtype: torch.dtype
    T: int
    B: int
    H: int

    def __str__(self) -> str:
        return f"{self.cell:<9}{name_of(self.dtype):<9}T={self.T:<5}B={self.B:<5}H={self.H:<5}"


class Beside(NamedTuple):
    """The times of a layer by the kernels and by others, in milliseconds."""

    by_kernels: bool  # whether the planner picks them
    forward: Times
    step: Times
    without: Times  # a step by the next backend: cuDNN, or plain operations where it has no such cell
    contributions: Times
    torch_nn: Times | None  # a step

    def contributions_by_backward(self) -> float:
        """Contributions without their forward pass, relative to a backward pass."""
        return (self.contributions.median - self.forward.median) / (self.step.median - self.forward.median)


FORWARD = {  # the most microseconds of a step, without gradients
    Size("RNN", HALF, 1000, 32, 128): 0.3,
    Size("RNN", torch.float32, 1000, 32, 128): 0.6,
}
FASTER = {  # how many times faster than torch.nn, or plain operations where it has no such cell, at least
    Size("RNN", HALF, 1000, 32, 1024): 5,
    Size("GRU", HALF, 1000, 32, 512): 5,
    Size("LSTM", HALF, 1000, 32, 512): 3,
    Size("softplus", torch.float32, 1000, 32, 128): 30,
    Size("leaky", torch.float32, 1000, 32, 128): 30,
}
BACKWARDS = 1.3  # the most time of contributions by step, in backward passes
NEVER_SLOWER = [  # than the next backend, also where the planner's limits lie
    Size("GRU", HALF, 4, 32, 128),
    Size("RNN", HALF, 100, 8, 64),
    Size("RNN", torch.float32, 100, 32, 400),
    Size("LSTM", torch.float32, 100, 32, 256),
    Size("LSTM", torch.float32, 100, 32, 512),
    Size("LSTM", HALF, 100, 64, 768),
    Size("GRU", HALF, 100, 256, 512),
    Size("LSTM", HALF, 100, 1024, 64),
]


def goals(forward: Mapping[Size, float], beside: Mapping[Size, Beside], tiny: bool) -> Iterator[Line]:
    """The table, in the order of the goals; a goal that is missed has failed, but for tiny sizes.

    Args:
        forward: microseconds of a step.
        beside: as they were measured; what the time did not suffice for is missing.
    """
    yield Line(f"{'goal':<86}{'limit':<10}{'found':<9}")
    for size, most in FORWARD.items():
        yield _line(f"{size} forward, microseconds a step", "<=", most, forward.get(size), tiny)
    for size, least in FASTER.items():
        found = beside.get(size)
        ratio = found and (found.torch_nn or found.without).median / found.step.median
        other = "plain operations" if size.cell in ("softplus", "leaky") else f"nn.{size.cell}"
        yield _line(f"{size} a step, times as fast as {other}", ">=", least, ratio, tiny)
    taken = [beside[size] for size in FASTER if size in beside and beside[size].by_kernels]
    of_backward = [found.contributions_by_backward() for found in taken]
    text = "contributions by step, in backward passes, the most of these"
    yield _line(text, "<=", BACKWARDS, max(of_backward, default=None), tiny)
    for size in [*FASTER, *NEVER_SLOWER]:
        found = beside.get(size)
        if found is not None and not found.by_kernels:
            yield Line(f"{size} the planner leaves to another backend")
            continue
        ratio = found and found.without.median / found.step.median
        yield _line(f"{size} a step, times as fast as without the kernels", ">=", 1, ratio, tiny)


def _line(text: str, sign: str, limit: float, found: float | None, tiny: bool) -> Line:
    reached = found is not None and (found <= limit if sign == "<=" else found >= limit)
    answer = "-        not measured" if found is None else f"{found:<9.2f}{'reached' if reached else 'MISSED'}"
    data = {"goal": text, "limit": f"{sign} {limit:g}", "found": found, "reached": reached}
    return Line(f"{text:<86}{f'{sign} {limit:g}':<10}{answer}", data, not reached and not tiny)
