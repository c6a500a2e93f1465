"""The arguments of one layer's walk through time, as one value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch._C import _are_functorch_transforms_active
from torch.autograd import forward_ad
from torch.compiler import is_compiling
from torch.nn import Parameter

from ..equations.protocol import Equations, State, Weights

BatchSizes = list[int] | None
HALF = (torch.float16, torch.bfloat16)


class Call(NamedTuple):
    """What one layer and direction is walked with.

    It has no properties: torch 2.10's compiler reads none of a NamedTuple.
    """

    cell: Equations
    x: Tensor  # (T, B, I), or (N, I) with batch_sizes; T ≥ 1
    state: State  # the initial state, a tuple of (B, ·)
    weights: Weights[Tensor]
    batch_sizes: BatchSizes = None  # rows of each step, not increasing; None where all steps have B rows

    def tensors(self) -> tuple[Tensor | None, ...]:
        """x, the state, and the five weights."""
        return (self.x, *self.state, *self.weights)

    def with_tensors(self, tensors: Iterable[Tensor | None]) -> Call:
        """The same call of other tensors, in the order of `tensors`."""
        x, *rest = tensors
        n = len(self.state)
        return self._replace(x=x, state=tuple(rest[:n]), weights=Weights(*rest[n:]))  # pyright: ignore

    def each(self, function: Callable[[Tensor], Tensor]) -> Call:
        """The same call of the function's value for each tensor."""
        return self.with_tensors(None if t is None else function(t) for t in self.tensors())

    def in_dtype(self, dtype: torch.dtype) -> Call:
        """The same call, converted."""
        return self.each(lambda t: t.to(dtype))

    def repeated(self, copies: int) -> Call:
        """The same call of copies of every sequence, side by side: rows (sequence, copy)."""
        sizes = self.batch_sizes and [rows * copies for rows in self.batch_sizes]
        x, *state = (repeated_rows(t, copies) for t in (self.x, *self.state))
        return self._replace(x=x, state=tuple(state), batch_sizes=sizes)

    def wants_gradients(self) -> bool:
        """Whether autograd has to follow the walk."""
        return want_gradients(self.tensors())

    def check_memory(self) -> None:
        """Refuse a tensor whose storage was resized below it; torch's own operations would read past its end."""
        states = (f"state {number}" for number in range(len(self.state)))
        for name, t in zip(("x", *states, *self.weights._fields), self.tensors(), strict=True):
            if t is None or type(t) not in (Tensor, Parameter) or t.layout != torch.strided:
                continue
            last = sum((n - 1) * stride for n, stride in zip(t.shape, t.stride(), strict=True))
            if t.numel() and (t.storage_offset() + last + 1) * t.element_size() > t.untyped_storage().nbytes():
                raise ValueError(
                    f"{name} has lost its memory: its storage was resized to less than the tensor spans; give it "
                    "its values again before the call"
                )


def repeated_rows(rows: Tensor, copies: int) -> Tensor:
    """(..., B, ·) -> (..., B·copies, ·): the copies of a row stand together."""
    return rows.repeat_interleave(copies, dim=-2)


def lacks_memory(tensors: Iterable[Tensor | None]) -> bool:
    """Whether a tensor's storage may be too small for it, which `check_memory` decides at ten times the cost.

    False where tensors are traced or batched, and have no storage to look at.
    """
    if is_compiling() or is_transformed():
        return False
    return any(
        t is not None and t.untyped_storage().nbytes() < t.nbytes + t.storage_offset() * t.itemsize
        for t in tensors
    )


def want_gradients(tensors: Iterable[Tensor | None]) -> bool:
    """Whether autograd is on, and follows one of the tensors."""
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def is_transformed() -> bool:
    """Whether vmap, grad, jvp or dual numbers are active."""
    return _are_functorch_transforms_active() or forward_ad._current_level >= 0


def needs_plain_operations() -> str | None:
    """Why autograd functions with a backward pass of their own cannot be used here; None where they can."""
    if is_transformed():
        return "vmap, grad, jvp or forward mode is active, which takes plain operations"
    if is_compiling():
        return "torch.compile or torch.export is tracing, which takes plain operations"
    return None


def alias(t: Tensor) -> Tensor:
    """t for autograd, which keeps its memory when `t.data` is given another one."""
    return t.view_as(t) if t.requires_grad else t.detach()
