"""The peers of `bptt bench --peers`: ONNX Runtime and JAX, each in a process with threads of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from . import modules
from .errors import UserError
from .export.file import export_onnx
from .speed import CALLS, GATES, STEPS, Size, mean_time

# JAX is not among the packages that pyright sees.
# pyright: reportMissingImports=false
PACKAGES = {"ONNX Runtime": ("onnxruntime", "onnx"), "JAX": ("jax",)}
_COMMAND = (sys.executable, "-m", "bptt.peers")


def installed(name: str) -> bool:
    """Whether the packages of a peer are there."""
    return all(find_spec(package) for package in PACKAGES[name])


class Peer:
    """A process that times a peer, a block at a time; it waits between blocks, so that it disturbs nobody.

    Args:
        name: in `PACKAGES`.
        kind, size, inference, threads: as `speed.speed` takes them.
    """

    def __init__(self, name: str, kind: str, size: Size, inference: bool, threads: int) -> None:
        self._name = name
        call = json.dumps((name, kind, size, inference, threads))
        self._process = subprocess.Popen(
            [*_COMMAND, call], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.block()  # it loads and compiles before anything is timed

    def block(self) -> float:
        """The mean seconds of a call.

        Raises:
            UserError: the process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it has ended, as its empty answer says
            print(file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            self.end()
            code = self._process.returncode
            raise UserError(f"the process of {self._name} ended with code {code}; see its error above")
        return float(line)

    def end(self) -> None:
        """Close its input, so that the process ends, and wait for it."""
        self._process.communicate()


def _serve(name: str, kind: str, size: Size, inference: bool, threads: int) -> None:
    """Print the time of a block for each line read."""
    if hasattr(os, "sched_setaffinity"):  # JAX takes as many threads as there are cores for it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    task = (_onnx_runtime if name == "ONNX Runtime" else _jax)(kind, size, inference, threads)
    for _ in sys.stdin:
        print(mean_time(task, CALLS, 1.0), flush=True)


def _onnx_runtime(kind: str, size: Size, inference: bool, threads: int) -> Callable[[], object]:
    """A forward pass of the exported module; of T = 1 a stream."""
    import onnxruntime

    T, B, I, H = size
    with tempfile.TemporaryDirectory() as folder:
        file = export_onnx(getattr(modules, kind)(I, H), Path(folder) / "model.onnx", state=T == 1)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(file.path, options, providers=["CPUExecutionProvider"])
    x = torch.randn(T, B, I).numpy()
    if T > 1:
        return lambda: session.run(None, {"x": x})
    names = [given.name for given in session.get_inputs()[1:]]

    zeros = [torch.zeros(1, B, H).numpy() for _ in names]

    def stream() -> object:
        results = [None, *zeros]
        for _ in range(STEPS):
            results = session.run(None, {"x": x, **dict(zip(names, results[1:], strict=True))})
        return results

    return stream


def _jax(kind: str, size: Size, inference: bool, threads: int) -> Callable[[], object]:
    """A scan over the cell's equations, compiled whole: the forward pass, or the loss with its gradients."""
    import jax
    import jax.numpy as jnp

    T, B, I, H = size
    G = GATES[kind] * H
    shapes = {"W_ih": (G, I), "W_hh": (G, H), "b_ih": (G,), "b_hh": (G,)}
    weights = {name: jnp.asarray(torch.randn(shape).numpy() / H**0.5) for name, shape in shapes.items()}
    x, zeros = jnp.asarray(torch.randn(T, B, I).numpy()), jnp.zeros((B, H))

    def walk(weights: dict[str, Any], x: Any, state: Any) -> tuple[Any, Any]:
        projected = x @ weights["W_ih"].T + weights["b_ih"]

        def step(state: Any, p: Any) -> tuple[Any, Any]:
            h = state[0]
            recurrent = h @ weights["W_hh"].T + weights["b_hh"]
            if kind == "RNN":
                state = (jnp.tanh(p + recurrent),)
            elif kind == "GRU":
                (p_r, p_z, p_n), (q_r, q_z, q_n) = jnp.split(p, 3, 1), jnp.split(recurrent, 3, 1)
                z = jax.nn.sigmoid(p_z + q_z)
                n = jnp.tanh(p_n + jax.nn.sigmoid(p_r + q_r) * q_n)
                state = ((1 - z) * n + z * h,)
            else:
                i, f, g, o = jnp.split(p + recurrent, 4, 1)
                c = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
                state = (jax.nn.sigmoid(o) * jnp.tanh(c), c)
            return state, state[0]

        return jax.lax.scan(step, state, projected)

    initial = (zeros, zeros) if kind == "LSTM" else (zeros,)
    if not inference:
        step = jax.jit(jax.value_and_grad(lambda weights, x: walk(weights, x, initial)[1].sum()))
        return lambda: jax.block_until_ready(step(weights, x))
    forward = jax.jit(walk)
    if T > 1:
        return lambda: jax.block_until_ready(forward(weights, x, initial))

    def stream() -> None:
        state = initial
        for _ in range(STEPS):
            state, y = forward(weights, x, state)
            jax.block_until_ready(y)

    return stream


if __name__ == "__main__":
    _serve(*json.loads(sys.argv[1]))
