"""The native walks: one call for a layer and direction, forward or back, and their place in autograd's graph.

On CPUs, in float32 and float64. Whoever wants to see operators (a compiler, a tracer) gets those of `operators`;
second derivatives go through the reference. `record` and `adjoint` are the same two walks without a graph, stopped
before the sum over time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, get_num_threads, is_grad_enabled
from torch._C import _get_tracing_state, _has_storage, _len_torch_dispatch_stack
from torch._C._autograd import _profiler_enabled, _top_saved_tensors_default_hooks
from torch._C._profiler import _RecordFunctionFast
from torch.compiler import is_compiling
from torch.nn import Parameter

from ..equations import ACTIVATIONS, ElmanEquations, GRUEquations, LSTMEquations, Weights
from ..equations.protocol import Equations, State
from .sweep import Errors, Swept
from .unfold import Adjoint, BatchSizes, Unfolded, differentiable_gradients

try:  # after torch, whose OpenMP runtime it shares
    from .. import _native  # pyright: ignore[reportAttributeAccessIssue]
except ImportError:  # the pure package, installed with BPTT_NO_NATIVE=1, or a torch without DLPack's C exchange
    _native: Any = None

EQUATIONS = (ElmanEquations, GRUEquations, LSTMEquations)  # those with kernels
PLAIN = {Tensor, Parameter, type(None)}


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


def isa() -> str:
    """The instruction set in use: "avx512", "avx2" or "portable"; the environment variable BPTT_ISA forces one."""
    return _native.isa()


def scratch() -> int:
    """The most bytes that the kernels held for themselves, beside tensors, since this was asked last."""
    return _native.scratch() if available() else 0


def chunk_steps(batch: int) -> int:
    """How many steps the threads take at a time on the way back; for fewer steps they hold less scratch."""
    if not available() or batch == 0:
        return 1
    rows = -(-batch // min(get_num_threads(), batch))  # of a thread
    return max(1, _native.chunk_rows // rows)


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

    @property
    def has_c(self) -> bool:
        return CELLS[self.cell].has_c

    @property
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


def _named(choices: Choices, way: str, native: Callable[..., Any]) -> Callable[..., Any]:
    """A native walk that a profiler sees as `bptt::gru_forward` or the like."""

    def walk(*arguments: Any) -> Any:
        with _RecordFunctionFast(f"bptt::{choices.cell.lower()}_{way}"):
            return native(*arguments)

    return walk


def forward(choices: Choices, batch_sizes: BatchSizes, keep: bool, operands: tuple) -> tuple:
    """(y, c, kept, h_n, c_n, origin) of a walk; None for what there is not.

    Args:
        keep: whether to keep what the way back needs.
        operands: x, h0, c0, W_ih, W_hh, b_ih, b_hh; None for a state of zeros, and for biases that are not there.

    Returns:
        with `keep` also the origin: where the weights stood, as `gradients` takes it.
    """
    native = _named(choices, "forward", _native.forward) if _profiler_enabled() else _native.forward
    return native(choices, batch_sizes, keep, get_num_threads(), operands)


def walk(
    choices: Choices, x: Tensor, state: State, weights: Weights[Tensor], batch_sizes: BatchSizes
) -> tuple[Tensor, State]:
    """`door.walk` by the native kernels, for a dtype and device they have, where nobody looks on."""
    operands, keep = operands_of(choices, x, state, weights)
    walked = y, _, _, h_n, c_n, _ = forward(choices, batch_sizes, keep, operands)
    if keep:
        y, h_n, c_n = _graph(choices, batch_sizes, walked, *operands)
    return y, (h_n, c_n) if choices.has_c else (h_n,)


def operands_of(choices: Choices, x: Tensor, state: State, weights: Weights[Tensor]) -> tuple[tuple, bool]:
    """x, h0, c0, W_ih, W_hh, b_ih, b_hh, and whether any of them wants a gradient."""
    h0, c0 = state if choices.has_c else (state[0], None)
    operands = (x, h0, c0, *weights[:4])
    return operands, is_grad_enabled() and any(t is not None and t.requires_grad for t in operands)


def ordinary_walk(
    choices: Choices, names: Weights[str], parameters: dict[str, Any], x: Any, hx: Any, I: int, H: int
) -> tuple[Tensor, State] | None:
    """The walk of one layer of a module, where all is as it mostly is.

    Plain tensors of one dtype in main memory, shaped as they must be, and nobody who looks on: then one native
    call checks and walks, in a few microseconds. None for any other call, which takes the longer way through the
    module's own checks.

    Args:
        names: of the weights, in `parameters`.
        x: (T, B, I).
        hx: as the module takes it, None for zeros.

    Returns:
        y (T, B, H), and the final state, each (1, B, H).
    """
    if _watched():
        return None
    native = _named(choices, "forward", _native.ordinary) if _profiler_enabled() else _native.ordinary
    found = native(choices, names, parameters, x, hx, I, H, is_grad_enabled(), get_num_threads())
    if found is None:
        return None
    walked, operands = found
    if operands is None:
        return walked
    y, h_n, c_n = _graph(choices, None, walked, *operands)
    return y, (h_n,) if c_n is None else (h_n, c_n)


def _watched() -> bool:
    """Whether somebody looks on who wants to see operators: a compiler, an export, a tracer, a mode."""
    return is_compiling() or _len_torch_dispatch_stack() > 0 or _get_tracing_state() is not None


def must_be_an_operator(tensors: Sequence) -> bool:
    """Whether a walk must be one: somebody looks on, or a tensor is of a subclass."""
    return _watched() or not {type(t) for t in tensors} <= PLAIN


class _EagerWalk(torch.autograd.Function):
    """The operator's place in the graph, for a walk that was walked without its dispatcher.

    Backward takes what was walked, or raises, whatever became of the tensors: `t.data = ...` and `Module.half()`
    touch neither aliases (of x and the state) nor what `origin` says of the weights.
    """

    @staticmethod
    def forward(
        ctx: Any, choices: Choices, batch_sizes: BatchSizes, walked: tuple, *operands: Tensor | None
    ) -> Any:
        y, c, kept, h_n, c_n, origin = walked
        ctx.walk = choices, batch_sizes, operands[3:], origin
        ctx.y_changed = False
        ctx.set_materialize_grads(False)
        # Where hooks say how tensors are saved, a change of y in place is not noticed.
        saved = y if _top_saved_tensors_default_hooks(True) is None else y.clone()
        ctx.save_for_backward(saved, *operands[:3], c, kept)
        return y, h_n, c_n

    @staticmethod
    def backward(ctx: Any, *seeds: Tensor | None) -> Any:
        choices, batch_sizes, weights, origin = ctx.walk
        wanted = ctx.needs_input_grad[3:]
        try:
            y, x, h0, c0, c, kept = ctx.saved_tensors
        except RuntimeError:  # something was changed in place: if that is y, which is the caller's, we do without
            ctx._raw_saved_tensors[0].register_hooks(_same, _same)  # y is not checked from now on
            y, x, h0, c0, c, kept = ctx.saved_tensors
            ctx.y_changed = True
        if is_grad_enabled() or ctx.y_changed or _watched():
            as_walked = _native.as_walked(origin, weights)
            if is_grad_enabled() and as_walked is not weights:
                raise RuntimeError(
                    "a weight's data was replaced after the forward pass, and gradients that are to be "
                    "differentiated again need it as it was; replace it after the backward pass"
                )
            if ctx.y_changed and not is_grad_enabled():  # walked again; a module's state is (1, B, H)
                state = (s if s is None or s.dim() == 2 else s.squeeze(0) for s in (h0, c0))
                y, c, kept, *_ = forward(choices, batch_sizes, True, (x, *state, *as_walked))
            operands = x, h0, c0, *as_walked
            found = way_back(choices, batch_sizes, wanted, operands, (y, c, kept), seeds)
        else:
            operands, walked = (x, h0, c0, *weights), (y, c, kept)
            try:
                found = gradients(choices, batch_sizes, wanted, operands, walked, seeds, origin=origin)
            except ValueError:
                if not are_batched(seeds):
                    raise
                operands = x, h0, c0, *_native.as_walked(origin, weights)
                found = _second_order(choices, batch_sizes, wanted, operands, seeds)
        return None, None, None, *found


def _same(t: Tensor) -> Tensor:
    return t


# `_EagerWalk.apply` without its search for tensors of functorch's, which never get here.
_apply: Any = super(torch.autograd.Function, _EagerWalk).apply  # pyright: ignore[reportAttributeAccessIssue]


def _graph(
    choices: Choices,
    batch_sizes: BatchSizes,
    walked: tuple,
    x: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    *weights: Tensor | None,
) -> Any:
    """y, h_n and c_n of a walk, in autograd's graph."""
    if h0 is not None:
        h0, c0 = alias(h0), None if c0 is None else alias(c0)
    return _apply(choices, batch_sizes, walked, alias(x), h0, c0, *weights)


