"""Time and memory of a whole training step on long sequences: full BPTT, checkpointed, and torch.nn.

    python benchmarks/reach.py --batch 8 32 64 --memory 5%           T = 1000: what 95 % less memory costs
    python benchmarks/reach.py --steps 100000 --memory 40MB          T = 100,000
    python benchmarks/reach.py --steps 100000 1000000 10000000 --hidden 64 --inputs 1 --memory 16MB \\
        --ways checkpointed --disk --repeats 1                       time by step, from a memory map on disk

A step is zero_grad, forward and backward; float32, one thread, a read-out of one output, mean square error. Each
way runs in its own process; they take turns, one step at a time. One line for each:
the median and least wall time, its ratio to full and that of processor time (medians), its microseconds by step of
the sequence, the peak of resident memory above that with the model and the data in memory after one short
step, how much less than full's that is, and what `bptt.plan_checkpoints` predicts and schedules. A memory in
per cent is of full's measured peak.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import bptt
from bptt.reach.plan import Plan


class TorchModel(nn.Module):
    """A recurrent module of torch.nn and a linear read-out."""

    def __init__(self, cell: str, I: int, H: int, outputs: int = 1) -> None:
        super().__init__()
        self.recurrent, self.readout = getattr(nn, cell)(I, H), nn.Linear(H, outputs)

    def forward(self, x: Tensor, state: object = None) -> tuple[Tensor, object]:
        h, state = self.recurrent(x, state)
        return self.readout(h), state


def resident() -> int:
    """Bytes of this process in memory, after the allocator has returned its free pages."""
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak() -> int:
    """Peak bytes of this process in memory, since `reset_peak` if that was called."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def reset_peak() -> None:
    """Reset the peak to the current resident memory."""
    Path("/proc/self/clear_refs").write_text("5")


def on_disk(folder: str, name: str, T: int, B: int, columns: int) -> np.ndarray:
    """Normal numbers (T, B, columns) in a file, mapped into memory and read once."""
    path, rng = Path(folder) / f"{name}.npy", np.random.default_rng(columns)
    if not path.exists():
        file = np.lib.format.open_memmap(path, "w+", np.float32, (T, B, columns))
        for start in range(0, T, 100_000):
            rows = file[start : start + 100_000]
            rows[:] = rng.standard_normal(rows.shape, np.float32)
        file.flush()
    array = np.load(path, mmap_mode="r")
    array.max()  # its pages are resident from here on, as a tensor's would be
    return array


def in_memory(t: Any) -> Tensor:
    """A tensor itself; a copy of an array on disk."""
    return t if isinstance(t, Tensor) else torch.from_numpy(np.array(t))


