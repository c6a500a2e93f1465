"""A whole training step of each module beside torch.nn's, and the share of sgemm it reaches.

    python benchmarks/speed.py [RNN|GRU|LSTM] [--inference]

For each size: torch and bptt in ms (median of alternating warm blocks, the minimum in brackets), the ratio
torch / bptt of the medians, bptt's GF/s, and its share of a 2048×2048 sgemm measured in the same loop. One
training step is zero_grad, forward and backward, float32, x without grad. Threads: 2, and 1 where the batch is 1.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

import bptt

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
SIZES = [
    (100, 1, 8, 32),
    (1000, 1, 8, 32),
    (100, 32, 8, 32),
    (100, 32, 64, 128),
    (1000, 32, 64, 128),
    (100, 64, 128, 256),
    (100, 64, 512, 512),
    (35, 20, 650, 650),
]


def training_step(module: torch.nn.Module, x: torch.Tensor) -> Callable[[], object]:
    """zero_grad, forward, backward."""

    def step() -> None:
        module.zero_grad()
        module(x)[0].sum().backward()

    return step


def inference(module: torch.nn.Module, x: torch.Tensor) -> Callable[[], object]:
    """Forward without gradients."""

    def step() -> None:
        with torch.no_grad():
            module(x)

    return step


def block(step: Callable[[], object], seconds: float) -> float:
    """Mean time of a call, over about a dozen calls or `seconds`, after one warm call."""
    step()
    calls, start = 0, time.perf_counter()
    while calls < 12 and (calls == 0 or time.perf_counter() - start < seconds):
        step()
        calls += 1
    return (time.perf_counter() - start) / calls


def measure(kind: str, size: tuple[int, int, int, int], blocks: int, infer: bool) -> str:
    """One line of the table."""
    T, B, I, H = size
    torch.set_num_threads(1 if B == 1 else 2)
    x = torch.randn(T, B, I)
    theirs, ours = getattr(torch.nn, kind)(I, H), getattr(bptt, kind)(I, H)
    ours.load_state_dict(theirs.state_dict())
    work = inference if infer else training_step
    steps = [work(theirs, x), work(ours, x)]
    square = torch.randn(2048, 2048)
    times: list[list[float]] = [[], [], []]
    for _ in range(blocks):
        for column, step in zip(times, [*steps, lambda: square @ square], strict=True):
            column.append(block(step, 1.0))
    torch_ms, ours_ms, sgemm_ms = (1e3 * statistics.median(column) for column in times)
    products = H + I if infer else 3 * H + 2 * I  # forward; back into states and weights, not into x
    flop = 2 * T * B * GATES[kind] * H * products
    rate, ceiling = flop / ours_ms / 1e6, 2 * 2048**3 / sgemm_ms / 1e6
    least = [1e3 * min(column) for column in times[:2]]
    return (
        f"{kind:<5}{size!s:<22}{torch_ms:>10.3f} ({least[0]:>8.3f}){ours_ms:>10.3f} ({least[1]:>8.3f})"
        f"{torch_ms / ours_ms:>8.2f}{rate:>8.1f}{rate / ceiling:>7.0%}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=list(GATES), metavar="RNN|GRU|LSTM")
    parser.add_argument("--inference", action="store_true", help="forward alone, without gradients")
    parser.add_argument("--blocks", type=int, default=5, help="alternating blocks of each (default 5)")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, kernels {bptt.fused.isa()}")
    columns = f"{'torch ms (min)':>21}{'bptt ms (min)':>21}{'ratio':>8}{'GF/s':>8}{'sgemm':>7}"
    print(f"{'':<5}{'(T, B, I, H)':<22}{columns}")
    for kind in options.kinds:
        for size in SIZES:
            print(measure(kind, size, options.blocks, options.inference), flush=True)


if __name__ == "__main__":
    main()