def alias(t: Tensor) -> Tensor:
    """t for autograd, which keeps its memory when `t.data` is given another one."""
    return t.view_as(t) if t.requires_grad else t.detach()


def are_batched(seeds: Sequence[Tensor | None]) -> bool:
    """Whether many gradients come at once, as `torch.autograd.grad(is_grads_batched=True)` sends them."""
    return not all(seed is None or _has_storage(seed) for seed in seeds)


def way_back(
    choices: Choices,
    batch_sizes: BatchSizes,
    wanted: tuple[bool, ...],
    operands: tuple,
    walked: tuple,
    seeds: tuple,
) -> Sequence[Tensor | None]:
    """The gradients of the operands, None where not wanted."""
    if is_grad_enabled():
        return _second_order(choices, batch_sizes, wanted, operands, seeds)
    if not must_be_an_operator(operands):
        return gradients(choices, batch_sizes, wanted, operands, walked, seeds)
    walk_backward: Any = torch.ops.bptt.walk_backward
    found = walk_backward(*choices, batch_sizes, list(wanted), *operands, *walked, *seeds)
    return [g if want else None for g, want in zip(found, wanted, strict=True)]


def gradients(
    choices: Choices,
    batch_sizes: BatchSizes,
    wanted: tuple[bool, ...],
    operands: tuple,
    walked: tuple,
    seeds: tuple,
    stops: tuple = (None,) * 6,
    shared: int = 0,
    active: list[int] | None = None,
    origin: tuple | None = None,
) -> list[Tensor | None]:
    """∂L/∂(x, h0, c0, W_ih, W_hh, b_ih, b_hh), None where not wanted.

    Args:
        walked: y, c, kept.
        seeds: ∂L/∂(y, h_n, c_n).
        stops: room for delta_ih, delta_hh and dh of every step, as `unfolded.Adjoint` has them, where wanted; and
            of a sweep for the squares of dh's rows, and the products of delta_ih's and delta_hh's.
        shared: of a sweep, B of the walk that all errors are taken back through.
        active: of a sweep, how many rows an error has reached at each step; None for all.
        origin: where the weights stood in the walk, if they may have changed since.
    """
    native = _named(choices, "backward", _native.backward) if _profiler_enabled() else _native.backward
    threads = get_num_threads()
    return native(choices, batch_sizes, wanted, threads, operands, walked, seeds, stops, shared, active, origin)


