"""Scaling of training over several processes: measured on one and two of them here, and a model up to 1,000.

    python benchmarks/scaling.py [--hidden 64 256 512] [--batch 16] [--k1 50] [--inputs 64] [--rounds 10]

Measured: an update of truncated BPTT as `bptt train` takes it (forward, backward, clipping, Adam, what workers
agree on), LSTM with a read-out of one output, k2 = k1, float32, one thread a process; by one process and by two
through gloo. B is the streams of each: as many as `--batch` (weak scaling) or half of them (strong). `step` is the
median of all updates, in brackets the least and largest median of a round; all take turns in each round. Its parts
are means over the half of the updates that lie around the median. `packing` is copying gradients before and after
a reduction; `reducing` the collectives, as the worker has them that came last; `waiting` the wait for that one;
`gain` streams by second beside one process with the whole batch; `model` what the model below says of the step,
the slower of two waited for.

Modelled: N workers of `--batch` streams, each with the compute of one process, packing as measured, and one
all-reduce; by a ring, 2 (N - 1) latencies and 2 (N - 1) / N of the bytes, or by a tree, 2 log2 N latencies and
twice the bytes. Every worker has a link of its own and nothing contends; no reduction overlaps a backward pass;
shares are equal and the input is at hand. `slowest` is the expected maximum of N of one process's steps beside
their median; the efficiencies are without it unless said.
"""

from __future__ import annotations

import argparse
import math
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from torch import Tensor

import bptt
from bptt.training.loop import Training
from bptt.training.options.forecast import SunspotOptions
from bptt.training.snapshot import Snapshots
from bptt.training.updates import Windows
from bptt.training.workers import Workers, workers

COUNTS = (1, 2, 4, 8, 16, 64, 256, 1000)
UPDATES, WARM = 12, 2  # of a block, and how many of them are to get warm
WINDOWS = 20  # of an epoch
CALLS = 12  # of a size in a round
MESSAGES = [4**power for power in range(1, 13)]  # bytes, to 16 MiB
PAYS = (0.8, 0.5)  # efficiencies
FASTER = 20  # times one core, what a GPU is taken for

ALL_REDUCE = dist.all_reduce


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


class Update(NamedTuple):
    """What an update took one worker, in seconds."""

    step: float
    average: float  # of the gradients, collective and packing
    collectives: list[tuple[bool, float, int]]  # all: whether to average, seconds, bytes


class Watched(Workers):
    """Workers that note what each update took."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        super().__init__(rank, size)
        self.updates: list[Update] = []
        self.begin()

    def begin(self) -> None:
        """An update begins."""
        self._began, self._average, self._averaging = time.perf_counter(), 0.0, False
        self._collectives: list[tuple[bool, float, int]] = []

    def end(self) -> None:
        """It is over, or the epoch where nothing was averaged, and the next begins."""
        if self._average > 0:
            self.updates.append(Update(time.perf_counter() - self._began, self._average, self._collectives))
        self.begin()

    def average(self, parameters: Iterable[Tensor], loss: float, numbers: float) -> tuple[float, float]:
        start, self._averaging = time.perf_counter(), True
        found = super().average(parameters, loss, numbers)
        self._average, self._averaging = time.perf_counter() - start, False
        return found

    def all_reduce(self, tensor: Tensor) -> None:
        """torch's own, noted."""
        start = time.perf_counter()
        ALL_REDUCE(tensor)
        took = time.perf_counter() - start
        self._collectives.append((self._averaging, took, tensor.numel() * tensor.element_size()))


class Trained:
    """A model that a team trains, some updates at a time.

    Args:
        team: of one or two.
        H, B: units, and streams of each worker.
        options: k1 and inputs.
    """

    def __init__(self, team: Watched, H: int, B: int, options: argparse.Namespace) -> None:
        torch.manual_seed(0)
        T, stretches = WINDOWS * options.k1, B * team.size
        x, d = torch.randn(T, stretches, options.inputs), torch.randn(T, stretches, 1)
        config = SunspotOptions(reach="truncated", k1=options.k1, batch=stretches, epochs=10**6)
        share = team.share(stretches)
        model = bptt.SequenceModel(bptt.LSTM(options.inputs, H), 1)
        updates = Windows(model, lambda _: (x[:, share], d[:, share]), config, lambda: None, workers=team)
        self.team, self.training = team, Training(model, updates, config, team)

    def block(self) -> None:
        """Take some updates, and note those that are not to get warm."""
        team, noted = self.team, len(self.team.updates)

        def enough() -> bool:
            return len(team.updates) >= noted + UPDATES

        def on_update() -> None:
            team.ask(snapshot_due)
            team.end()

        dist.all_reduce = team.all_reduce
        team.begin()
        self.training.run(should_stop=enough, on_update=on_update)
        dist.all_reduce = ALL_REDUCE
        team.updates[noted:] = team.updates[noted + WARM : noted + UPDATES]


