"""Registers and instructions of a step of every way to lay out the weights of the CUDA kernels; needs no GPU.

    python benchmarks/kernel_code.py                               for compute capability 8.0, 9.0 and 10.0
    python benchmarks/kernel_code.py --capability 9.0 --cell LSTM   a part of it

It compiles each at its largest size by NVRTC, and counts the instructions of the loop over time as nvdisasm prints
them; both come with `pip install bptt[dev]`.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from bptt.cuda.compiling import compiled
from bptt.cuda.plan import KernelPlan
from cuda_standin.machine_code import CAPABILITIES, COUNTED, largest_plans, step_loop


class Code(NamedTuple):
    """Of a variant: registers and instructions of a step, each forward and back."""

    registers: list[str]
    instructions: list[int]

    def __str__(self) -> str:
        return f"{', '.join(self.registers)}; {self.instructions[0]}, {self.instructions[1]}"


def code_of(plan: KernelPlan, capability: tuple[int, int]) -> Code:
    """Compile a variant."""
    with tempfile.TemporaryDirectory() as folder:
        code, cubin = compiled(plan, capability, Path(folder)), Path(folder) / "cubin"
        cubin.write_bytes(code.cubin)
        steps = [len(step_loop(cubin, kernel)) for kernel in (code.forward, code.backward)]
    return Code(re.findall(r"Used (\d+) registers", code.log), steps)


def main() -> None:
    """Print a table, a row for each variant."""
    names = {f"{major}.{minor}": (major, minor) for major, minor in CAPABILITIES}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability", nargs="+", choices=list(names), default=list(names))
    parser.add_argument("--cell", nargs="+", choices=list(COUNTED), default=list(COUNTED))
    parser.add_argument("--packed", action="store_true", help="the variants for packed sequences")
    options = parser.parse_args()
    rows: dict[tuple[str, KernelPlan], dict[str, Code]] = {}
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        begun = {
            (cell, plan, name): pool.submit(code_of, plan, names[name])
            for cell in options.cell
            for name in options.capability
            for plan in largest_plans(COUNTED[cell], names[name])
            if plan.packed == options.packed
        }
        for (cell, plan, name), code in begun.items():
            rows.setdefault((cell, plan), {})[name] = code.result()
    print(f"| cell | type | weights in | blocks of units | {' | '.join(options.capability)} |")
    print("|" + "---|" * (4 + len(options.capability)))
    for (cell, plan), found in rows.items():
        where = "shared memory" if plan.in_shared else "registers"
        where = where if plan.shared is None else f"L2, {where}"
        counts = " | ".join(str(found.get(name, "")) for name in options.capability)
        print(f"| {cell} | {plan.precision.name} | {where} | {plan.blocks} of {plan.units} | {counts} |")


if __name__ == "__main__":
    main()
