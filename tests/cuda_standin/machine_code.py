"""The machine code of the CUDA kernels, as NVIDIA's disassembler prints it."""

import re
import subprocess
from importlib.metadata import PackageNotFoundError, files
from itertools import product
from pathlib import Path

import torch

from bptt.cuda.plan import KernelPlan, plan
from bptt.equations import ACTIVATIONS, ElmanEquations, Equations, GRUEquations, LSTMEquations

CAPABILITIES = [(8, 0), (9, 0), (10, 0)]
COUNTED: dict[str, Equations] = {
    "leaky gelu": ElmanEquations(ACTIVATIONS["gelu"], leak=0.5),
    "tanh": ElmanEquations(),
    "GRU": GRUEquations(),
    "LSTM": LSTMEquations(),
}


def largest_plans(cell: Equations, capability: tuple[int, int]) -> list[KernelPlan]:
    """Of each way to lay out the weights, the plan with the most units, which takes the most registers."""
    largest = {}
    for dtype, packed, H in product((torch.bfloat16, torch.float32), (False, True), range(16, 1537, 16)):
        found = plan(cell, dtype, H, 8, 100, packed, capability)
        if isinstance(found, KernelPlan):
            largest[found.precision, packed, found.blocks, found.in_shared, found.shared] = found
    return list(largest.values())


def disassembler() -> Path | None:
    """The program nvdisasm, of the package nvidia-cuda-nvdisasm; None where that is not installed."""
    try:
        found = files("nvidia-cuda-nvdisasm") or []
    except PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in found if file.name == "nvdisasm"), None)


def step_loop(cubin: Path, kernel: str) -> list[str]:
    """The instructions of a kernel's loop over time: the largest loop with a matrix product in it."""
    program = disassembler()
    assert program is not None
    printed = subprocess.run([program, "-c", cubin], check=True, capture_output=True, text=True).stdout
    lines = printed.split(f".text.{kernel}:\n")[1].split("\n.text.")[0].splitlines()
    labels = {line[:-1]: at for at, line in enumerate(lines) if re.fullmatch(r"\.L_x_\d+:", line)}
    code = [re.search(r"/\*[0-9a-f]{4,}\*/ +(.*?) ;", line) for line in lines]
    loops = []
    for at, found in enumerate(code):
        target = found and re.search(r"\bBRA.*`\((\.L_x_\d+)\)", found[1])
        if target and labels[target[1]] < at:
            loops.append([one[1] for one in code[labels[target[1]] : at + 1] if one])
    return max((loop for loop in loops if any("MMA" in line for line in loop)), key=len)
