"""Chooses the backend of each walk: the first of `BACKENDS` that does not refuse the call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..checks import autocast_dtype
from ..equations.protocol import Equations, State
from .backend import Backend, QuickWalk, Recorded
from .call import Call, lacks_memory
from .cpu import FUSED
from .cuda import CUDA_KERNELS
from .cudnn import CUDNN
from .plain import PLAIN
from .reference import REFERENCE
from .stack import Between, Stack

# In the order in which they are asked.
BACKENDS: tuple[Backend, ...] = (CUDA_KERNELS, CUDNN, FUSED, REFERENCE, PLAIN)


def backend_of(call: Call) -> Backend:
    """The first backend that does not refuse the call; the last one never does."""
    return next(backend for backend in BACKENDS if backend.refuses(call) is None)


def walk(call: Call) -> tuple[Tensor, State]:
    """One layer, one direction, through time; differentiable in x, state and weights.

    Returns:
        h after each step, (T, B, R) or (N, R), and the final state.
    """
    dtype = autocast_dtype(call.weights.W_ih)
    if dtype is not None:  # everything in autocast's dtype, as in torch.nn's fused kernels
        if lacks_memory(call.tensors()):
            call.check_memory()
        with torch.autocast(call.x.device.type, enabled=False):
            return walk(call.in_dtype(dtype))
    return backend_of(call).walk(call)


def walk_stack(stack: Stack, between: Between = None) -> tuple[Tensor, State]:
    """All layers and directions of a module, as `Stack.walk`.

    In one call, where a backend has that; with something between the layers, in one for each layer.
    """
    whole = backend_of(stack.call(0, stack.x)).walk_stack
    if whole is None:
        return stack.walk(walk, between)
    dtype = autocast_dtype(stack.weights[0].W_ih)
    if dtype is not None:
        if lacks_memory(stack.tensors()):
            stack.check_memory()
        with torch.autocast(stack.x.device.type, enabled=False):
            return walk_stack(stack.in_dtype(dtype), between)
    return whole(stack) if between is None else stack.walk_by_layer(whole, between)


def quick_walk_of(cell: Equations) -> QuickWalk | None:
    """The first walk of a module's layers with this cell that any backend offers to try before all checks."""
    offered = (backend.quick_walk_of(cell) for backend in BACKENDS)
    return next((quick for quick in offered if quick is not None), None)


def record_walk(call: Call) -> Recorded:
    """`walk` outside autocast, and a recording for its backward pass."""
    return backend_of(call).record(call)


def why(module: Any, x: Any) -> str:
    """Each backend's answer to a call of a module, a line each; the one that takes it comes first.

    Args:
        module: a `bptt.RNN`, `GRU`, `LSTM`, `SequenceModel` or `Elman`.
        x: its input, as it would be called.

    Raises:
        TypeError: module is another one.
        ValueError, TypeError: the module refuses x.

    >>> from bptt import GRU
    >>> print(why(GRU(3, 5, device="meta"), torch.empty(4, 2, 3, device="meta")))
    reference: takes GRU in torch.float32 on meta, by plain operations and the cell's own adjoint
    CUDA kernels: refuses, as the CUDA kernels run on CUDA, and this is on meta
    cuDNN: refuses, as cuDNN runs on CUDA, and this is on meta
    fused: refuses, as the native kernels run on CPUs, and this is on meta
    autograd: could take it, by plain operations under autograd
    """
    calls = []

    def asked(call: Call) -> tuple[Tensor, State]:
        calls.append(call)
        return call.x.new_zeros((*call.x.shape[:-1], call.state[0].shape[-1])), call.state

    run = getattr(module, "run", None)
    if run is None:
        kind = type(module)
        given = f"torch.nn.{kind.__name__}" if kind.__module__.startswith("torch.nn.") else kind.__name__
        raise TypeError(
            f"why takes a bptt.RNN, GRU, LSTM, SequenceModel or Elman, got {given}; pass your "
            "model's recurrent module, or convert torch.nn's by bptt.from_torch(model) first"
        )
    run(x, None, asked)
    call = calls[0]  # the first layer's, forward in time; the others are like it
    dtype = autocast_dtype(call.weights.W_ih)
    call = call if dtype is None else call.in_dtype(dtype)
    chosen = backend_of(call)
    what = f"{type(module).__name__} in {call.x.dtype} on {call.x.device}"
    lines = [f"{chosen.name}: takes {what}, by {chosen.describe(call)}"]
    for other in BACKENDS:
        if other is not chosen:
            refusal = other.refuses(call)
            answer = f"could take it, by {other.describe(call)}" if refusal is None else f"refuses, as {refusal}"
            lines.append(f"{other.name}: {answer}")
    return "\n".join(lines)
