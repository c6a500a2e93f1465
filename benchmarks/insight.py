"""Time of bptt.contributions compared with the training step that it splits by time step.

    python benchmarks/insight.py [--steps 200] [--sizes 8,8,64 8,64,64 ...] [--threads 1] [--blocks 7]

Sizes are B,I,H; float32, a bare RNN, GRU or LSTM, square error summed. In one process, in alternating warm blocks;
minima over the blocks, medians in brackets, in milliseconds: of processor time with one thread, which does not
depend on the machine's other work; of wall-clock time with more.

    step       a training step: zero_grad, forward, loss, backward
    call       contributions(...), a forward and a backward pass; by_step is not read
    by_step    the same, and by_step of every parameter read: (T, *shape) each
    write      only writing that many numbers into new memory
    by_pair    contributions(..., pairs=True)

and each one's ratio to the training step. by_step minus write is the cost of the computation itself.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

import bptt
from bptt.speed import mean_time

CALLS = 5  # in a block, or as many as fit into SECONDS
SECONDS = 0.3


def tasks(kind: str, T: int, B: int, I: int, H: int) -> dict[str, Callable[[], object]]:
    """The timed functions by column."""
    model = getattr(bptt, kind)(I, H)
    x, d = torch.randn(T, B, I), torch.randn(T, B, H)

    def step() -> None:
        model.zero_grad()
        bptt.squared_error(model(x)[0], d).backward()

    def call() -> bptt.Contributions:
        return bptt.contributions(model, x, d, bptt.squared_error)

    def by_step() -> list[torch.Tensor]:
        return list(call().by_step.values())

    def write() -> list[torch.Tensor]:
        return [p.new_full((T, *p.shape), 1.0) for p in model.parameters()]

    def by_pair() -> object:
        return bptt.contributions(model, x, d, bptt.squared_error, pairs=True).by_pair

    return {f.__name__: f for f in (step, call, by_step, write, by_pair)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200, help="T")
    parser.add_argument("--sizes", nargs="+", default=["8,8,64", "8,64,64", "64,64,64", "64,64,128"], help="B,I,H")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--columns", nargs="+", default=["call", "by_step", "write", "by_pair"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.thread_time if options.threads == 1 else time.perf_counter
    print(f"torch {torch.__version__}, kernels {bptt.isa()}, T={options.steps}, {options.threads} threads")
    print(f"{'B,I,H':<12}{'cell':<6}{'step':>18}" + "".join(f"{name:>26}" for name in options.columns))
    for size in options.sizes:
        for kind in ("RNN", "GRU", "LSTM"):
            timed = tasks(kind, options.steps, *map(int, size.split(",")))
            times: dict[str, list[float]] = {name: [] for name in ("step", *options.columns)}
            for _ in range(options.blocks):
                for name, column in times.items():
                    column.append(1e3 * mean_time(timed[name], CALLS, SECONDS, clock))
            line = f"{size:<12}{kind:<6}"
            for name, column in times.items():
                least, median = min(column), statistics.median(column)
                line += f"{least:>9.2f}{f'({median:.2f})':>9}"
                line += "" if name == "step" else f"{least / min(times['step']):>7.2f}x"
            print(line, flush=True)


if __name__ == "__main__":
    main()
