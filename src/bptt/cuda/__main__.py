"""Compiles variants of the CUDA kernels before they are needed, for machines with or without a GPU.

    python -m bptt.cuda 9.0                                     every cell and number of units, in all dtypes
    python -m bptt.cuda 9.0 --cell GRU LSTM --units 128 512     some of them

9.0 is a compute capability, as torch.cuda.get_device_capability() gives it. Copy the folder that is printed to the
same place on another machine, and no process there compiles a variant that lies in it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from itertools import product

from ..equations import ACTIVATIONS, ElmanEquations, Equations, GRUEquations, LSTMEquations
from .compiling import KernelError, architecture, cache_folder, compile_ahead
from .plan import DEVICES, LEAST_STEPS, PRECISIONS, ROWS, KernelPlan, plan

CELLS: dict[str, Equations] = {
    **{name: ElmanEquations(activation) for name, activation in ACTIVATIONS.items()},
    **{f"leaky-{name}": ElmanEquations(activation, leak=0.5) for name, activation in ACTIVATIONS.items()},
    "GRU": GRUEquations(),
    "LSTM": LSTMEquations(),
}
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in PRECISIONS}
MOST_UNITS = 1536  # of the largest layer that has kernels, an RNN in bfloat16


def variants(
    cells: Iterable[str], dtypes: Iterable[str], units: Iterable[int], capability: tuple[int, int]
) -> Iterator[KernelPlan]:
    """The variants that walk small batches, packed or not."""
    for cell, dtype, H, packed in product(cells, dtypes, units, (False, True)):
        found = plan(CELLS[cell], DTYPES[dtype], H, ROWS, LEAST_STEPS.value, packed, capability)
        if isinstance(found, KernelPlan):
            yield found


def _main(arguments: list[str] | None = None) -> int:
    """Compile what the command line asks for; returns the exit code."""
    capabilities = {f"{major}.{minor}": (major, minor) for major, minor in DEVICES}
    parser = argparse.ArgumentParser(
        "python -m bptt.cuda", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("capability", choices=list(capabilities), help="the GPU's compute capability")
    parser.add_argument("--cell", nargs="+", choices=list(CELLS), default=list(CELLS))
    parser.add_argument("--dtype", nargs="+", choices=list(DTYPES), default=list(DTYPES))
    parser.add_argument("--units", nargs="+", type=int, default=range(16, MOST_UNITS + 1, 16))
    options = parser.parse_args(arguments)
    capability, folder = capabilities[options.capability], cache_folder()
    plans = dict.fromkeys(variants(options.cell, options.dtype, options.units, capability))
    if not plans:
        parser.error(f"no kernels for compute capability {options.capability} have these cells, dtypes and units")
    if folder is None:
        parser.error("there is no home folder; set XDG_CACHE_HOME")
    try:
        for number, found in enumerate(compile_ahead(plans, capability, folder), 1):
            variant = found.kernel(False).replace("bptt_cuda::", "").removeprefix("forward")
            print(f"{number} of {len(plans)}: {variant}", flush=True)
    except KernelError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(plans)} variants for {architecture(capability)} are in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
