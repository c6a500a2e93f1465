"""Truncated BPTT compared with a hand-written loop over windows in torch.nn.

    python benchmarks/windows.py [--cell GRU] [--windows 20 50 100] [--batch 1 8 32] [--inputs 64] [--hidden 256]

One thread, float32, a read-out of one output, mean square error; each window is zero_grad, forward and backward.
Microseconds of processor time for a window of k steps, medians of alternating blocks (minimum in brackets): the
hand-written loop over torch.nn, and `bptt.truncated` with k1 = k2 = k and with k1 = k, k2 = 3 k. `gain` is how
much faster bptt's module is than torch's on one such window by itself, in the same blocks. `wanted` is the time
of `truncated` relative to the hand-written loop divided by that gain: 1.00 or less means that `truncated` adds
nothing. `3 k` is the time of its windows with k2 = 3 k relative to those with k2 = k.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import bptt
from reach import TorchModel

CRITERION = nn.MSELoss()


def by_hand(model: nn.Module, x: Tensor, d: Tensor, k: int) -> None:
    """The usual hand-written loop."""
    state = None
    for start in range(0, len(x), k):
        model.zero_grad()
        y, state = model(x[start : start + k], state)
        CRITERION(y, d[start : start + k]).backward()
        state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()


def truncated(model: nn.Module, x: Tensor, d: Tensor, k: int, k2: int) -> None:
    """The same by `bptt.truncated`."""
    model.zero_grad()
    for _ in bptt.truncated(model, x, d, CRITERION, k1=k, k2=k2):
        model.zero_grad()


def one_window(model: nn.Module, x: Tensor, d: Tensor, state: object, times: int) -> None:
    """Training steps on one window, each from the same state."""
    for _ in range(times):
        model.zero_grad()
        CRITERION(model(x, state)[0], d).backward()


def alternating(ways: dict[str, Callable[[], object]], blocks: int) -> dict[str, list[float]]:
    """Seconds of processor time of each way, in turn."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for block in range(blocks + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            if block:  # the first warms up
                found[name].append(time.process_time() - start)
    return found


def line(options: argparse.Namespace, k: int, B: int) -> str:
    """Measure one size."""
    I, H, cell, count = options.inputs, options.hidden, options.cell, options.count
    x, d = torch.randn(count * k, B, I), torch.randn(count * k, B, 1)
    ours, theirs = bptt.SequenceModel(getattr(bptt, cell)(I, H), 1), TorchModel(cell, I, H)
    state = theirs(x[:k])[1]
    state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
    found = alternating(
        {
            "by hand": lambda: by_hand(theirs, x, d, k),
            "k": lambda: truncated(ours, x, d, k, k),
            "3 k": lambda: truncated(ours, x, d, k, 3 * k),
            "ours": lambda: one_window(ours, x[:k], d[:k], state, count),
            "theirs": lambda: one_window(theirs, x[:k], d[:k], state, count),
        },
        options.blocks,
    )
    middle = {name: statistics.median(times) for name, times in found.items()}
    gain = middle["theirs"] / middle["ours"]
    shown = "".join(
        f"{1e6 * middle[way] / count:>10.0f} ({1e6 * min(found[way]) / count:>8.0f})"
        for way in ("by hand", "k", "3 k")
    )
    against = middle["k"] / (middle["by hand"] / gain)
    return f"k={k:<4} B={B:<4}{shown}{gain:>7.2f}{against:>8.2f}{middle['3 k'] / middle['k']:>7.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", default="GRU", choices=["RNN", "GRU", "LSTM"])
    parser.add_argument("--windows", type=int, nargs="+", default=[20, 50, 100])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--inputs", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--count", type=int, default=12, help="windows in a sequence")
    parser.add_argument("--blocks", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, kernels {bptt.isa()}, {options.cell}, I={options.inputs}, ", end="")
    print(f"H={options.hidden}, 1 thread")
    print(
        f"{'us / window (min)':<13}{'by hand':>19}{'k2 = k':>21}{'k2 = 3 k':>21}{'gain':>7}{'wanted':>8}{'3 k':>7}"
    )
    for k in options.windows:
        for B in options.batch:
            print(line(options, k, B), flush=True)


if __name__ == "__main__":
    main()
