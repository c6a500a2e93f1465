"""RNNCell, GRUCell and LSTMCell compared with torch.nn's, a step at a time.

    python benchmarks/step_cells.py [--seconds 0.2] [--threads 1] [--kinds RNN GRU LSTM] [--sizes 8 32 128 512]

float32; torch's time divided by ours, minima of alternating blocks in one process, for B = 1, 8, 32 and 128:
without gradients, and of a step with its backward pass, gradients of the state and the weights.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

import bptt

BATCHES = (1, 8, 32, 128)


def first(state: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """h of a state."""
    return state if isinstance(state, Tensor) else state[0]


def least_times(calls: Sequence[Callable[[], object]], seconds: float) -> list[float]:
    """The least time of each call, in alternating blocks of about two milliseconds."""
    for call in calls:
        call()
    start = time.perf_counter()
    for call in calls:
        call()
    repeats = max(1, min(200, int(0.002 * len(calls) / (time.perf_counter() - start))))
    least, end = [float("inf")] * len(calls), time.perf_counter() + seconds
    while time.perf_counter() < end:
        for i, call in enumerate(calls):
            call()
            start = time.perf_counter()
            for _ in range(repeats):
                call()
            least[i] = min(least[i], (time.perf_counter() - start) / repeats)
    return least


def ratios(kind: str, B: int, I: int, H: int, seconds: float) -> str:
    """How many times faster than torch.nn's our cell is: without gradients, and with."""
    cells = [getattr(library, f"{kind}Cell")(I, H) for library in (nn, bptt)]
    x, d = torch.randn(B, I), torch.ones(B, H)
    h, c = torch.randn(B, H, requires_grad=True), torch.randn(B, H, requires_grad=True)
    hx = (h, c) if kind == "LSTM" else h
    with torch.no_grad():
        theirs, ours = least_times([lambda cell=cell: cell(x, hx) for cell in cells], seconds)
    steps = [lambda cell=cell: torch.autograd.backward(first(cell(x, hx)), d) for cell in cells]
    theirs_back, ours_back = least_times(steps, seconds)
    return f"{theirs / ours:5.2f} {theirs_back / ours_back:5.2f}"


def main() -> None:
    """Print a line for each kind and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", default=["RNN", "GRU", "LSTM"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[8, 32, 128, 512])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, kernels: {bptt.isa()}, threads: {arguments.threads}")
    print("        (I, H)      " + "  ".join(f"{f'B = {B}':>11}" for B in BATCHES))
    for kind in arguments.kinds:
        for I in arguments.sizes:
            for H in arguments.sizes:
                row = "  ".join(ratios(kind, B, I, H, arguments.seconds) for B in BATCHES)
                print(f"{kind:5}   {f'({I}, {H})':10}  {row}", flush=True)


if __name__ == "__main__":
    main()
