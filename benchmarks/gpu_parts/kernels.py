"""The CUDA kernels: the same bits every time, float64's numbers, speed beside cuDNN and torch.nn, and races.

`BPTT_CUDA=1` is set within it. Without a GPU the kernels run on a CPU at a tiny size, as in the tests.
"""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

import bptt
from bptt.cuda.compiling import architecture, cache_folder, compile_ahead
from bptt.cuda.plan import PRECISIONS, KernelPlan, cell_type, plan
from bptt.equations import ElmanEquations
from bptt.equations.protocol import Weights
from bptt.walks import cuda, door
from bptt.walks.call import Call
from bptt.walks.cuda_calls import launch_forward
from bptt.walks.cuda_variants import Variant, Variants

from .goals import FASTER, FORWARD, HALF, NEVER_SLOWER, Beside, Size, goals
from .measuring import Clock, Line, alternating, finish, is_gpu

REPEATS = 100
ALLOWED = {HALF: 3e-2, torch.float32: 1e-5}  # of a tensor's norm, beside float64
CELLS: dict[str, Callable[..., nn.Module]] = {
    "RNN": bptt.RNN,
    "softplus": lambda I, H: bptt.RNN(I, H, nonlinearity="softplus"),
    "leaky": lambda I, H: bptt.RNN(I, H, leak=0.5),
    "GRU": bptt.GRU,
    "LSTM": bptt.LSTM,
}
TIMED = [*FASTER, *NEVER_SLOWER]
EXACT = [
    Size(cell, dtype, 200, 37, 512 if cell == "RNN" and dtype == torch.float32 else 200)  # fewer are left to cuDNN
    for cell in CELLS
    for dtype in ALLOWED
]
CLUSTER_STEPS = 4000
TANH = cell_type(ElmanEquations())
assert TANH is not None
CLUSTERS = [
    KernelPlan(TANH, PRECISIONS[HALF][0], 16, blocks, packed=False, in_shared=False) for blocks in (1, 2, 4, 8, 16)
]
RACE = """
import torch, bptt
module = bptt.GRU(4, 16, device="cuda", dtype=torch.bfloat16)
x = torch.randn(8, 9, 4, device="cuda", dtype=torch.bfloat16)
assert bptt.why(module, x).startswith("CUDA kernels"), bptt.why(module, x)
module(x)[0].float().sum().backward()
torch.cuda.synchronize()
"""


def kernels(device: torch.device, tiny: bool, clock: Clock) -> Iterator[Line]:
    """The lines of each question in turn."""
    with backend_on(device) as (backend, device):
        if is_gpu(device):
            yield compiled_ahead(torch.cuda.get_device_capability(device))
        yield from exact(device, tiny, clock)
        forward, found = {}, {}
        yield from forward_steps(backend, device, tiny, clock, forward)
        yield from beside(device, tiny, clock, found)
        yield from goals(forward, found, tiny)
        yield from cluster_steps(backend, device, tiny, clock)
        yield race(device, clock)


def compiled_ahead(capability: tuple[int, int]) -> Line:
    """Compile every variant that is measured here, where none lies in the folder yet."""
    folder, began = cache_folder(), time.monotonic()
    if folder is None:
        return Line("there is no home folder to keep compiled kernels in")
    chosen = [
        plan(CELLS[name](1, H).cell, dtype, H, B, T, False, capability)
        for name, dtype, T, B, H in [*EXACT, *TIMED]
    ]
    chosen += [forced(size, capability) for size in FORWARD]
    plans = dict.fromkeys(found for found in [*chosen, *CLUSTERS] if isinstance(found, KernelPlan))
    for _ in compile_ahead(plans, capability, folder):
        pass
    seconds = time.monotonic() - began
    return Line(f"{len(plans)} variants for {architecture(capability)} are in {folder}, after {seconds:.0f} s")