def _second_order(
    choices: Choices, batch_sizes: BatchSizes, wanted: tuple[bool, ...], operands: tuple, seeds: tuple
) -> list[Tensor | None]:
    """`gradients` through the reference, so that they can be differentiated again."""
    x, h0, c0, *weights = operands
    n = 1 + choices.has_c
    state = (h0, c0)[:n]
    if h0 is None:  # zeros, of which no gradient is wanted
        batch = x.shape[1] if batch_sizes is None else batch_sizes[0]
        state = (x.new_zeros(batch, weights[1].shape[1]),) * n
    of_module = state[0].dim() == 3  # (1, B, H)
    if of_module:
        state = tuple(s.squeeze(0) for s in state)
    dy, *d_state = seeds
    d_state = [d if d is None else d.reshape(state[0].shape) for d in d_state[:n]]
    d_x, *others = differentiable_gradients(
        choices.equations(),
        [x, *state, *weights, None],
        n,
        [wanted[0], *wanted[1 : 1 + n], *wanted[3:], False],
        dy,
        d_state,
        batch_sizes,
    )
    d_initial = [d if d is None or not of_module else d.unsqueeze(0) for d in others[:n]]
    return [d_x, *d_initial, *[None] * (2 - n), *others[n:-1]]


class Kept(NamedTuple):
    """What `record` keeps of every step, each (T, B, ·); · is 0 where a cell has none."""

    c_prev: Tensor
    c: Tensor
    gates: Tensor


