"""Truncation bias: truncated gradients compared with the full one, by how far they go back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..trees import Tree, leaves
from .gradients import Gradients
from .replay import CheckpointedBackward
from .sequence_loss import SequenceLoss
from .side_effects import undisturbed
from .truncated import Truncated, check_constant, check_reach
from .walker import Model

Sums = dict[int, tuple[Tensor, Tensor]]  # by a leaf's id: the leaf, and its gradient


class Bias(NamedTuple):
    """How far a truncated gradient is from the full one.

    Attributes:
        k2: steps it goes back.
        cosine: of the angle between the two; 1 is the same direction.
        norm_ratio: ‖truncated‖ / ‖full‖.
    """

    k2: int
    cosine: float
    norm_ratio: float


def truncation_bias(
    model: Model,
    x: Any,
    d: Any,
    criterion: Callable[[Tensor, Any], Tensor],
    *,
    k1: int = 20,
    k2s: Iterable[int] | None = None,
    state: Tree = None,
    time: int | None = None,
) -> list[Bias]:
    """Compare truncated gradients with the full one, at the weights as they are.

    The loss is the sum of criterion(y, d) over windows of k1 steps; its gradient by truncated BPTT, without
    updates between the windows, is compared with its gradient by full BPTT, over all the model's weights at once.
    At k2 = T they are the same. Put the model into eval mode, where dropout would blur the comparison.

    Args:
        model, x, d, criterion, state, time: as `bptt.truncated` takes them; not in chunks.
        k1: steps of a window. Default 20.
        k2s: how many steps to go back, each at least k1. Default k1, 2 k1, 4 k1, ... up to T.

    Returns:
        a row for each of k2s. `.grad`, the model's buffers and the random generators are left as they were.

    Raises:
        ValueError, TypeError: as `bptt.truncated`; no sequence in x; a full gradient of zero, or not finite.

    >>> model, x = torch.nn.GRU(1, 3), torch.linspace(0, 9, 50).sin().view(50, 1, 1)
    >>> [row.k2 for row in truncation_bias(model, x, x.expand(-1, -1, 3), torch.nn.MSELoss(), k1=10)]
    [10, 20, 40, 50]
    """
    check_reach(k1, None)
    of = SequenceLoss.of(
        model,
        x,
        d,
        criterion,
        state=state,
        reduction="sum",
        time=time,
        chunks="; the full gradient needs all of x: pass tensors or memory maps",
    )
    if of.data.rows == 0:
        raise ValueError(f"x {tuple(leaves(x)[0].shape)} holds no sequence: there is no gradient to compare")
    check_constant(of.data.whole)
    k2s = _k2s(k1, k2s, of.data.steps)
    with undisturbed(of.walker, [] if of.walker.like is None else [of.walker.like]):
        backward = CheckpointedBackward(of, min(k1, of.data.steps))
        backward()
        full = backward.gradients.sums
        norm = _dot(full, full) ** 0.5
        if norm == 0 or not math.isfinite(norm):
            what = "not finite" if norm else "zero"
            raise ValueError(f"the full gradient is {what}: there is no direction to compare with")
        return [_compared(k2, _truncated(of, k1, k2), full, norm) for k2 in k2s]


def _k2s(k1: int, k2s: Iterable[int] | None, steps: int) -> list[int]:
    """Those that were asked for, checked, or k1 doubled until it is all steps."""
    if k2s is None:
        return [k1 * 2**i for i in range(steps) if k1 * 2**i < steps] + [max(k1, steps)]
    if not isinstance(k2s, Iterable):
        raise TypeError(f"k2s must be several ints, for example [{k1}, {2 * k1}], got {type(k2s).__name__}")
    found = list(k2s)
    if not found:
        raise ValueError(f"k2s is empty; pass at least one k2, or None for {k1}, {2 * k1}, ...")
    for k2 in found:
        check_reach(k1, k2)
    return found


def _truncated(of: SequenceLoss, k1: int, k2: int) -> Sums:
    gradients = Gradients()
    for _ in Truncated(
        of.walker, of.data, of.criterion, k1, k2, of.state, lambda loss: gradients.gather([loss], [None])
    ):
        pass
    return gradients.sums


def _compared(k2: int, cut: Sums, full: Sums, norm: float) -> Bias:
    length = _dot(cut, cut) ** 0.5
    cosine = _dot(cut, full) / (norm * length) if length else 0.0
    return Bias(k2, cosine, length / norm)


def _dot(a: Sums, b: Sums) -> float:
    """The product of two gradients over all leaves that have both."""
    return sum(torch.sum(a[key][1].double() * b[key][1].double()).item() for key in a.keys() & b.keys())
