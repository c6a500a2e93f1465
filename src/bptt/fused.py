"""The fused walks as registered operators: one native call for a layer and direction, forward or back.

`bptt::walk` and `bptt::walk_backward` run on CPUs in float32 and float64; torch.compile and torch.export see them
as one node each. What backward needs is an output of the forward operator; second derivatives go through the
reference. `record` and `adjoint` are the same two walks without autograd, stopped before the sum over time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, get_num_threads, is_grad_enabled
from torch._C import _get_tracing_state, _len_torch_dispatch_stack
from torch.compiler import is_compiling
from torch.nn import Parameter

from .equations import ACTIVATIONS, GRU, LSTM, Elman, Weights
from .equations.cell import Cell, State
from .unfolded import Adjoint, BatchSizes, Unfolded, differentiable_gradients

try:  # after torch, whose OpenMP runtime it shares
    from . import _native  # pyright: ignore[reportAttributeAccessIssue]
except ImportError:  # the pure package, installed with BPTT_NO_NATIVE=1
    _native: Any = None

CELLS = (Elman, GRU, LSTM)
NAMES = tuple(ACTIVATIONS)
PLAIN = {Tensor, Parameter, type(None)}

_library = torch.library.Library("bptt", "DEF")
_library.define(
    "walk(int cell, int activation, float leak, bool keep, int[]? batch_sizes, Tensor x, Tensor h0, Tensor? c0, "
    "Tensor W_ih, Tensor W_hh, Tensor? b_ih, Tensor? b_hh) "
    "-> (Tensor y, Tensor c, Tensor kept, Tensor h_n, Tensor c_n)"
)
_library.define(
    "walk_backward(int cell, int activation, float leak, int[]? batch_sizes, bool[] wanted, Tensor x, Tensor? h0, "
    "Tensor? c0, Tensor W_ih, Tensor W_hh, Tensor? b_ih, Tensor? b_hh, Tensor y, Tensor? c, Tensor? kept, "
    "Tensor? dy, Tensor? dh_n, Tensor? dc_n) -> Tensor[]"
)


def available() -> bool:
    """Whether the native kernels are installed."""
    return _native is not None


def isa() -> str:
    """The instruction set in use: "avx512", "avx2" or "portable"; the environment variable BPTT_ISA forces one."""
    return _native.isa()


class Choices(NamedTuple):
    """What is walked, in numbers."""

    cell: int  # its place in CELLS
    activation: int  # its place in NAMES
    leak: float
    keeps: int  # how many (·, H) tensors a walk keeps for its way back, beside the states

    @classmethod
    def of(cls, cell: Cell) -> Choices | None:
        """None for a cell that has no kernel."""
        if type(cell) is not Elman:
            return cls(CELLS.index(type(cell)), 0, 1.0, 4) if type(cell) in CELLS else None
        activation = ACTIVATIONS.get(cell.activation.name)
        if activation != cell.activation:
            return None
        keeps = int(cell.leak != 1 or activation.keeps == "input")
        return cls(0, NAMES.index(activation.name), cell.leak, keeps)

    @property
    def has_c(self) -> bool:
        return CELLS[self.cell] is LSTM

    def equations(self) -> Cell:
        """The cell itself."""
        if CELLS[self.cell] is Elman:
            return Elman(ACTIVATIONS[NAMES[self.activation]], self.leak)
        return CELLS[self.cell]()


def walk(
    choices: Choices, x: Tensor, state: State, weights: Weights[Tensor], batch_sizes: BatchSizes
) -> tuple[Tensor, State]:
    """`kernels.walk` by the native kernels, for a dtype and device they have."""
    h0, c0 = state if choices.has_c else (state[0], None)
    operands = (x, h0, c0, *weights[:4])
    keep = is_grad_enabled() and any(t is not None and t.requires_grad for t in operands)
    if _traced(operands):
        y, _, _, h_n, c_n = torch.ops.bptt.walk(*choices[:3], keep, batch_sizes, *operands)
    else:  # the operator without its dispatcher, which costs more than a short walk
        walked = y, _, _, h_n, c_n = _native.forward(choices, batch_sizes, keep, get_num_threads(), operands)
        if keep:
            y, h_n, c_n = _graph(choices, batch_sizes, walked, *operands)
    return y, (h_n, cast("Tensor", c_n)) if choices.has_c else (h_n,)


def ordinary_walk(
    choices: Choices, names: Weights[str], parameters: dict[str, Any], x: Any, hx: Any, I: int, H: int
) -> tuple[Tensor, State] | None:
    """The walk of a whole module of one layer and direction, where all is as it mostly is.

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
    found = _native.ordinary(choices, names, parameters, x, hx, I, H, is_grad_enabled(), get_num_threads())
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


def _traced(tensors: Sequence) -> bool:
    """Whether a walk must be an operator: somebody looks on, or a tensor is of a subclass."""
    return _watched() or not {type(t) for t in tensors} <= PLAIN