def serve(way: str, cell: str, T: int, B: int, I: int, H: int, folder: str | None, memory: Any) -> None:
    """Take a step for each line read from stdin.

    Way "plan" prints the plan for a memory instead, in its own process so that the heap of the timed one stays
    compact; way "checkpointed" takes that plan as its memory.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if folder is None:
        x, d = torch.randn(T, B, I), torch.randn(T, B, 1)
    else:
        x, d = on_disk(folder, "x", T, B, I), on_disk(folder, "d", T, B, 1)
    criterion = nn.MSELoss()
    if way == "torch.nn":
        model: nn.Module = TorchModel(cell, I, H)
    else:
        model = bptt.SequenceModel(getattr(bptt, cell)(I, H), 1)

    def full(x: Any, d: Any) -> None:
        model.zero_grad()
        criterion(model(in_memory(x))[0], in_memory(d)).backward()

    def checkpointed(x: Any, d: Any) -> None:
        model.zero_grad()
        bptt.checkpointed(model, x, d, criterion, memory=Plan(**memory))

    if way == "plan":
        try:
            print(json.dumps(vars(bptt.plan_checkpoints(model, x, d, criterion, memory=memory))))
        except ValueError as error:
            print(json.dumps({"error": str(error)}))
        return
    step = checkpointed if way == "checkpointed" else full
    full(x[:20], d[:20])
    bptt.checkpointed(model, x[:20], d[:20], criterion, segment=10)
    before = resident()
    reset_peak()
    for _ in sys.stdin:
        wall, used = time.perf_counter(), time.process_time()
        step(x, d)
        wall, used = time.perf_counter() - wall, time.process_time() - used
        print(json.dumps({"wall": wall, "used": used, "peak": peak() - before}), flush=True)


def started(way: str, size: tuple, memory: Any) -> Any:
    """A process that runs `serve`."""
    command = [sys.executable, __file__, "--serve", json.dumps((way, *size, memory))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


class Way:
    """A process that takes training steps in one way, one at a time."""

    def __init__(self, name: str, way: str, size: tuple, memory: str | int | None = None) -> None:
        self.name, self.steps = name, []
        self.plan: dict[str, Any] = {}
        if way == "checkpointed":
            self.process = started("plan", size, memory)
            self.plan = json.loads(self.process.communicate()[0])
        if "error" not in self.plan:
            self.process = started(way, size, self.plan)

    def step(self) -> None:
        print(file=self.process.stdin, flush=True)
        self.steps.append(json.loads(self.process.stdout.readline()))

    def end(self) -> None:
        self.process.communicate()

    def median(self, what: str) -> float:
        return statistics.median(step[what] for step in self.steps)

    def peak(self) -> int:
        return max(step["peak"] for step in self.steps)

    def row(self, T: int, full: Way | None) -> str:
        """One line of the table."""
        if "error" in self.plan:
            return f"{self.name:<20} {self.plan['error'].split(': ')[-1]}"
        wall = self.median("wall")
        line = f"{self.name:<20}{wall:>10.4f} ({min(step['wall'] for step in self.steps):>8.4f})"
        if full is not None:
            line += f"{wall / full.median('wall'):>7.2f}{self.median('used') / full.median('used'):>7.2f}"
        line += f"{1e6 * self.median('used') / T:>9.2f}{self.peak() / 2**20:>10.1f}"
        if full is not None:
            line += f"{1 - self.peak() / full.peak():>8.1%}"
        if self.plan:
            line += f"{self.plan['bytes'] / 2**20:>10.1f}"
            line += "".join(f"{self.plan[what]:>9}" for what in ("segment", "segments", "replayed"))
        return line


def table(options: argparse.Namespace, T: int, B: int, folder: str | None) -> None:
    """Measure one size and print its lines."""
    I, H = options.inputs, options.hidden
    size = (options.cell, T, B, I, H, folder)
    ways, full = [], None
    if "full" in options.ways:
        full = Way("full", "full", size)
        full.step()  # warm, and the base of a memory in per cent
        full.steps[0]["wall"] = float("inf")
        ways.append(full)
    if "checkpointed" in options.ways:
        for memory in options.memory:
            budget: Any = None if memory == "none" else memory
            if memory.endswith("%"):
                if full is None:
                    raise SystemExit("a memory in per cent needs full among --ways")
                budget = int(float(memory[:-1]) / 100 * full.peak())
            ways.append(Way(f"checkpointed {memory}", "checkpointed", size, budget))
    if "torch.nn" in options.ways:
        ways.append(Way("torch.nn", "torch.nn", size))
    for turn in range(options.repeats):
        for way in ways:
            if "error" not in way.plan and (way.name != "torch.nn" or turn < options.torch_repeats):
                way.step()
    if full is not None:
        full.steps[0] = full.steps[1] | {"peak": full.steps[0]["peak"]}
    ratios = f"{'/ full':>7}{'cpu':>7}" if full is not None else ""
    less = f"{'less':>8}" if full is not None else ""
    print(
        f"{f'T={T} B={B}':<20}{'s/step (min)':>21}{ratios}{'us/t':>9}{'peak MiB':>10}{less}{'plan MiB':>10}",
        end="",
    )
    print("".join(f"{what:>9}" for what in ("segment", "segments", "replayed")))
    for way in ways:
        way.end()
        print(way.row(T, full), flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", default="GRU", choices=["RNN", "GRU", "LSTM"])
    parser.add_argument("--steps", type=int, nargs="+", default=[1000])
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--inputs", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--memory", nargs="+", default=["none", "5%"])
    ways = ["full", "checkpointed", "torch.nn"]
    parser.add_argument("--ways", nargs="+", default=ways, choices=ways)
    parser.add_argument("--disk", action="store_true", help="x and d from memory maps in a temporary folder")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--torch-repeats", type=int, default=1, help="rounds that torch.nn takes part in")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(*json.loads(options.serve))
        return
    print(f"torch {torch.__version__}, kernels {bptt.isa()}, {options.cell}, ", end="")
    print(f"I={options.inputs}, H={options.hidden}, 1 thread", flush=True)
    for B in options.batch:
        for T in options.steps:
            with tempfile.TemporaryDirectory() as folder:
                table(options, T, B, folder if options.disk else None)


if __name__ == "__main__":
    main()
