"""cuDNN's place in autograd's graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C._autograd import _get_current_graph_task_keep_graph, _top_saved_tensors_default_hooks

from .cudnn_calls import StackOperands, Terms, cudnn_backward, cudnn_forward
from .double_backward import are_batched, differentiable_gradients
from .unfold import walk_unfolded


class CudnnWalk(torch.autograd.Function):
    """A whole stack's walk by cuDNN: y, h_n and c_n of its terms, x, h0, c0 and weights."""

    @staticmethod
    def forward(ctx: Any, terms: Terms, x: Tensor, h0: Tensor, c0: Tensor | None, *weights: Tensor) -> tuple:
        y, h_n, c_n, reserve, buffer = cudnn_forward(terms, True, x, h0, c0, weights)
        ctx.terms, ctx.y_changed = terms, False
        ctx.set_materialize_grads(False)
        # Where hooks say how tensors are saved, a change of y in place is not noticed.
        saved = y if _top_saved_tensors_default_hooks(True) is None else y.clone()
        ctx.save_for_backward(saved, x, h0, c0, *weights, reserve, buffer)
        return y, h_n, c_n

    @staticmethod
    def backward(ctx: Any, *seeds: Tensor | None) -> tuple:
        y, x, h0, c0, *weights, reserve, buffer = saved_tensors_of(ctx)
        terms, wanted, operands = ctx.terms, ctx.needs_input_grad[1:], (x, h0, c0)
        if torch.is_grad_enabled() or are_batched(seeds):
            return None, *differentiable(terms, wanted, operands, weights, seeds)
        if ctx.y_changed:
            y, _, _, reserve, buffer = cudnn_forward(terms, True, x, h0, c0, weights)
        elif _get_current_graph_task_keep_graph():  # another backward pass may need the reserve as it is
            reserve = reserve.clone()
        return None, *cudnn_backward(terms, wanted, operands, weights, (y, reserve, buffer), seeds)


def saved_tensors_of(ctx: Any) -> tuple[Any, ...]:
    """A walk's saved tensors, of which the first is y; where the caller changed that, sets `ctx.y_changed`.

    Raises:
        RuntimeError: another one was changed in place.
    """
    try:
        return ctx.saved_tensors
    except RuntimeError:  # if that is y, which is the caller's, the walk is walked again
        ctx._raw_saved_tensors[0].register_hooks(_same, _same)  # y is not checked from now on
        saved, ctx.y_changed = ctx.saved_tensors, True
        return saved


def _same(t: Tensor) -> Tensor:
    return t


def differentiable(
    terms: Terms,
    wanted: Sequence[bool],
    operands: StackOperands,
    weights: Sequence[Tensor],
    seeds: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """`cudnn_backward` by plain operations, so that it can be differentiated again."""
    stack = terms.stack(*operands, weights)
    n = len(stack.state)
    of_weights = iter(wanted[3:])
    of_stack = [*wanted[: 1 + n], *(w is not None and next(of_weights) for w in stack.tensors()[1 + n :])]
    dy, *d_state = seeds
    dx, *others = differentiable_gradients(stack, lambda s: s.walk(walk_unfolded), of_stack, dy, d_state[:n])
    listed = [d for d, w in zip(others[n:], stack.tensors()[1 + n :], strict=True) if w is not None]
    return [dx, *others[:n], *[None] * (2 - n), *listed]
