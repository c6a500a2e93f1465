"""Registers and instructions of a step of every way to lay out the weights of the CUDA kernels; needs no GPU.

    python benchmarks/kernel_code.py                    for compute capability 8.0, 9.0 and 10.0
    python benchmarks/kernel_code.py --capability 9.0   for one of them

It compiles each at its largest size by NVRTC, and counts the instructions of the loop over time as nvdisasm prints
them; both come with `pip install bptt[dev]`.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from bptt.cuda.compiling import compiled
from cuda_standin.machine_code import CAPABILITIES, COUNTED, largest_plans, step_loop


def main() -> None:
    """Print a line for each."""
    names = {f"{major}.{minor}": (major, minor) for major, minor in CAPABILITIES}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability", nargs="+", choices=list(names), default=list(names))
    parser.add_argument("--cell", nargs="+", choices=list(COUNTED), default=list(COUNTED))
    options = parser.parse_args()
    print("capability, cell, type, units of a block, blocks: registers forward, back; instructions forward, back")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.capability:
            for cell in options.cell:
                for plan in largest_plans(COUNTED[cell], names[name]):
                    code = compiled(plan, names[name], Path(folder))
                    cubin = Path(folder) / "cubin"
                    cubin.write_bytes(code.cubin)
                    registers = ", ".join(re.findall(r"Used (\d+) registers", code.log))
                    steps = ", ".join(
                        str(len(step_loop(cubin, kernel))) for kernel in (code.forward, code.backward)
                    )
                    lies = (
                        f"{'shared memory' if plan.in_shared else 'registers'}{', packed' if plan.packed else ''}"
                    )
                    sizes = f"{plan.precision.name:<5}{plan.units:>4}{plan.blocks:>3}"
                    print(f"{name:<5}{cell:<11}{sizes}  {lies:<23}{registers:<10}{steps}", flush=True)


if __name__ == "__main__":
    main()
