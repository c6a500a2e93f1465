"""The native walks as registered operators: torch.compile and torch.export see each as one node.

`bptt::walk` and `bptt::walk_backward` run on CPUs in float32 and float64. What backward needs is an output of the
forward operator; their arithmetic, the checks of their arguments and the rule for second derivatives are those of
`kernels` and `cpu_autograd`, which are imported when an operator is first called: `import bptt` registers the
operators at little cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.compiler import is_compiling

if TYPE_CHECKING:
    from ..equations.protocol import State
    from .call import BatchSizes
    from .kernels import Choices, Operands

_library = torch.library.Library("bptt", "DEF")
_library.define(
    "walk(str cell, str activation, float leak, bool keep, int[]? batch_sizes, Tensor x, Tensor h0, Tensor? c0, "
    "Tensor W_ih, Tensor W_hh, Tensor? b_ih, Tensor? b_hh) "
    "-> (Tensor y, Tensor c, Tensor kept, Tensor h_n, Tensor c_n)"
)
_library.define(
    "walk_backward(str cell, str activation, float leak, int[]? batch_sizes, bool[] wanted, Tensor x, Tensor? h0, "
    "Tensor? c0, Tensor W_ih, Tensor W_hh, Tensor? b_ih, Tensor? b_hh, Tensor y, Tensor? c, Tensor? kept, "
    "Tensor? dy, Tensor? dh_n, Tensor? dc_n) -> Tensor[]"
)


def operator_walk(
    choices: Choices, batch_sizes: BatchSizes, keep: bool, operands: Operands
) -> tuple[Tensor, State]:
    """h after each step and the final state, by the operator; `keep`: whether a gradient is wanted."""
    from .call import alias

    tensors = list(operands)
    if not is_compiling():  # a compiler has the tensors to itself
        tensors = [t if t is None else alias(t) for t in tensors]
    y, _, _, h_n, c_n = torch.ops.bptt.walk(*choices, keep, batch_sizes, *tensors)
    return y, (h_n, c_n) if choices.has_c() else (h_n,)


def all_tensors(like: Tensor, results: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """An operator returns tensors: an empty one for each None."""
    return tuple(like.new_empty(0) if result is None else result for result in results)


def saved_of(tensors: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """y, c, kept; None for each of the last two that is empty."""
    y, *others = tensors
    return (y, *(None if t is None or t.numel() == 0 else t for t in others))


def _choices(cell: str, activation: str, leak: float) -> Choices:
    from .kernels import Choices

    return Choices(cell, activation, leak)


def _walk_cpu(
    cell: str, activation: str, leak: float, keep: bool, batch_sizes: BatchSizes, *operands: Any
) -> tuple[Tensor, ...]:
    from .kernels import Operands, forward

    walked = forward(_choices(cell, activation, leak), batch_sizes, keep, Operands(*operands))
    return all_tensors(operands[0], walked[:5])


def _walk_fake(
    cell: str, activation: str, leak: float, keep: bool, _batch_sizes: BatchSizes, x: Tensor, h0: Tensor, *_: Any
) -> tuple[Tensor, ...]:
    choices, rows, H = _choices(cell, activation, leak), x.shape[:-1], h0.shape[1]
    y, last = x.new_empty((*rows, H)), x.new_empty(h0.shape)
    keeps = choices.keeps()  # checks the cell and the activation
    kept = x.new_empty((*rows, keeps * H)) if keep and keeps else None
    if not choices.has_c():
        return all_tensors(x, (y, None, kept, last, None))
    return all_tensors(x, (y, torch.empty_like(y) if keep else None, kept, last, torch.empty_like(last)))


def _backward_cpu(
    cell: str, activation: str, leak: float, batch_sizes: BatchSizes, wanted: list[bool], *tensors: Any
) -> list[Tensor]:
    from .kernels import backward

    saved = saved_of(tensors[7:10])
    choices = _choices(cell, activation, leak)
    gradients = backward(choices, batch_sizes, tuple(wanted), tensors[:7], saved, tensors[10:])
    return list(all_tensors(tensors[0], gradients))


def _backward_fake(
    cell: str, activation: str, leak: float, batch_sizes: BatchSizes, wanted: list[bool], *tensors: Any
) -> list[Tensor]:
    x, *_ = sources = tensors[:7]
    return [x.new_empty(s.shape if want and s is not None else 0) for s, want in zip(sources, wanted, strict=True)]


def _setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
    cell, activation, leak, _, batch_sizes, *operands = inputs
    y, c, kept, _, _ = output
    ctx.choices, ctx.batch_sizes = _choices(cell, activation, leak), batch_sizes
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(c, kept)
    ctx.save_for_backward(*operands, y, c, kept)


def _backward(ctx: Any, dy: Tensor | None, _dc: Any, _dkept: Any, dh_n: Tensor | None, dc_n: Tensor | None) -> Any:
    from .cpu_autograd import gradients

    tensors, wanted = ctx.saved_tensors, tuple(ctx.needs_input_grad[5:])  # read once, as checkpoints want
    operands, saved = tensors[:7], saved_of(tensors[7:])
    seeds = dy, dh_n, dc_n if ctx.choices.has_c() else None
    return (None,) * 5 + tuple(gradients(ctx.choices, ctx.batch_sizes, wanted, operands, saved, seeds))


_library.impl("walk", _walk_cpu, "CPU")
_library.impl("walk_backward", _backward_cpu, "CPU")
torch.library.register_fake("bptt::walk", _walk_fake, lib=_library)
torch.library.register_fake("bptt::walk_backward", _backward_fake, lib=_library)
torch.library.register_autograd("bptt::walk", _backward, setup_context=_setup_context, lib=_library)
