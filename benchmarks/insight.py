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
from collections.abc import Callable

import torch
from blocks import timed_line

import bptt

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
    print(f"torch {torch.__version__}, kernels {bptt.isa()}, T={options.steps}, {options.threads} threads")
    print(f"{'B,I,H':<12}{'cell':<6}{'step':>18}" + "".join(f"{name:>26}" for name in options.columns))
    for size in options.sizes:
        for kind in ("RNN", "GRU", "LSTM"):
            timed = tasks(kind, options.steps, *map(int, size.split(",")))
            chosen = {name: timed[name] for name in ("step", *options.columns)}
            title = f"{size:<12}{kind:<6}"
            print(timed_line(title, chosen, options.blocks, CALLS, SECONDS, options.threads), flush=True)


if __name__ == "__main__":
    main()
