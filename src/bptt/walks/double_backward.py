"""Gradients of a walk that can themselves be differentiated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch._C import _has_storage

from ..equations.protocol import State
from .call import Call
from .stack import Stack

Walked = TypeVar("Walked", Call, Stack)


def are_batched(seeds: Sequence[Tensor | None]) -> bool:
    """Whether many gradients come at once, as `torch.autograd.grad(is_grads_batched=True)` sends them."""
    return not all(seed is None or _has_storage(seed) for seed in seeds)


def differentiable_gradients(
    call: Walked,
    walk: Callable[[Walked], tuple[Tensor, State]],
    wanted: Sequence[bool],
    d_outputs: Tensor | None,
    d_state: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """The gradients of a walk in its `tensors`, under autograd where that is on.

    Args:
        call: a layer, or a whole stack.
        walk: its walk by plain operations.
        wanted: for each tensor, whether its gradient is computed; None stands for the others.
        d_outputs, d_state: ∂E/∂(outputs) and ∂E/∂(final state), None for zero.
    """
    again = torch.is_grad_enabled()  # not where many gradients come at once
    with torch.enable_grad():
        # Aliases: were an input computed from another one, its own history must not count here.
        call = call.each(lambda t: t.view_as(t))
        y, state = walk(call)
        results = (y, *state)
    entering = [(result, d) for result, d in zip(results, (d_outputs, *d_state), strict=True) if d is not None]
    walked, seeds = [result for result, _ in entering], [d for _, d in entering]
    sources = [t for t, want in zip(call.tensors(), wanted, strict=True) if want and t is not None]
    found = iter(torch.autograd.grad(walked, sources, seeds, create_graph=again, allow_unused=True))
    return [next(found) if want else None for want in wanted]
