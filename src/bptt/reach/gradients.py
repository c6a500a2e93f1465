"""Gradients summed outside `.grad` and added to it at the end, and the check that a loss is a scalar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..losses import LOSSES
from ..walks.call import HALF
from .device_errors import naming_devices_of_loss


class Gradients:
    """∂L/∂(every leaf that outputs depend on), summed over what is gathered; `.grad` is untouched until `land`.

    Hooks on the leaves see the sum, once, when it lands.
    """

    def __init__(self) -> None:
        self.sums: dict[int, tuple[Tensor, Tensor]] = {}  # by the leaf's id: the leaf and its gradient

    def gather(
        self, outputs: Sequence[Tensor], seeds: Sequence[Tensor | None], apart: Sequence[Tensor] = ()
    ) -> list[Tensor | None]:
        """Backpropagate from outputs, which require gradients, and add the gradients of the leaves.

        Args:
            outputs, seeds: tensors and ∂L/∂ of each; None for a scalar's 1.
            apart: leaves whose gradients are returned instead.
        """
        skipped = {id(t) for t in apart}
        found = [leaf for leaf in leaves_behind(outputs) if id(leaf) not in skipped]
        with _hooks_off(found):
            shares: list[Tensor | None] = list(
                torch.autograd.grad(outputs, [*apart, *found], seeds, allow_unused=True)
            )
        for leaf in reversed(found):
            share = shares.pop()  # so that each is freed when it has been added
            if share is not None:
                self._add(leaf, share)
        return shares

    def _add(self, leaf: Tensor, share: Tensor) -> None:
        if id(leaf) in self.sums:
            total = self.sums[id(leaf)][1]
            total += share
        else:  # a copy, since autograd may return a tensor that is used elsewhere
            wide = share.dtype in HALF and not share.is_sparse
            self.sums[id(leaf)] = leaf, share.float() if wide else share.clone()

    def land(self, tensors: Sequence[Tensor] = (), gradients: Sequence[Tensor] = ()) -> None:
        """Add the sums to `.grad`, and backpropagate the gradients of further tensors through their history."""
        roots = [leaf for leaf, _ in self.sums.values()]
        sums = [total.to(leaf.dtype) for leaf, total in self.sums.values()]
        self.sums = {}
        if roots or tensors:
            torch.autograd.backward([*roots, *tensors], [*sums, *gradients])


def backward_or_restore(loss: Tensor) -> None:
    """`loss.backward()`; if it fails, every `.grad` is as it was."""
    found = leaves_behind([loss])
    before = [None if leaf.grad is None else leaf.grad.clone() for leaf in found]
    try:
        loss.backward()
    except BaseException:
        for leaf, gradient in zip(found, before, strict=True):
            leaf.grad = gradient
        raise


def leaves_behind(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The leaves that require gradients in the history of some tensors."""
    found: list[Tensor] = [t for t in outputs if t.is_leaf]
    waiting: list[Any] = [t.grad_fn for t in outputs if t.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        leaf = getattr(node, "variable", None)  # AccumulateGrad has one
        if leaf is not None:
            found.append(leaf)
        for before, _ in node.next_functions:
            if before is not None and before not in seen:
                seen.add(before)
                waiting.append(before)
    return list({id(leaf): leaf for leaf in found}.values())


@contextmanager
def _hooks_off(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Without the hooks that `register_hook` put on leaves."""
    hooked = [(t, t._backward_hooks) for t in tensors if t._backward_hooks]
    for t, _ in hooked:
        t._backward_hooks = None
    try:
        yield
    finally:
        for t, hooks in hooked:
            t._backward_hooks = hooks


def check_criterion(criterion: Any) -> None:
    """Raise a TypeError for a criterion that is no function of y and d."""
    if isinstance(criterion, type):
        name = criterion.__name__
        raise TypeError(f"criterion must be a function (y, d) -> loss, got the class {name}; pass {name}()")
    if not callable(criterion):
        by_name = isinstance(criterion, str) and criterion in LOSSES
        hint = f"; pass the function bptt.{criterion}" if by_name else ""
        raise TypeError(f"criterion must be a function (y, d) -> loss, got {type(criterion).__name__}{hint}")


def scalar_loss(criterion: Callable[[Tensor, Any], Tensor], y: Tensor, d: Any) -> Tensor:
    """criterion(y, d), checked.

    Raises:
        TypeError, ValueError: it is no real scalar, nothing it depends on requires gradients, the criterion does
            not take d, or d or a weight of the criterion is on another device than y.
    """
    check_criterion(criterion)
    try:
        with naming_devices_of_loss(criterion, y, d):
            loss = criterion(y, d)
    except (AttributeError, TypeError) as error:
        if isinstance(d, Tensor):
            raise
        raise TypeError(f"the criterion does not take this d, of type {type(d).__name__}: {error}") from error
    if not isinstance(loss, Tensor):
        raise TypeError(f"the criterion must return a scalar tensor, got {type(loss).__name__}")
    if loss.dim() != 0:
        raise ValueError(
            f"the criterion must return a scalar tensor, got shape {tuple(loss.shape)}; sum it, or take its mean"
        )
    if loss.is_complex():
        raise TypeError(
            f"the criterion must return a real scalar, got {str(loss.dtype).removeprefix('torch.')}; "
            "take its .real or its .abs()"
        )
    if not loss.requires_grad:
        why = "the criterion leaves y out or detaches it" if y.requires_grad else "the model's weights are frozen"
        raise ValueError(f"the loss depends on nothing that requires gradients: {why}")
    return loss
