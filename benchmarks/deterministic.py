"""What `torch.use_deterministic_algorithms(True)` costs the fused CPU kernels.

    python benchmarks/deterministic.py [--seconds 3] [--threads 1] [--kinds RNN GRU LSTM]

float32; processor time with it divided by that without, minima of alternating calls in one process: of a training
step (x without gradient), and of a forward pass without gradients.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

import bptt
from bptt.speed import SIZES, Size, threads_for


def cost(call: Callable[[], object], seconds: float) -> float:
    """The least processor time of a deterministic call over that of another."""
    least, start = [float("inf")] * 2, time.perf_counter()
    while least[1] == float("inf") or time.perf_counter() - start < seconds:
        for deterministic in (False, True):
            torch.use_deterministic_algorithms(deterministic)
            call()
            before = time.process_time()
            call()
            least[deterministic] = min(least[deterministic], time.process_time() - before)
    return least[1] / least[0]


def calls(kind: str, size: Size) -> list[Callable[[], object]]:
    """A training step and a forward pass without gradients."""
    T, B, I, H = size
    module, x = getattr(bptt, kind)(I, H), torch.randn(T, B, I)

    def step() -> None:
        module.zero_grad()
        module(x)[0].sum().backward()

    return [step, torch.no_grad()(lambda: module(x))]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", default=["RNN", "GRU", "LSTM"])
    options = parser.parse_args()
    cost(calls("GRU", SIZES[0])[0], options.seconds)  # the first calls of a process are slower
    print(f"{'':<5}{'(T, B, I, H)':<22}{'training':>10}{'inference':>11}")
    for kind in options.kinds:
        for size in SIZES:
            torch.set_num_threads(threads_for(size, options.threads))
            training, inference = (cost(call, options.seconds) for call in calls(kind, size))
            print(f"{kind:<5}{size!s:<22}{training:>10.2f}{inference:>11.2f}", flush=True)


if __name__ == "__main__":
    main()
