"""Scaling of training over several processes: measured on one and two of them here, and a model up to 1,000.

    python benchmarks/scaling.py [--hidden 64 256 512] [--batch 16] [--k1 50] [--inputs 64] [--rounds 10]

Measured: an update of truncated BPTT as `bptt train` takes it (forward, backward, clipping, Adam, what workers
agree on), LSTM with a read-out of one output, k2 = k1, float32, one thread a process; by one process and by two
through gloo. B is the streams of each: as many as `--batch` (weak scaling) or half of them (strong). `step` is the
median of all updates, in brackets the least and largest median of a round; all take turns in each round. Its parts
are means over the half of the updates that lie around the median. `packing` is copying gradients before and after
a reduction; `reducing` the collectives, as the worker has them that came last; `waiting` the wait for that one;
`gain` streams by second beside one process with the whole batch; `model` what the model says of the step, the
slower of two waited for.

Modelled: N workers, as scaling_model.py says.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from scaling_model import MESSAGES, UPDATES, WARM, Found, Size, Step
from scaling_tables import show
from torch import Tensor

import bptt
from bptt.training.loop import Training
from bptt.training.options.forecast import SunspotOptions
from bptt.training.snapshot import Snapshots
from bptt.training.updates import Windows
from bptt.training.workers import Workers, workers

WINDOWS = 20  # of an epoch
CALLS = 12  # of a size in a round

ALL_REDUCE = dist.all_reduce


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
