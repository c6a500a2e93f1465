"""The CUDA kernels' errors beside float64: every cell and precision in every layout, on a CPU; needs no GPU.

    python benchmarks/kernel_errors.py               a table of all cells
    python benchmarks/kernel_errors.py --cell LSTM   some

Each is the largest relative error of everything that a walk forward and back writes, over the layouts of
tests/cuda_standin/cases.py, dense and packed. It takes a C++ compiler, and a few minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from cuda_standin.cases import CELLS, every_case, largest_error, walk
from cuda_standin.standin import StandIn


def errors_of(cell: str) -> dict[str, float]:
    """The largest error of each precision."""
    cases, largest = [case for case in every_case() if case.cell == cell], {}
    with tempfile.TemporaryDirectory() as folder:
        standin = StandIn([case.plan for case in cases], Path(folder))
        for case in cases:
            name = case.plan.precision.name
            largest[name] = max(largest.get(name, 0.0), largest_error(walk(case, standin)))
    return largest


def main() -> None:
    """Print a table, a row for each cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", nargs="+", choices=list(CELLS), default=list(CELLS))
    options = parser.parse_args()
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for number, (cell, largest) in enumerate(
            zip(options.cell, pool.map(errors_of, options.cell), strict=True)
        ):
            if number == 0:
                print(f"| cell | {' | '.join(largest)} |\n|{'---|' * (1 + len(largest))}")
            print(f"| {cell} | {' | '.join(f'{error:.1e}' for error in largest.values())} |", flush=True)


if __name__ == "__main__":
    main()
