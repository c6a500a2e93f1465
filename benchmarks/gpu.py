"""Everything there is to measure on a GPU, in under eight minutes: correctness, the tests, speed and memory.

    python benchmarks/gpu.py                      on CUDA; every part, printed as it goes, and a JSON file
    python benchmarks/gpu.py --parts speed        some parts
    python benchmarks/gpu.py --dry-run            every part at tiny sizes on the CPU, by a stand-in for cuDNN
    python benchmarks/gpu.py --table              the operations of every kind of stack, counted; without a GPU too
    python benchmarks/gpu.py --prebuild 9.0       only compile the CUDA kernels it measures; without a GPU too

Each part has a time of its own, after which it is cut short and says so. Timings come from CUDA events after a
warm-up, in blocks that take turns; they are medians, least values in brackets.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from gpu_parts.calls import calls, table
from gpu_parts.correct import correct
from gpu_parts.kernels import compiled_ahead, kernels
from gpu_parts.machine import facts, machine
from gpu_parts.measuring import Clock, Line
from gpu_parts.reach import reach
from gpu_parts.speed import speed
from gpu_parts.suite import suite
from gpu_parts.training import training

from bptt.cuda.plan import DEVICES

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests"


class Part(NamedTuple):
    """A part of the script, with the most seconds it may take."""

    title: str
    seconds: float
    run: Callable[[torch.device, bool, Clock], Iterator[Line]]


PARTS = {
    "machine": Part("Card, versions and settings", 20, machine),
    "correct": Part("Correctness in every kind of stack: largest relative errors", 80, correct),
    "calls": Part("Operations of a walk and its backward pass", 30, calls),
    "suite": Part("The tests that run on a device", 80, suite),
    "speed": Part("Speed and memory beside torch.nn", 110, speed),
    "reach": Part("Contributions and checkpointed", 30, reach),
    "training": Part("Training on text", 50, training),
    # Last, as an illegal address in a kernel fails all that follows in the process.
    "kernels": Part("The CUDA kernels, which BPTT_CUDA=1 allows: beside their goals", 80, kernels),
}
OVERTIME = 60  # seconds after a part's own, when a kernel that hangs ends the script


def main() -> int:
    """Run the parts; returns the exit code, 1 where something failed."""
    options = parsed()
    if options.prebuild is not None:
        major, minor = options.prebuild.split(".")
        print(compiled_ahead((int(major), int(minor))).text)
        return 0
    dry = options.dry_run or (options.table and not torch.cuda.is_available())
    if not dry and not torch.cuda.is_available():
        print("torch sees no CUDA device here; --dry-run tries every part on the CPU", file=sys.stderr)
        return 2
    device, stand_in = dry_device() if dry else (torch.device("cuda", 0), nullcontext())
    with stand_in:
        if options.table:
            for line in table(device):
                print(line, flush=True)
            return 0
        path = options.out or free_path(facts(device)["card"])
        with path.open("x", encoding="utf-8") as file:  # never over another file
            return run_all(options.parts, device, dry, file)


def parsed() -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a new JSON file; default one in benchmarks/results")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes on the CPU, by a stand-in for cuDNN")
    parser.add_argument("--table", action="store_true", help="only the table of operations")
    capabilities = [f"{major}.{minor}" for major, minor in DEVICES]
    parser.add_argument("--prebuild", choices=capabilities, help="only compile the CUDA kernels")
    options = parser.parse_args()
    if options.out is not None and options.out.exists():
        parser.error(f"--out {options.out}: the file exists; name a new one")
    if options.out is not None and not options.out.parent.is_dir():
        parser.error(f"--out {options.out}: there is no folder {options.out.parent}")
    return options


def dry_device() -> tuple[torch.device, Any]:
    """The emulated device of the tests with their stand-in for cuDNN."""
    sys.path.append(str(TESTS))
    import emulated
    from standin_cudnn import cudnn_on_cpus

    return torch.device(emulated.NAME), cudnn_on_cpus(device_type=emulated.NAME)


def free_path(card: str) -> Path:
    """A file in benchmarks/results that is not there yet."""
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    stem = f"{re.sub('[^a-z0-9]+', '-', card.lower())}-torch-{torch.__version__.split('+')[0]}"
    numbers = (f"-{number}" if number > 1 else "" for number in range(1, 10**6))
    return next(path for number in numbers if not (path := folder / f"{stem}{number}.json").exists())


def run_all(names: list[str], device: torch.device, dry: bool, file: Any) -> int:
    """Run the parts in their order; what they found is in the file after each."""
    found: dict[str, Any] = {}
    began = time.monotonic()
    for name in (name for name in PARTS if name in names):
        found[name] = run(PARTS[name], device, dry)
        file.seek(0)
        file.truncate()
        json.dump(found, file, indent=1, default=str)
        file.flush()
    failed = [name for name, part in found.items() if part["failed"]]
    print(f"\n{time.monotonic() - began:.0f} s in all; {file.name}; ", end="")
    print(f"failed: {', '.join(failed)}" if failed else "nothing failed")
    return int(bool(failed))


def run(part: Part, device: torch.device, dry: bool) -> dict[str, Any]:
    """One part, printed as it goes."""
    print(f"\n== {part.title} (at most {part.seconds:.0f} s)", flush=True)
    began, clock = time.monotonic(), Clock(part.seconds)
    lines, failed = [], False
    faulthandler.dump_traceback_later(part.seconds + OVERTIME, exit=True, file=sys.__stderr__)
    try:
        for line in part.run(device, dry, clock):
            print(line.text, flush=True)
            failed = failed or line.failed
            if line.data:
                lines.append(line.data)
    except Exception:  # the other parts can still be measured
        failed = True
        lines.append({"error": traceback.format_exc()})
        print(traceback.format_exc(), flush=True)
    finally:
        faulthandler.cancel_dump_traceback_later()
    if clock.cut:
        print(f"CUT SHORT after {part.seconds:.0f} s: {clock.cut}", flush=True)
    seconds = round(time.monotonic() - began, 1)
    print(f"-- {seconds} s", flush=True)
    return {"seconds": seconds, "cut short": clock.cut, "failed": failed, "lines": lines}


if __name__ == "__main__":
    sys.exit(main())
