"""The fused CPU kernels: whether they are installed, and their two calls, forward and backward."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, are_deterministic_algorithms_enabled, get_num_threads, is_grad_enabled
from torch._C._autograd import _profiler_enabled
from torch._C._profiler import _RecordFunctionFast

from ..equations import ACTIVATIONS, ElmanEquations, GRUEquations, LSTMEquations, Weights
from ..equations.protocol import Equations
from .call import BatchSizes
from .recording import Saved

try:  # after torch, whose OpenMP runtime it shares
    from .. import _native  # pyright: ignore[reportAttributeAccessIssue]
except ImportError:  # the pure package, or a torch without DLPack's C exchange
    _native: Any = None

EQUATIONS = (ElmanEquations, GRUEquations, LSTMEquations)  # those with kernels


class NativeCell(NamedTuple):
    """A cell that has kernels."""

    name: str
    gates: int  # blocks of H rows in its weights
    keeps: int  # the most (·, H) tensors that a walk keeps for its backward pass, beside the states
    has_c: bool
    one_delta: bool  # delta against W_ih and against W_hh are the same


CELLS = {} if _native is None else {cell[0]: NativeCell(*cell) for cell in _native.cells}


def available() -> bool:
    """Whether the native kernels are installed."""
    return _native is not None


def missing() -> str:
    """Why the native kernels are not there, and how to get them."""
    if sys.platform == "win32":
        return "the native kernels are not built for Windows"
    return (
        "the native kernels are not installed, or torch is older than they need; with a C++17 compiler (g++ 11 or "
        "clang 14, or newer) and torch 2.10 or newer, install bptt again, with pip's --force-reinstall --no-deps "
        "--no-cache-dir --no-binary bptt"
    )


def isa() -> str:
    """The instruction set of the fused CPU kernels: "avx512", "avx2" or "portable".

    It is the best one that the CPU supports, or the one that the environment variable BPTT_ISA forces.

    Raises:
        RuntimeError: the kernels are not installed; the message says why.
    """
    if not available():
        raise RuntimeError(missing())
    return _native.isa()


def scratch() -> int:
    """The most bytes that the kernels held for themselves, beside tensors, since this was asked last."""
    return _native.scratch() if available() else 0


def chunk_steps(batch: int) -> int:
    """How many steps the threads take at a time in the backward pass; for fewer steps they hold less scratch."""
    if not available() or batch == 0:
        return 1
    threads, deterministic = _computing()
    rows = -(-batch // (_native.fixed_parts(batch) if deterministic else min(threads, batch)))  # of a thread
    return max(1, _native.chunk_rows // rows)


def _computing() -> tuple[int, bool]:
    """The number of threads, and whether results must not depend on it, nor on the other rows of a batch."""
    return get_num_threads(), are_deterministic_algorithms_enabled()


class Choices(NamedTuple):
    """A cell in the native module's terms, which reads the first three."""

    cell: str  # its name in CELLS
    activation: str
    leak: float

    @classmethod
    def of(cls, cell: Equations) -> Choices | None:
        """None for a cell that has no kernel."""
        if type(cell) is ElmanEquations:
            known = ACTIVATIONS.get(cell.activation.name) == cell.activation
            return cls("Elman", cell.activation.name, cell.leak) if known else None
        return cls(cell.name, "tanh", 1.0) if type(cell) in EQUATIONS else None

    def has_c(self) -> bool:
        return CELLS[self.cell].has_c

    def keeps(self) -> int:
        """How many (·, H) tensors a walk keeps for its backward pass, beside the states.

        Raises:
            ValueError: the cell, the activation or the leak is none that the kernels have.
        """
        return _native.keeps(self)

    def equations(self) -> Equations:
        """The cell itself."""
        if self.cell == ElmanEquations.name:
            return ElmanEquations(ACTIVATIONS[self.activation], self.leak)
        return next(cell for cell in EQUATIONS if cell.name == self.cell)()


class Operands(NamedTuple):
    """The tensors of a walk; h0 and c0 (B, H), or (1, B, H)."""

    x: Tensor
    h0: Tensor | None  # None for zeros
    c0: Tensor | None  # None for zeros, and for cells without c
    W_ih: Tensor
    W_hh: Tensor
    b_ih: Tensor | None
    b_hh: Tensor | None


class Walked(NamedTuple):
    """The result of a forward pass."""

    y: Tensor
    c: Tensor | None
    kept: Tensor | None
    h_n: Tensor
    c_n: Tensor | None
    origin: Any  # where the weights were in memory, for `backward`; None where nothing was kept

    @property
    def saved(self) -> Saved:
        return Saved(*self[:3])