class _EagerWalk(torch.autograd.Function):
    """The operator's place in the graph, for a walk that was walked without its dispatcher."""

    @staticmethod
    def forward(
        ctx: Any, choices: Choices, batch_sizes: BatchSizes, walked: tuple, *operands: Tensor | None
    ) -> Any:
        y, c, kept, h_n, c_n = walked
        x, h0, c0, W_ih, W_hh, b_ih, b_hh = operands
        ctx.choices, ctx.batch_sizes = choices, batch_sizes
        ctx.set_materialize_grads(False)
        # What a first backward reads is saved; of the others it wants the shapes, and a second one the values.
        ctx.aside = W_ih, b_ih, b_hh
        ctx.versions = _versions(ctx.aside)
        ctx.save_for_backward(x, h0, c0, W_ih if ctx.needs_input_grad[3] else None, W_hh, y, c, kept)
        return y, h_n, c_n

    @staticmethod
    def backward(ctx: Any, *seeds: Tensor | None) -> Any:
        x, h0, c0, _, W_hh, *walked = ctx.saved_tensors
        W_ih, b_ih, b_hh = ctx.aside
        if is_grad_enabled() and _versions(ctx.aside) != ctx.versions:
            raise RuntimeError(
                "a weight was changed in place after the forward pass, and gradients that are to be "
                "differentiated again need it as it was; change it after the backward pass, or clone it before"
            )
        operands = x, h0, c0, W_ih, W_hh, b_ih, b_hh
        return None, None, None, *_way_back(ctx, ctx.needs_input_grad[3:], operands, tuple(walked), seeds)


# `_EagerWalk.apply` without its search for tensors of functorch's, which never get here.
_graph: Any = super(torch.autograd.Function, _EagerWalk).apply  # pyright: ignore[reportAttributeAccessIssue]


def _versions(tensors: tuple[Tensor | None, ...]) -> list[int | None]:
    return [None if t is None else t._version for t in tensors]


def _way_back(
    ctx: Any, wanted: tuple[bool, ...], operands: tuple, walked: tuple, seeds: tuple
) -> Sequence[Tensor | None]:
    """The gradients of the operands, None where not wanted."""
    if is_grad_enabled():
        return _second_order(ctx.choices, ctx.batch_sizes, wanted, operands, seeds)
    if not _traced(operands):
        return _gradients(ctx.choices, ctx.batch_sizes, wanted, operands, walked, seeds)
    walk_backward: Any = torch.ops.bptt.walk_backward
    gradients = walk_backward(*ctx.choices[:3], ctx.batch_sizes, list(wanted), *operands, *walked, *seeds)
    return [g if want else None for g, want in zip(gradients, wanted, strict=True)]


def _gradients(
    choices: Choices,
    batch_sizes: BatchSizes,
    wanted: tuple[bool, ...],
    operands: tuple,
    walked: tuple,
    seeds: tuple,
    stops: tuple = (None, None, None),
) -> list[Tensor | None]:
    """∂L/∂(x, h0, c0, W_ih, W_hh, b_ih, b_hh), None where not wanted.

    Args:
        walked: y, c, kept.
        seeds: ∂L/∂(y, h_n, c_n).
        stops: room for delta_ih, delta_hh and dh of every step, as `unfolded.Adjoint` has them, where wanted.
    """
    return _native.backward(choices, batch_sizes, wanted, get_num_threads(), operands, walked, seeds, stops)


def _second_order(
    choices: Choices, batch_sizes: BatchSizes, wanted: tuple[bool, ...], operands: tuple, seeds: tuple
) -> list[Tensor | None]:
    """`_gradients` through the reference, so that they can be differentiated again."""
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
    """`unfolded.unfold` by the native kernels, without a graph; x (T, B, I)."""
    h0, c0 = state if choices.has_c else (state[0], None)
    with torch.no_grad():
        operands = (x, h0, c0, *weights[:4])
        y, c, gates, h_n, c_n = _native.forward(choices, None, True, get_num_threads(), operands)
        none = y[..., :0]
        cs = none if c is None else torch.cat([cast("Tensor", c0)[None], c])
        kept = Kept(none, none, none if gates is None else gates)
        if c is not None:
            kept = kept._replace(c_prev=cs[:-1], c=cs[1:])
        return Unfolded(torch.cat([h0[None], y]), (h_n,) if c_n is None else (h_n, c_n), kept)


def adjoint(
    cell: Cell, x: Tensor, unfolded: Unfolded, weights: Weights[Tensor], d_outputs: Tensor | None, d_state: State
) -> Adjoint:
    """`unfolded.unfold_adjoint` by the native kernels, of what `record` returned, or of its steps rearranged."""
    choices = cast("Choices", Choices.of(cell))
    states, _, kept = unfolded
    h0, y = states[0], states[1:]
    c0, c = (kept.c_prev[0], kept.c) if choices.has_c else (None, None)
    delta_hh = y.new_empty((*y.shape[:-1], cell.gates * y.shape[-1]))
    delta_ih = torch.empty_like(delta_hh) if CELLS[choices.cell] is GRU else delta_hh
    dh = torch.empty_like(y)
    _, d_h0, d_c0, *_ = _gradients(
        choices,
        None,
        (False, True, choices.has_c, False, False, False, False),
        (x, h0, c0, *weights[:4]),
        (y, c, _some(kept.gates)),
        (d_outputs, *d_state, *([] if choices.has_c else [None])),
        (None if delta_ih is delta_hh else delta_ih, delta_hh, dh),
    )
    d_initial = (cast("Tensor", d_h0), cast("Tensor", d_c0)) if choices.has_c else (cast("Tensor", d_h0),)
    return Adjoint(delta_ih, delta_hh, dh, d_initial)