def snapshot_due() -> bool:
    """What the first worker's clock would say."""
    return False


class Step(NamedTuple):
    """An update of one or two workers together, in seconds."""

    step: float
    compute: float
    packing: float
    reducing: float
    waiting: float


def together(updates: Sequence[Update]) -> Step:
    """The same update of all workers, as one."""
    collectives = list(zip(*(update.collectives for update in updates), strict=True))
    last = sum(min(seconds for _, seconds, _ in same) for same in collectives)
    each = statistics.mean(sum(seconds for _, seconds, _ in update.collectives) for update in updates)
    packing = statistics.mean(
        update.average - sum(seconds for averaging, seconds, _ in update.collectives if averaging)
        for update in updates
    )
    step = statistics.mean(update.step for update in updates)
    return Step(step, step - packing - each, packing, last, each - last)


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


def measured(team: Workers, H: int, options: argparse.Namespace) -> Size:
    """Measure one H; what the first worker returns is right."""
    B = options.batch
    ways = [
        Trained(Watched(rank, size), H, streams, options)
        for rank, size in ((0, 1), (team.rank, 2))
        for streams in (B, B // 2)
    ]
    for _ in range(options.rounds):
        for way in ways:
            dist.barrier()
            if way.team.rank == team.rank:  # the second worker sits out what is one's
                way.block()
    found = []
    for way in ways:
        updates = team.all(way.team.updates)[: way.team.size]
        steps = [together(same) for same in zip(*updates, strict=True)]
        calls = [len(update.collectives) for update in updates[0]]
        sizes = [sum(size for _, _, size in update.collectives) for update in updates[0]]
        found.append(Found(steps, statistics.median(calls), statistics.median(sizes)))
    return Size(*found, *taken(team, ways[2].training, 2 * 4 * H * B))


def taken(team: Workers, training: Training, carried: int) -> tuple[int, int, float]:
    """Take snapshots: their bytes, those that are each worker's own, and the median seconds."""
    with tempfile.TemporaryDirectory() as own:
        snapshots, seconds = Snapshots(Path(team.by_first(lambda: own)), team), []
        for _ in range(5):
            dist.barrier()
            start = time.perf_counter()
            snapshots.save(training.state_dict())
            seconds.append(time.perf_counter() - start)
        *_, last = sorted(snapshots.folder.iterdir())
        size = last.stat().st_size
        dist.barrier()
    return size, carried, statistics.median(seconds)


def messages(team: Workers, rounds: int) -> list[float]:
    """Median seconds of an all-reduce of each size after some milliseconds of other work, as in an update."""
    found: list[list[float]] = [[] for _ in MESSAGES]
    work = torch.randn(600, 600)
    for _ in range(rounds):
        for size, seconds in zip(MESSAGES, found, strict=True):
            for _ in range(CALLS):
                tensor = (work @ work).new_ones(size // 4)
                start = time.perf_counter()
                dist.all_reduce(tensor)
                seconds.append(time.perf_counter() - start)
    both = zip(*team.all(found), strict=True)
    return [statistics.median(map(min, *seconds)) for seconds in both]  # of the worker that came last


def bytes_text(size: float) -> str:
    """A size in words."""
    for unit, many in (("MB", 1e6), ("kB", 1e3)):
        if size >= many:
            return f"{size / many:.3g} {unit}"
    return f"{size:.0f} B"


def show_messages(seconds: list[float]) -> Network:
    """Print what messages took, and what a latency and a bandwidth say of it."""
    network = fitted(MESSAGES, seconds)
    modelled = [ring(2, size, network) for size in MESSAGES]
    errors = [model / took - 1 for model, took in zip(modelled, seconds, strict=True)]
    print(
        f"\nall-reduce of two: latency {1e6 * network.latency:.0f} us, {network.bandwidth / 1e9:.2f} GB/s", end=""
    )
    print(f" (off by {min(errors):+.0%} to {max(errors):+.0%}); us measured and modelled:")
    lines = [
        f"{bytes_text(size):>10}{1e6 * took:>8.0f}{1e6 * model:>8.0f}"
        for size, took, model in zip(MESSAGES, seconds, modelled, strict=True)
    ]
    for first in range(3):
        print("".join(lines[first::3]))
    return network


def show_measured(H: int, B: int, size: Size, network: Network) -> None:
    """Print the lines of one size."""
    for name, alone, found, of_whole in (
        (f"1 x {B}", None, size.one, 1.0),
        (f"1 x {B // 2}", None, size.one_half, 0.5),
        (f"2 x {B}", size.one, size.two, 2.0),
        (f"2 x {B // 2}", size.one_half, size.two_halves, 1.0),
    ):
        parts, rounds = found.parts, found.of_rounds
        line = f"H={H:<5}{name:<8}{1e3 * found.step:>8.2f} ({1e3 * min(rounds):>7.2f} -{1e3 * max(rounds):>7.2f})"
        line += f"{1e3 * parts.compute:>9.2f}"
        if alone is not None:
            line += "".join(f"{1e3 * part:>9.2f}" for part in (parts.packing, parts.reducing, parts.waiting))
            model = alone.slowest(2) + parts.packing + ring(2, found.bytes, network)
            line += f"{found.calls:>7.2f}{bytes_text(found.bytes):>9}{of_whole * size.one.step / found.step:>6.2f}"
            line += f"{1e3 * model:>8.2f}{model / found.step - 1:>+7.0%}"
        print(line)


def show_model(H: int, size: Size, network: Network) -> None:
    """Print the model's table of one size."""
    compute, packing = size.one.step, size.two.parts.packing
    print(f"H={H}: compute {1e3 * compute:.1f} ms, packing {1e3 * packing:.2f} ms, {bytes_text(size.two.bytes)}")
    for count in COUNTS:
        line = f"{count:>6}{size.one.slowest(count) / compute:>9.2f}"
        for chosen in (network, ETHERNET, FABRIC):
            for way in (ring, tree):
                reduction, part = way(count, size.two.bytes, chosen), size.efficiency(way, chosen, 1, False, count)
                line += f"{1e3 * reduction:>9.3g}{part:>6.2f}"
        print(line)


def show_most(H: int, size: Size, network: Network) -> None:
    """Print how many workers pay."""
    for wait in (False, True):
        line = f"H={H:<5}{'the slowest' if wait else 'all alike':<11}"
        for way, chosen, faster in (
            (ring, network, 1),
            (ring, ETHERNET, 1),
            (tree, ETHERNET, 1),
            (quicker, FABRIC, 1),
            (quicker, FABRIC, FASTER),
        ):
            most = (most_workers(least, partial(size.efficiency, way, chosen, faster, wait)) for least in PAYS)
            line += " /".join("  >1000" if count > COUNTS[-1] else f"{count:>7}" for count in most).rjust(18)
        print(line)


def show_snapshot(H: int, size: Size) -> None:
    """Print the size and time of a snapshot, here and of many workers."""
    of_many = size.snapshot + (COUNTS[-1] - 2) * size.own
    line = f"H={H:<5}{bytes_text(size.snapshot):>9}{1e3 * size.taken:>9.1f}"
    print(line + f"{bytes_text(of_many):>12}")


def show(seconds: list[float], sizes: dict[int, Size], options: argparse.Namespace) -> None:
    """Print all tables."""
    print(f"torch {torch.__version__}, kernels {bptt.isa()}, LSTM, I={options.inputs}, k1={options.k1}")
    network = show_messages(seconds)
    columns = "".join(f"{column:>9}" for column in ("compute", "packing", "reducing", "waiting"))
    print(f"\n{'ms':<7}{'N x B':<8}{'step (of rounds)':>27}{columns}  calls    bytes  gain   model  error")
    for H, size in sizes.items():
        show_measured(H, options.batch, size, network)
    print(f"\nmodel of N x {options.batch}: ms of a reduction by ring and by tree, and the efficiency")
    print(f"{'N':>6}  slowest" + "".join(f"{name:>30}" for name in ("measured", "10 GbE", "GPU fabric")))
    print(" " * 15 + f"{'ring':>9}{'eff.':>6}{'tree':>9}{'eff.':>6}" * 3)
    for H, size in sizes.items():
        show_model(H, size, network)
    print(f"\nmost workers at an efficiency of at least {' / '.join(map(str, PAYS))}, all alike or waiting for")
    columns = "measured, ring", "10 GbE, ring", "10 GbE, tree", "GPU fabric", f"and {FASTER} x faster"
    print(" " * 18 + "".join(f"{column:>18}" for column in columns))
    for H, size in sizes.items():
        show_most(H, size, network)
    print(f"\nsnapshot of two workers: bytes, ms; of {COUNTS[-1]:,}: bytes")
    for H, size in sizes.items():
        show_snapshot(H, size)


def measure(rank: int, port: int, options: argparse.Namespace) -> None:
    """What each of the two processes does; the first one prints."""
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    with workers() as team:
        seconds = messages(team, options.rounds)
        sizes = {H: measured(team, H, options) for H in options.hidden}
        team.disband()
    if rank == 0:
        show(seconds, sizes, options)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 256, 512])
    parser.add_argument("--batch", type=int, default=16, help="streams of a worker")
    parser.add_argument("--k1", type=int, default=50)
    parser.add_argument("--inputs", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes.spawn(measure, (port, options), 2)


if __name__ == "__main__":
    main()