@contextmanager
def backend_on(device: torch.device) -> Iterator[tuple[cuda.CudaKernels, torch.device]]:
    """The backend, in use within it, and the device that it runs on: the CPU where there is no GPU."""
    if is_gpu(device):
        with patch.dict(os.environ, BPTT_CUDA="1"):
            yield cuda.CUDA_KERNELS, device
        return
    from cuda_standin.launcher import StandInLauncher

    with tempfile.TemporaryDirectory() as folder:
        backend = cuda.CudaKernels(Variants(StandInLauncher(Path(folder))))
        with patch.object(door, "BACKENDS", (backend, *door.BACKENDS)):
            yield backend, torch.device("cpu")


def exact(device: torch.device, tiny: bool, clock: Clock) -> Iterator[Line]:
    """Walks of fresh inputs into memory full of NaN: the errors beside float64, and whether repeats are equal."""
    for cell, dtype, T, B, H in clock.each([Size("GRU", HALF, 5, 3, 8)] if tiny else EXACT):
        torch.manual_seed(0)
        module = CELLS[cell](7, H).to(device, dtype)
        x = torch.randn(T, B, 7).to(device, dtype)
        answer = bptt.why(module, x).splitlines()[0]
        if not answer.startswith("CUDA kernels"):
            yield Line(f"{cell} {dtype}: not by the kernels; {answer}", {"cell": cell, "answer": answer})
            continue
        found = gradients(module, x)
        double = gradients(copy.deepcopy(module).double().cpu(), x.double().cpu())
        error = max(
            float((one.cpu().double() - other).norm() / other.norm())
            for one, other in zip(found, double, strict=True)
        )
        same = True
        for _ in range(3 if tiny else REPEATS):
            poison(device)
            same = same and all(map(torch.equal, gradients(module, x), found))
        text = f"{cell:<9}{dtype!s:<16}largest relative error {error:.1e}, repeats {'equal' if same else 'DIFFER'}"
        failed = not (same and error < ALLOWED[dtype])
        yield Line(text, {"cell": cell, "dtype": str(dtype), "error": error, "same": same}, failed)


def gradients(module: nn.Module, x: Tensor) -> list[Tensor]:
    """The outputs of a module, and the gradients of its parameters."""
    module.zero_grad()
    y, _ = module(x)
    y.backward(torch.ones_like(y))
    return [y.detach(), *(p.grad.clone() for p in module.parameters() if p.grad is not None)]


def poison(device: torch.device) -> None:
    """Leave NaN in the memory that the next tensors get."""
    filled = [torch.full((2**size,), torch.nan, device=device) for size in range(6, 22)]
    finish(device)
    del filled


def race(device: torch.device, clock: Clock) -> Line:
    """One small walk and its backward pass under NVIDIA's race checker."""
    program = shutil.which("compute-sanitizer")
    if not is_gpu(device) or program is None:
        return Line("races: not looked for, as compute-sanitizer or a GPU is missing", {"races": None})
    command = [program, "--tool", "racecheck", "--error-exitcode", "9", sys.executable, "-c", RACE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(1.0, clock.left()), check=False)
    except subprocess.TimeoutExpired:
        clock.cut = "the search for races"
        return Line("races: the time did not suffice", {"races": None})
    text = "none found" if done.returncode == 0 else f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return Line(f"races: {text}", {"races": done.returncode}, done.returncode != 0)


def forced(size: Size, capability: tuple[int, int]) -> KernelPlan:
    """The variant of a size, also where sequences of one length are left to cuDNN."""
    found = plan(CELLS[size.cell](1, size.H).cell, size.dtype, size.H, size.B, size.T, True, capability)
    assert isinstance(found, KernelPlan), found
    return replace(found, packed=False)


