"""A model of training by many workers, from what one and two of them took.

N workers of `--batch` streams, each with the compute of one process, packing as measured, and one
all-reduce; by a ring, 2 (N - 1) latencies and 2 (N - 1) / N of the bytes, or by a tree, 2 log2 N latencies and
twice the bytes. Every worker has a link of its own and nothing contends; no reduction overlaps a backward pass;
shares are equal and the input is at hand. `slowest` is the expected maximum of N of one process's steps beside
their median; the efficiencies are without it unless said.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

COUNTS = (1, 2, 4, 8, 16, 64, 256, 1000)
UPDATES, WARM = 12, 2  # of a block, and how many of them are to get warm
MESSAGES = [4**power for power in range(1, 13)]  # bytes, to 16 MiB


class Network(NamedTuple):
    """A message takes latency + bytes / bandwidth."""

    latency: float  # seconds
    bandwidth: float  # bytes a second


ETHERNET, FABRIC = Network(50e-6, 1.25e9), Network(10e-6, 25e9)


def ring(count: int, size: float, network: Network) -> float:
    """Seconds of an all-reduce of so many bytes among so many workers, by a ring."""
    return 2 * (count - 1) * (network.latency + size / count / network.bandwidth)


def tree(count: int, size: float, network: Network) -> float:
    """The same by a tree, up and down again, all its levels at work at once."""
    if count == 1:
        return 0.0
    return 2 * math.ceil(math.log2(count)) * network.latency + 2 * size / network.bandwidth


Way = Callable[[int, float, Network], float]


def quicker(count: int, size: float, network: Network) -> float:
    """The same by whichever takes less."""
    return min(ring(count, size, network), tree(count, size, network))


def expected_maximum(times: Sequence[float], count: int) -> float:
    """The mean of the largest of so many draws from what was measured; it cannot be above the largest of that."""
    below = (np.arange(len(times) + 1) / len(times)) ** count
    return float(np.diff(below) @ np.sort(times))


def most_workers(least: float, efficiency: Callable[[int], float]) -> int:
    """The most workers, of up to 1,001, whose efficiency is not below the least; it falls with their number."""
    return max(count for count in range(1, COUNTS[-1] + 2) if count == 1 or efficiency(count) >= least)


def fitted(sizes: Sequence[float], seconds: Sequence[float]) -> Network:
    """The network whose ring of two comes closest to what was measured, each size by its relative error."""
    columns = np.stack([np.full(len(sizes), 2.0), np.asarray(sizes, float)], 1) / np.asarray(seconds)[:, None]
    latency, by_byte = np.linalg.lstsq(columns, np.ones(len(sizes)), rcond=None)[0]
    return Network(float(latency), 1 / float(by_byte))


class Step(NamedTuple):
    """An update of one or two workers together, in seconds."""

    step: float
    compute: float
    packing: float
    reducing: float
    waiting: float


class Found(NamedTuple):
    """What was measured of one size by one or two processes."""

    steps: list[Step]  # block after block
    calls: float  # collectives of an update, the median
    bytes: float  # in them

    @property
    def step(self) -> float:
        """The median."""
        return statistics.median(step.step for step in self.steps)

    def slowest(self, count: int) -> float:
        """What the slowest of so many would take."""
        return expected_maximum([step.step for step in self.steps], count)

    @property
    def parts(self) -> Step:
        """The mean over the middle half."""
        ordered = sorted(self.steps)
        middle = ordered[len(ordered) // 4 : -(len(ordered) // 4)]
        return Step(*(statistics.mean(part) for part in zip(*middle, strict=True)))

    @property
    def of_rounds(self) -> list[float]:
        """The median of each block."""
        length = UPDATES - WARM
        blocks = [self.steps[start : start + length] for start in range(0, len(self.steps), length)]
        return [statistics.median(step.step for step in block) for block in blocks]


class Size(NamedTuple):
    """What was measured of one H: by one process and by two, with the whole batch and with half of it."""

    one: Found
    one_half: Found
    two: Found
    two_halves: Found
    snapshot: int  # bytes, of two workers
    own: int  # bytes of each worker in it: the state carried on
    taken: float  # seconds

    def efficiency(self, way: Way, network: Network, faster: float, wait: bool, count: int) -> float:
        """The part of a step that a worker alone would need.

        Args:
            way, network: of the reduction.
            faster: times one core here, what a worker is.
            wait: whether for the slowest.
            count: of workers.
        """
        if count == 1:
            return 1.0
        compute = max(self.one.step, self.one.slowest(count) if wait else 0.0)
        reduction = faster * way(count, self.two.bytes, network)
        return self.one.step / (compute + self.two.parts.packing + reduction)
