"""Time and memory of a whole training step on long sequences: full BPTT, checkpointed, and torch.nn.

    python benchmarks/reach.py [--cell GRU] [--steps 1000 100000] [--batch 1] [--memory none 64MiB ...]

One line for each way: the median and minimum time of a training step (zero_grad, forward, backward; float32, a
read-out of one output, mean square error), and the peak of resident memory above what it was with the model and
the data in memory and one short warm step taken. Each way runs in a process of its own. What `bptt.plan` predicts
is beside it; its schedule is in the last columns.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import bptt


class TorchModel(nn.Module):
    """One of torch.nn's recurrent modules and a read-out."""

    def __init__(self, cell: str, I: int, H: int) -> None:
        super().__init__()
        self.recurrent, self.readout = getattr(nn, cell)(I, H), nn.Linear(H, 1)

    def forward(self, x: Tensor, state: object = None) -> tuple[Tensor, object]:
        h, state = self.recurrent(x, state)
        return self.readout(h), state


def resident() -> int:
    """Bytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak() -> int:
    """The most bytes it ever had, or since `reset_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def reset_peak() -> None:
    """Let the peak start anew from what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def training_step(
    way: str, model: nn.Module, x: Tensor, d: Tensor, memory: str
) -> tuple[Callable[[], object], bptt.Plan | None]:
    """zero_grad, forward and backward, and the schedule of a checkpointed one."""
    criterion = nn.MSELoss()
    if way != "checkpointed":

        def full() -> None:
            model.zero_grad()
            criterion(model(x)[0], d).backward()

        return full, None
    plan = bptt.plan(model, x, d, criterion, memory=None if memory == "none" else memory)

    def cut() -> None:
        model.zero_grad()
        bptt.checkpointed(model, x, d, criterion, memory=plan)

    return cut, plan


def measure(way: str, cell: str, T: int, B: int, I: int, H: int, memory: str, repeats: int) -> dict:
    """Times and peak of one way, in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, d = torch.randn(T, B, I), torch.randn(T, B, 1)
    if way == "torch.nn":
        model: nn.Module = TorchModel(cell, I, H)
    else:
        model = bptt.SequenceModel(getattr(bptt, cell)(I, H), 1)
    short = slice(0, min(T, 20))
    training_step("full", model, x[short], d[short], memory)[0]()
    step, plan = training_step(way, model, x, d, memory)
    before = resident()
    reset_peak()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    found = {"median": statistics.median(times), "least": min(times), "peak": peak() - before}
    return found | ({} if plan is None else vars(plan))


def measured_apart(*arguments: object) -> dict:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--one", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def row(name: str, found: dict, base: dict) -> str:
    """One line of the table."""
    line = (
        f"{name:<22}{found['median']:>10.4f} ({found['least']:>8.4f}){found['median'] / base['median']:>8.2f}"
        f"{found['peak'] / 2**20:>10.1f}{1 - found['peak'] / base['peak']:>8.1%}"
    )
    if "bytes" in found:
        line += (
            f"{found['bytes'] / 2**20:>10.1f}{found['segment']:>9}{found['segments']:>9}{found['replayed']:>10}"
        )
    return line


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", default="GRU", choices=["RNN", "GRU", "LSTM"])
    parser.add_argument("--steps", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--inputs", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--memory", nargs="+", default=["none", "64MiB"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*json.loads(options.one))))
        return
    B, I, H = options.batch, options.inputs, options.hidden
    print(f"torch {torch.__version__}, kernels {bptt.fused.isa()}, {options.cell}, B={B}, I={I}, H={H}, 1 thread")
    columns = f"{'s/step (min)':>21}{'/ full':>8}{'peak MiB':>10}{'less':>8}{'plan MiB':>10}"
    for T in options.steps:
        print(f"{f'T={T}':<22}{columns}{'segment':>9}{'segments':>9}{'replayed':>10}")
        size = (options.cell, T, B, I, H)
        full = measured_apart("full", *size, "none", options.repeats)
        print(row("full", full, full), flush=True)
        for memory in options.memory:
            cut = measured_apart("checkpointed", *size, memory, options.repeats)
            print(row(f"checkpointed {memory}", cut, full), flush=True)
        print(row("torch.nn", measured_apart("torch.nn", *size, "none", options.repeats), full), flush=True)


if __name__ == "__main__":
    main()