def forward_steps(
    backend: cuda.CudaKernels, device: torch.device, tiny: bool, clock: Clock, found: dict[Size, float]
) -> Iterator[Line]:
    """Microseconds of a step forward, of the launch and its product with W_ih; adds them to what was found."""
    launcher = backend.variants.launcher
    for size in clock.each([] if tiny else FORWARD):
        chosen = forced(size, launcher.capability(device))
        found[size] = step_time(backend, chosen, size, device, tiny)
        yield Line(f"{size} a step forward {found[size]:.3f} µs", {str(size): found[size]})


def step_time(
    backend: cuda.CudaKernels, chosen: KernelPlan, size: Size, device: torch.device, tiny: bool
) -> float:
    """Microseconds of a step of a walk by a variant."""
    launcher = backend.variants.launcher
    launcher.load(chosen, device)
    (_, dtype, T, B, H) = size
    x, W_ih, W_hh = (torch.randn(*shape).to(device, dtype) for shape in ((T, B, 1), (H, 1), (H, H)))
    state = (torch.zeros(B, H, device=device, dtype=dtype),)
    call = Call(ElmanEquations(), x, state, Weights(W_ih, W_hh / H**0.5, None, None))
    (taken,) = alternating([lambda: launch_forward(Variant(launcher, chosen), call, False)], device, tiny)
    return 1e3 * taken.median / T


def timed(tiny: bool) -> list[tuple[Size, Size]]:
    """Each size of the goals, and the one that is measured for it."""
    if not tiny:
        return [(size, size) for size in TIMED]
    return [(size, size._replace(T=5, B=3, H=8)) for size in TIMED if size.cell == "GRU"][:1]


def beside(device: torch.device, tiny: bool, clock: Clock, found: dict[Size, Beside]) -> Iterator[Line]:
    """A training step by the kernels, by the next backend, and by torch.nn where it has the cell.

    Adds the times of each size to what was found.
    """
    yield Line(
        "ms (least): forward; a training step by the kernels, without them; contributions; a step of torch.nn"
    )
    for size, measured in clock.each(timed(tiny)):
        cell, dtype, T, B, H = measured
        module = CELLS[cell](H, H).to(device, dtype)
        x, seed = (torch.randn(T, B, H).to(device, dtype) for _ in range(2))

        def forward(module: nn.Module = module, x: Tensor = x) -> None:
            with torch.no_grad():
                module(x)

        def step(of: Any = module, x: Tensor = x, seed: Tensor = seed) -> None:
            of.zero_grad()
            of(x)[0].backward(seed)

        def without(step: Callable[..., None] = step) -> None:
            with patch.object(door, "BACKENDS", tuple(b for b in door.BACKENDS if b.name != "CUDA kernels")):
                step()

        ways = [
            forward,
            step,
            without,
            lambda m=module, x=x, d=seed: bptt.contributions(m, x, d, bptt.squared_error),
        ]
        if hasattr(nn, cell):
            other = getattr(nn, cell)(H, H).to(device, dtype)
            ways.append(lambda m=other, s=step: s(m))
        taken = bptt.why(module, x).startswith("CUDA kernels")
        times = alternating(ways, device, tiny)
        found[size] = Beside(taken, *times, *[None] * (5 - len(times)))
        shown = f"{measured}{''.join(map(str, times))}{'' if taken else '  not by the kernels'}"
        yield Line(shown, {str(measured): found[size]._asdict()})


def cluster_steps(backend: cuda.CudaKernels, device: torch.device, tiny: bool, clock: Clock) -> Iterator[Line]:
    """A step of 16 units a block, by blocks of a cluster: little but the barrier and the round trip of h."""
    for chosen in clock.each(CLUSTERS[:1] if tiny else CLUSTERS):
        size = Size("RNN", HALF, 4 if tiny else CLUSTER_STEPS, 8, chosen.padded)
        microseconds = step_time(backend, chosen, size, device, tiny)
        data = {"blocks": chosen.blocks, "microseconds a step": microseconds}
        yield Line(f"a step by a cluster of {chosen.blocks:>2} blocks of 16 units: {microseconds:.3f} µs", data)
