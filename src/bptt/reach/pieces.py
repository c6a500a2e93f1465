"""x, d and resets of one length, tensors, arrays and memory maps, read piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..trees import Tree, leaves, mapped
from .arrays import as_tensors, holds_arrays
from .transfer import begin_copy
from .walker import Walker


class Piece(NamedTuple):
    """Some steps of x, d and resets."""

    x: Tree
    d: Tree
    resets: Tensor | None

    def narrowed(self, axis: int, start: int, length: int) -> Piece:
        """Steps start to start + length of it."""
        return _narrowed(self, axis, start, length)


def _narrowed(tree: Tree, axis: int, start: int, length: int) -> Tree:
    return mapped(lambda leaf: leaf.narrow(axis, start, length), tree)


class Sequences:
    """x, d and resets of one length T, read at any step; tensors without a copy.

    Of arrays and memory maps each piece is copied, its floating numbers in the dtype and on the device of the
    model's weights. `resets` stay on the CPU, where the steps of resets are looked up.

    Args:
        walker: the model.
        x, d: trees of tensors and arrays, time on the axis the model has it.
        resets: (T, B) or (T,), booleans, laid out as x; or None.
        moved: whether tensors of the CPU are copied to the device of the weights too.

    Raises:
        TypeError, ValueError: the lengths differ, T is 0, or resets are of another form.
    """

    def __init__(self, walker: Walker, x: Any, d: Any, resets: Any = None, moved: bool = False) -> None:
        self.like = walker.like
        self.whole = Piece(as_tensors(x, "x"), as_tensors(d, "d"), as_tensors(resets, "resets"))
        self.converted = [holds_arrays(x), holds_arrays(d)]
        self.copied = [
            here or (moved and self._is_elsewhere(tree))
            for tree, here in zip((self.whole.x, self.whole.d), self.converted, strict=True)
        ]
        self._ahead: tuple[tuple[int, int], Callable[[], Piece]] | None = None  # a piece that is read next
        if not leaves(self.whole.x):
            raise TypeError(f"x must hold a sequence, got {type(x).__name__}")
        self.axis = walker.time_axis(self.whole.x)
        self.steps = _length("x", self.whole.x, self.axis)
        if self.steps == 0:
            raise ValueError("x is a sequence of length 0; the length must be at least 1")
        if leaves(self.whole.d) and (steps := _length("d", self.whole.d, self.axis)) != self.steps:
            raise ValueError(
                f"x has {self.steps} steps and d has {steps} (time is axis {self.axis}); "
                "each step of x needs its d"
            )
        self.length: int | None = self.steps
        if resets is not None:
            self._check_resets()

    def _check_resets(self) -> None:
        resets = self.whole.resets
        if not isinstance(resets, Tensor) or resets.dtype != torch.bool or resets.dim() not in (1, 2):
            raise TypeError("resets must be a boolean tensor or array, one a step, or one a step and row")
        if resets.dim() == 1 and self.axis == 1:
            raise ValueError("resets are (T,), but x is (B, T, ·); give one for each row and step, (B, T)")
        if resets.shape[self.axis] != self.steps:
            raise ValueError(f"x has {self.steps} steps and resets have {resets.shape[self.axis]}")
        if resets.dim() == 2 and resets.shape[1 - self.axis] != self.rows:
            raise ValueError(f"x has {self.rows} sequences, but resets are {tuple(resets.shape)}")
        self.whole = self.whole._replace(resets=resets.cpu())

    @property
    def rows(self) -> int:
        """Sequences side by side, B."""
        first = leaves(self.whole.x)[0]
        alone = first.dim() < (3 if first.is_floating_point() else 2)
        return 1 if alone else first.shape[1 - self.axis]

    @property
    def device(self) -> torch.device:
        """Where the pieces of x are."""
        first = leaves(self.whole.x)[0]
        return self.like.device if self.like is not None and self.copied[0] else first.device

    def head(self, steps: int) -> Sequences:
        """The first so many steps, or fewer, as sequences."""
        part = copy(self)
        part.steps = part.length = min(steps, self.steps)
        part.whole = self.whole.narrowed(self.axis, 0, part.steps)
        return part

    def read(self, first: int, stop: int) -> Piece | None:
        """Steps first to stop, fewer at the end; None where there are none."""
        stop = min(stop, self.steps)
        if stop <= first:
            return None
        if self._ahead is not None and self._ahead[0] == (first, stop):
            hand_over, self._ahead = self._ahead[1], None
        else:
            hand_over = self._begin(first, stop)
        return hand_over()

    def prefetch(self, first: int, stop: int) -> None:
        """Begin to copy the steps that are read next to the device; a CPU has nothing to do meanwhile."""
        stop = min(stop, self.steps)
        if any(self.copied) and self.like is not None and self.like.device.type != "cpu" and stop > first:
            self._ahead = (first, stop), self._begin(first, stop)

    def _begin(self, first: int, stop: int) -> Callable[[], Piece]:
        x, d, resets = self.whole.narrowed(self.axis, first, stop - first)
        x_copy, d_copy = self._begin_copy(x, 0), self._begin_copy(d, 1)
        return lambda: Piece(x_copy(), d_copy(), resets)

    def _begin_copy(self, tree: Tree, place: int) -> Callable[[], Tree]:
        """Begin the copy of x or d, as `begin_copy`; nothing is copied where the tensors are used as they are."""
        if not self.copied[place]:
            return lambda: tree
        device = torch.device("cpu") if self.like is None else self.like.device
        dtype = None if self.like is None or not self.converted[place] else self.like.dtype
        return begin_copy(tree, device, dtype)

    def seek(self, step: int) -> None:
        """Continue at a step: nothing to do, since every step can be read at any time."""

    def inputs(self, first: int, stop: int) -> Tree:
        """x of some steps."""
        return self._begin_copy(_narrowed(self.whole.x, self.axis, first, stop - first), 0)()

    def desired(self, first: int, stop: int) -> Tree:
        """d of some steps."""
        return self._begin_copy(_narrowed(self.whole.d, self.axis, first, stop - first), 1)()

    def _is_elsewhere(self, tree: Tree) -> bool:
        """Whether tensors of it are on the CPU and the weights are not."""
        there = self.like is not None and self.like.device.type != "cpu"
        return there and any(leaf.device.type == "cpu" for leaf in leaves(tree))


def _length(name: str, tree: Tree, axis: int) -> int:
    lengths = set()
    for leaf in leaves(tree, name):
        if leaf.dim() <= axis:
            of = "x" if name == "x" else f"x and must be so in {name}"
            raise ValueError(f"{name} is {tuple(leaf.shape)}, but time is axis {axis} of {of}")
        lengths.add(leaf.shape[axis])
    if len(lengths) > 1:
        raise ValueError(f"the parts of {name} have different lengths {sorted(lengths)} along time, axis {axis}")
    return lengths.pop()