class Seeds(NamedTuple):
    """∂L/∂ of what a walk returned; None for zero."""

    dy: Tensor | None
    dh_n: Tensor | None = None
    dc_n: Tensor | None = None


class Stops(NamedTuple):
    """Memory for what the backward pass hands out by step, None where not wanted."""

    delta_ih: Tensor | None = None  # where it differs from delta_hh
    delta_hh: Tensor | None = None
    dh: Tensor | None = None
    squares: Tensor | None = None  # of a sweep: of dh's rows
    products_ih: Tensor | None = None  # of a sweep: the products of delta_ih's rows, where they differ
    products_hh: Tensor | None = None


NO_STOPS = Stops()


def _named(choices: Choices, way: str, native: Callable[..., Any]) -> Callable[..., Any]:
    """A native walk that a profiler sees as `bptt::gru_forward`, for example."""

    def walk(*arguments: Any) -> Any:
        with _RecordFunctionFast(f"bptt::{choices.cell.lower()}_{way}"):
            return native(*arguments)

    return walk


def forward(choices: Choices, batch_sizes: BatchSizes, keep: bool, operands: Operands) -> Walked:
    """Walk forward; `keep`: whether to keep what the backward pass needs."""
    native = _named(choices, "forward", _native.forward) if _profiler_enabled() else _native.forward
    return Walked._make(native(choices, batch_sizes, keep, *_computing(), operands))


def forward_of_module(
    choices: Choices, names: Weights[str], parameters: dict[str, Any], x: Any, hx: Any, I: int, H: int, grad: bool
) -> tuple[tuple, tuple | None] | None:
    """`forward` of one layer of a module, or a cell's step, whose arguments are checked on the way.

    Args:
        names: of the weights, in `parameters`.
        x: (T, B, I), or (B, I) of one step, whose state is its y and c; `Walked.h_n` is None then.
        hx: as the module takes it, (1, B, H) or (B, H) each; None for zeros.
        grad: whether autograd is on.

    Returns:
        None where an argument is not as expected; where a gradient is wanted, the fields of `Walked` and those of
        `Operands`; else (y, state), and None.
    """
    native = _named(choices, "forward", _native.ordinary) if _profiler_enabled() else _native.ordinary
    return native(choices, names, parameters, x, hx, I, H, grad, *_computing())


def stack_of_module(
    choices: Choices,
    names: tuple[Weights[str], ...],
    directions: int,
    I: int,
    H: int,
    parameters: dict[str, Any],
    x: Any,
    hx: Any,
    readout: Any = None,
) -> tuple[Tensor, Any] | None:
    """All layers and directions of a module without gradients, and the read-out of one step.

    Both directions of one sequence are walked at once, where there are two threads.

    Args:
        names: of the weights of each layer and direction in `parameters`, the forward direction first.
        x: (T, B, I); or of one step (B, I) or (I), for a module of one direction.
        hx: as the module takes it, (L·D, B, H), or (L, H) beside an x (I); None for zeros.
        readout: of one step, (weight, bias) of a linear layer; None to return h itself.

    Returns:
        y (T, B, D·H), (B, O) or (O), and the state as `Recurrent.step` returns it; None where a gradient is
        wanted, or an argument is not as expected.
    """
    native = _named(choices, "forward", _native.stack) if _profiler_enabled() else _native.stack
    grad = is_grad_enabled()
    return native(choices, names, directions, I, H, parameters, x, hx, readout, grad, *_computing())


def backward(
    choices: Choices,
    batch_sizes: BatchSizes,
    wanted: tuple[bool, ...],
    operands: tuple,
    saved: tuple,
    seeds: tuple,
    stops: Stops = NO_STOPS,
    *,
    origin: Any = None,
    shared: int = 0,
    active: list[int] | None = None,
) -> list[Tensor | None]:
    """∂L/∂ of each of the operands, None where not wanted.

    Args:
        operands, saved, seeds: the fields of `Operands`, `Saved` and `Seeds`.
        origin: `Walked.origin`, where the weights may have changed since.
        shared: of a sweep, B of the walk that all errors are backpropagated through.
        active: of a sweep, how many rows an error has reached at each step; None for all.
    """
    native = _named(choices, "backward", _native.backward) if _profiler_enabled() else _native.backward
    how = _computing()
    return native(choices, batch_sizes, wanted, *how, operands, saved, seeds, stops, shared, active, origin)


def weights_as_walked(origin: Any, weights: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    """The four weights as the forward pass read them; `weights` itself where they still are those."""
    return _native.as_walked(origin, weights)