def record(choices: Choices, x: Tensor, state: State, weights: Weights[Tensor]) -> Unfolded:
    """`unfold.unfold` by the native kernels, without a graph; x (T, B, I)."""
    with torch.no_grad():
        operands, _ = operands_of(choices, x, state, weights)
        y, c, gates, h_n, c_n, _ = forward(choices, None, True, operands)
        none = y[..., :0]
        cs = none if c is None else torch.cat([state[1][None], c])
        kept = Kept(none, none, none if gates is None else gates)
        if c is not None:
            kept = kept._replace(c_prev=cs[:-1], c=cs[1:])
        return Unfolded(torch.cat([state[0][None], y]), (h_n,) if c_n is None else (h_n, c_n), kept)


def walk_and_keep(
    choices: Choices, x: Tensor, state: State, weights: Weights[Tensor]
) -> tuple[Tensor, State, Unfolded]:
    """`walk` under autograd, and of its steps after the first what it kept, without a copy; x (T, B, I)."""
    operands, _ = operands_of(choices, x, state, weights)
    walked = y, c, gates, *_ = forward(choices, None, True, operands)
    none = y[1:, :, :0]
    kept = Kept(none, none, none if gates is None else gates[1:])
    if c is not None:
        kept = kept._replace(c_prev=c[:-1], c=c[1:])
    unfolded = Unfolded(y.detach(), (), kept)
    y, h_n, c_n = _graph(choices, None, walked, *operands)
    return y, (h_n, c_n) if choices.has_c else (h_n,), unfolded


def adjoint(
    cell: Equations,
    x: Tensor,
    unfolded: Unfolded,
    weights: Weights[Tensor],
    d_outputs: Tensor | None,
    d_state: State,
) -> Adjoint:
    """`unfold.unfold_adjoint` by the native kernels, of what `record` returned, or of its steps rearranged."""
    choices = cast("Choices", Choices.of(cell))
    states, _, kept = unfolded
    h0, y = states[0], states[1:]
    c0, c = (kept.c_prev[0], kept.c) if choices.has_c else (None, None)
    delta_hh = y.new_empty((*y.shape[:-1], cell.gates * y.shape[-1]))
    delta_ih = delta_hh if CELLS[choices.cell].one_delta else torch.empty_like(delta_hh)
    dh = torch.empty_like(y)
    _, d_h0, d_c0, *_ = gradients(
        choices,
        None,
        (False, True, choices.has_c, False, False, False, False),
        (x, h0, c0, *weights[:4]),
        (y, c, some(kept.gates)),
        (d_outputs, *d_state, *([] if choices.has_c else [None])),
        (None if delta_ih is delta_hh else delta_ih, delta_hh, dh, None, None, None),
    )
    d_initial = (cast("Tensor", d_h0), cast("Tensor", d_c0)) if choices.has_c else (cast("Tensor", d_h0),)
    return Adjoint(delta_ih, delta_hh, dh, d_initial)


def sweep(
    cell: Equations,
    x: Tensor,
    unfolded: Unfolded,
    weights: Weights[Tensor],
    steps: int,
    errors: Errors,
    wanted: bool,
) -> Swept:
    """`sweep.sweep` by the native kernels, of what `record` returned."""
    choices = cast("Choices", Choices.of(cell))
    states, _, kept = unfolded
    B = states.shape[1]
    entering, ends = errors
    rows = entering.shape[-2]
    squares = x.new_empty(steps, rows // B)
    hh = x.new_empty(steps, rows // B, B, B)
    ih = hh if CELLS[choices.cell].one_delta else torch.empty_like(hh)
    d_inputs, *_ = gradients(
        choices,
        None,
        (wanted, *[False] * 6),
        (
            x[:1, :1].expand(steps, rows, -1),  # of which the way back reads the shape
            states[0],
            kept.c_prev[0] if choices.has_c else None,
            *weights[:4],
        ),
        (states[1:], kept.c if choices.has_c else None, some(kept.gates)),
        (None, entering, None) if entering.dim() == 2 else (entering, None, None),
        (None, None, None, squares, None if ih is hh else ih, hh),
        B,
        None if ends is None else [B * sum(t <= end for end in ends) for t in range(steps)],
    )
    return Swept(squares, ih, hh, None, d_inputs)


def some(t: Tensor | None) -> Tensor | None:
    """None for the empty tensor by which an operator says so."""
    return None if t is None or t.numel() == 0 else t
