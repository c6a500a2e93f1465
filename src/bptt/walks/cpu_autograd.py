"""The fused CPU kernels' place in autograd's graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, is_grad_enabled
from torch._C import _get_tracing_state, _len_torch_dispatch_stack
from torch._C._autograd import _top_saved_tensors_default_hooks
from torch.compiler import is_compiling
from torch.nn import Parameter

from ..equations import Weights
from .call import BatchSizes, Call, alias
from .double_backward import are_batched, differentiable_gradients
from .kernels import Choices, Operands, backward, forward, weights_as_walked
from .unfold import walk_unfolded

PLAIN_TYPES = {Tensor, Parameter, type(None)}


def is_watched() -> bool:
    """Whether a compiler, an export, a tracer or a dispatch mode needs to see operators."""
    return is_compiling() or _len_torch_dispatch_stack() > 0 or is_traced()


def is_traced() -> bool:
    """Whether torch.jit.trace is recording."""
    return _get_tracing_state() is not None


def must_be_an_operator(tensors: Sequence) -> bool:
    """Whether a walk must be a registered operator: it is watched, or a tensor is of a subclass."""
    return is_watched() or not {type(t) for t in tensors} <= PLAIN_TYPES


class _FusedWalk(torch.autograd.Function):
    """The operator's place in the graph, for a walk that bypassed the dispatcher.

    Backward uses the tensors as they were walked, or raises: `t.data = ...` and `Module.half()` touch neither the
    aliases (of x and the state) nor `origin`, which has the weights.
    """

    @staticmethod
    def forward(
        ctx: Any, choices: Choices, batch_sizes: BatchSizes, walked: tuple, *operands: Tensor | None
    ) -> Any:
        y, c, kept, h_n, c_n, origin = walked
        ctx.walk = choices, batch_sizes, operands[3:], origin
        ctx.returned_changed = False
        ctx.set_materialize_grads(False)
        saved_y, saved_c = y, c
        if _top_saved_tensors_default_hooks(True) is not None:  # then a change of y or c in place is not noticed
            saved_y, saved_c = y.clone(), c.clone() if c is c_n and c is not None else c
        ctx.save_for_backward(saved_y, *operands[:3], saved_c, kept)
        return y, h_n, c_n

    @staticmethod
    def backward(ctx: Any, *seeds: Tensor | None) -> Any:
        choices, batch_sizes, weights, origin = ctx.walk
        wanted = ctx.needs_input_grad[3:]
        try:
            y, x, h0, c0, c, kept = ctx.saved_tensors
        except RuntimeError:  # something was changed in place: if that is y or c, the caller's, we do without
            for returned in (0, 4)[: 1 + choices.has_c()]:  # not checked from now on
                ctx._raw_saved_tensors[returned].register_hooks(_same, _same)
            y, x, h0, c0, c, kept = ctx.saved_tensors
            ctx.returned_changed = True
        if is_grad_enabled() or ctx.returned_changed or is_watched():
            as_walked = weights_as_walked(origin, weights)
            if is_grad_enabled() and as_walked is not weights:
                raise RuntimeError(
                    "a weight's data was replaced after the forward pass, and gradients that are to be "
                    "differentiated again need it as it was; replace it after the backward pass"
                )
            if ctx.returned_changed and not is_grad_enabled():  # walked again; a module's state is (1, B, H)
                h, c_0 = (s if s is None or s.dim() == 2 else s.squeeze(0) for s in (h0, c0))
                steps = x[None] if batch_sizes is None and x.dim() == 2 else x
                again = forward(choices, batch_sizes, True, Operands(steps, h, c_0, *as_walked))  # pyright: ignore
                y, c, kept = (s if s is None or steps is x else s[0] for s in again.saved)
            operands = x, h0, c0, *as_walked
            found = gradients(choices, batch_sizes, wanted, operands, (y, c, kept), seeds)
        else:
            operands = x, h0, c0, *weights
            try:
                found = backward(choices, batch_sizes, wanted, operands, (y, c, kept), seeds, origin=origin)
            except ValueError:
                if not are_batched(seeds):
                    raise
                operands = x, h0, c0, *weights_as_walked(origin, weights)
                found = _second_order(choices, batch_sizes, wanted, operands, seeds)
        return None, None, None, *found


def _same(t: Tensor) -> Tensor:
    return t


# `_FusedWalk.apply` without its search for functorch's tensors, which never get here.
_apply: Any = super(torch.autograd.Function, _FusedWalk).apply  # pyright: ignore[reportAttributeAccessIssue]


def put_in_graph(
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


def gradients(
    choices: Choices,
    batch_sizes: BatchSizes,
    wanted: tuple[bool, ...],
    operands: tuple,
    saved: tuple,
    seeds: tuple,
) -> Sequence[Tensor | None]:
    """`backward`, or as an operator where that is needed, or so that it can be differentiated where grad is on."""
    if is_grad_enabled():
        return _second_order(choices, batch_sizes, wanted, operands, seeds)
    if not must_be_an_operator(operands):
        return backward(choices, batch_sizes, wanted, operands, saved, seeds)
    walk_backward: Any = torch.ops.bptt.walk_backward
    found = walk_backward(*choices, batch_sizes, list(wanted), *operands, *saved, *seeds)
    return [g if want else None for g, want in zip(found, wanted, strict=True)]


def _second_order(
    choices: Choices, batch_sizes: BatchSizes, wanted: tuple[bool, ...], operands: tuple, seeds: tuple
) -> list[Tensor | None]:
    """The gradients by plain operations, so that they can be differentiated again."""
    x, h0, c0, *weights = operands
    dy, *d_state = seeds
    if batch_sizes is None and x.dim() == 2:  # one step of a cell
        with torch.enable_grad():
            x = x.unsqueeze(0)
        dy = None if dy is None else dy.unsqueeze(0)
        d_x, *others = _second_order(choices, None, wanted, (x, h0, c0, *weights), (dy, *d_state))
        return [None if d_x is None else d_x.squeeze(0), *others]
    n = 1 + choices.has_c()
    state = (h0, c0)[:n]
    if h0 is None:  # zeros, of which no gradient is wanted
        batch = x.shape[1] if batch_sizes is None else batch_sizes[0]
        state = (x.new_zeros(batch, weights[1].shape[1]),) * n
    of_module = state[0].dim() == 3  # (1, B, H)
    if of_module:
        with torch.enable_grad():
            state = tuple(s.squeeze(0) for s in state)
    d_state = [d if d is None else d.reshape(state[0].shape) for d in d_state[:n]]
    call = Call(choices.equations(), x, state, Weights(*weights), batch_sizes)
    of_call = [*wanted[: 1 + n], *wanted[3:], False]
    d_x, *others = differentiable_gradients(call, walk_unfolded, of_call, dy, d_state)
    d_initial = [d if d is None or not of_module else d.unsqueeze(0) for d in others[:n]]
    return [d_x, *d_initial, *[None] * (2 - n), *others[n:-1]]
