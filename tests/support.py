"""What the tests share: tolerances, cells, layers of random weights; processes, servers and scripts that run."""

import importlib.util
import itertools
import multiprocessing
import os
import runpy
import socket
import sys
from collections.abc import Callable, Iterable
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from bptt.equations import ACTIVATIONS, Activation, ElmanEquations, Equations, GRUEquations, LSTMEquations, Weights
from bptt.runs import training_run
from bptt.training.data.tables import Selection, Table, read_frame, select

# Relative error allowed between two ways to the same number.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}

# torch 2.15 warns where .grad of a tensor that is not a leaf is read, as its own opcheck does.
any_grad_is_read = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")

SINE = Activation(torch.sin, torch.cos, keeps="input", name="sine")

CELLS: dict[str, Equations] = {
    **{name: ElmanEquations(activation) for name, activation in ACTIVATIONS.items()},
    **{f"leaky {name}": ElmanEquations(activation, leak=0.3) for name, activation in ACTIVATIONS.items()},
    "own": ElmanEquations(SINE),
    "gru": GRUEquations(),
    "lstm": LSTMEquations(),
}
NATIVE = {name: cell for name, cell in CELLS.items() if name != "own"}  # those the native kernels have


def relative_error(found: Tensor, wanted: Tensor) -> float:
    """‖found - wanted‖ / ‖wanted‖, infinite where shapes differ."""
    if found.shape != wanted.shape:
        return float("inf")
    scale = wanted.double().norm().item() or 1.0
    return (found.double() - wanted.double()).norm().item() / scale


def assert_close(found: Tensor, wanted: Tensor, what: str, tolerance: float | None = None) -> None:
    tolerance = TOLERANCE[wanted.dtype] if tolerance is None else tolerance
    error = relative_error(found, wanted)
    assert error <= tolerance, f"{what}: relative error {error:.3g}, allowed {tolerance:.3g}"


def normal(*shape: int, seed: int = 0, grad: bool = False, dtype: torch.dtype = torch.float64) -> Tensor:
    g = torch.Generator().manual_seed(seed + 7919 * sum((i + 1) * size for i, size in enumerate(shape)))
    return torch.randn(shape, generator=g, dtype=torch.float64).to(dtype).requires_grad_(grad)


def layer(cell: Equations, B: int, I: int, H: int, R: int | None = None, bias: bool = True, grad: bool = True):
    """A state and weights for one layer of a cell, random; R projects an LSTM's output."""
    G, out = cell.gates, R or H
    names = ["h", "c"][: 2 if isinstance(cell, LSTMEquations) else 1]
    state = tuple(normal(B, out if name == "h" else H, seed=i, grad=grad) for i, name in enumerate(names))
    shapes = {"W_ih": (G * H, I), "W_hh": (G * H, out)}
    if bias:
        shapes |= {"b_ih": (G * H,), "b_hh": (G * H,)}
    if R:
        shapes["W_hr"] = (R, H)
    weights = Weights(**{name: normal(*s, seed=10 + i, grad=grad) for i, (name, s) in enumerate(shapes.items())})
    return state, weights


def covering(*axes: Iterable[Any]) -> list[Any]:
    """Every combination of the axes' values; all slow but a few, in which every two values of two axes meet."""
    values = [list(axis) for axis in axes]
    rows = list(itertools.product(*(range(len(axis)) for axis in values)))
    pairs = {row: set(itertools.combinations(enumerate(row), 2)) for row in rows}
    few, missing = set(), set().union(*pairs.values())
    while missing:
        best = max(rows, key=lambda row: len(pairs[row] & missing))
        few.add(best)
        missing -= pairs[best]
    return [
        pytest.param(*map(list.__getitem__, values, row), marks=() if row in few else pytest.mark.slow)
        for row in rows
    ]


def leave_out_reports(patch: pytest.MonkeyPatch) -> None:
    """Train without the diagnosis and the page at the end, which take longer than a small training."""
    patch.setattr(training_run, "diagnosis_of", lambda *run, **choices: None)
    patch.setattr(training_run, "run_explorer", Mock())
    patch.setattr(training_run, "page_html", lambda page: "a page")


def forked(act: Callable[..., Any], *arguments: Any, output: Path, **environment: str) -> BaseProcess:
    """A function in a process of its own, started; forked from one that has imported what takes long.

    What it prints goes to a file, and its standard error to the file beside it that ends in .err.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("no process can be forked on this system")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch._dynamo", "polars", "pytest", "hypothesis"])
    process = context.Process(target=_printing_to, args=(output, environment, act, *arguments))
    process.start()
    return process


def _printing_to(output: Path, environment: dict[str, str], act: Callable[..., Any], *arguments: Any) -> None:
    for number, path in ((1, output), (2, output.with_suffix(".err"))):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.update(environment)
    torch.set_num_threads(1)
    act(*arguments)


def run_script(path: str, *arguments: str) -> None:
    """Run a script as Python does that is started with it."""
    sys.argv = [path, *arguments]
    runpy.run_path(path, run_name="__main__")


def run_workers(script: str, folder: Path, size: int) -> None:
    """So many processes of a script that find each other as `torchrun` lets them, to their ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    outputs = [folder / f"printed-{rank}" for rank in range(size)]
    processes = [
        forked(run_script, script, str(folder), output=output, RANK=str(rank), **common)
        for rank, output in enumerate(outputs)
    ]
    for process in processes:
        process.join()
    errors = [output.with_suffix(".err").read_text() for output in outputs]
    assert [process.exitcode for process in processes] == [0] * size, errors


def read_table(path: Path, selection: Selection) -> Table:
    """Some columns of a CSV, Parquet or .npy file."""
    return select(read_frame(path), path.name, selection)


def loaded(path: Path) -> ModuleType:
    """A script of the project as a module, without what it does as a command."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def mean_square(y, d):
    """The mean squared error of outputs and desired outputs."""
    return (y - d).square().mean()