def _check(choices: Choices, batch_sizes: BatchSizes, operands: Sequence[Tensor | None]) -> None:
    """What the native code takes on trust, for callers of the bare operator; modules check it themselves."""
    x, h0, c0 = cast("list[Tensor]", operands[:3])
    (B, H), I = h0.shape, x.shape[-1]
    rows = CELLS[choices.cell].gates * H
    whole = (x.shape[0], B, I) if batch_sizes is None else (sum(batch_sizes), I)
    names = ("x", "h0", "c0", "W_ih", "W_hh", "b_ih", "b_hh")
    shapes = (whole, (B, H), (B, H), (rows, I), (rows, H), (rows,), (rows,))
    for name, t, shape in zip(names, operands, shapes, strict=True):
        if t is not None and (tuple(t.shape) != tuple(shape) or t.dtype != x.dtype):
            raise ValueError(f"{name} is {tuple(t.shape)}, {t.dtype}; {tuple(shape)}, {x.dtype} is needed")
    if choices.has_c != (c0 is not None):
        raise ValueError("c0 is for the LSTM, and needed there")


def _some(t: Tensor | None) -> Tensor | None:
    """None for the empty tensor by which an operator says so."""
    return None if t is None or t.numel() == 0 else t


def _all_tensors(like: Tensor, results: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """An operator returns tensors: an empty one for each None."""
    return tuple(like.new_empty(0) if result is None else result for result in results)


def _choices(cell: int, activation: int, leak: float) -> Choices:
    """What an operator was told, in full."""
    if CELLS[cell] is not Elman:
        return Choices(cell, 0, 1.0, 4)
    return cast("Choices", Choices.of(Elman(ACTIVATIONS[NAMES[activation]], leak)))


def _walk_cpu(
    cell: int, activation: int, leak: float, keep: bool, batch_sizes: BatchSizes, *operands: Any
) -> tuple[Tensor, ...]:
    choices = _choices(cell, activation, leak)
    _check(choices, batch_sizes, operands)
    walked = _native.forward(choices, batch_sizes, keep, get_num_threads(), operands)
    return _all_tensors(operands[0], walked)


def _walk_fake(
    cell: int, activation: int, leak: float, keep: bool, _batch_sizes: BatchSizes, x: Tensor, h0: Tensor, *_: Any
) -> tuple[Tensor, ...]:
    choices, rows, H = _choices(cell, activation, leak), x.shape[:-1], h0.shape[1]
    y, last = x.new_empty((*rows, H)), x.new_empty(h0.shape)
    kept = x.new_empty((*rows, choices.keeps * H)) if keep and choices.keeps else None
    if not choices.has_c:
        return _all_tensors(x, (y, None, kept, last, None))
    return _all_tensors(x, (y, torch.empty_like(y), kept, last, torch.empty_like(last)))


def _backward_cpu(
    cell: int, activation: int, leak: float, batch_sizes: BatchSizes, wanted: list[bool], *tensors: Any
) -> list[Tensor]:
    choices, operands, walked = _choices(cell, activation, leak), tensors[:7], tensors[7:10]
    walked = (walked[0], *map(_some, walked[1:]))
    gradients = _gradients(choices, batch_sizes, tuple(wanted), operands, walked, tensors[10:])
    return list(_all_tensors(tensors[0], gradients))


def _backward_fake(
    cell: int, activation: int, leak: float, batch_sizes: BatchSizes, wanted: list[bool], *tensors: Any
) -> list[Tensor]:
    x, *_ = sources = tensors[:7]
    return [x.new_empty(s.shape if want else 0) for s, want in zip(sources, wanted, strict=True)]


def _setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
    cell, activation, leak, _, batch_sizes, *operands = inputs
    y, c, kept, _, _ = output
    ctx.choices, ctx.batch_sizes = _choices(cell, activation, leak), batch_sizes
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(c, kept)
    ctx.save_for_backward(*operands, y, c, kept)


def _backward(ctx: Any, dy: Tensor | None, _dc: Any, _dkept: Any, dh_n: Tensor | None, dc_n: Tensor | None) -> Any:
    operands, walked = ctx.saved_tensors[:7], ctx.saved_tensors[7:]
    wanted = tuple(ctx.needs_input_grad[5:])
    return (None,) * 5 + tuple(_way_back(ctx, wanted, operands, walked, (dy, dh_n, dc_n)))


_library.impl("walk", _walk_cpu, "CPU")
_library.impl("walk_backward", _backward_cpu, "CPU")
torch.library.register_fake("bptt::walk", _walk_fake, lib=_library)
torch.library.register_fake("bptt::walk_backward", _backward_fake, lib=_library)
torch.library.register_autograd("bptt::walk", _backward, setup_context=_setup_context, lib=_library)
