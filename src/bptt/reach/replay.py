"""Full backpropagation through time with the states of a few steps in memory: the walk, cut and replayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..trees import Tree, cloned, leaves, mapped, stacked_room
from .gradients import Gradients, scalar_loss
from .schedule import Advance, Replay, reversal
from .sequences import Sequences
from .surroundings import Surroundings, surroundings
from .walker import Walker


class Cut(NamedTuple):
    """Where a walk is cut: segments of so many steps, and checkpoints kept beside the initial state."""

    segment: int
    checkpoints: int


class Reverse:
    """One full forward and backward walk. Call it once, then `gradients` has ∂L/∂(every leaf), not yet in `.grad`.

    States at checkpoints stand in one preallocated tensor for each leaf of the state. A segment is replayed with
    its history: the adjoint of the state after it comes from the segment behind, that of the state before it goes
    on to the segment before.

    Args:
        walker, data: the model, and x and d.
        criterion: (y, d) -> scalar.
        reduction: "sum" or "mean" take it segment by segment; "whole" puts y of all steps together
            first, and takes ∂L/∂y of them all at once.
        cut: segments and checkpoints.
        state: the initial state, or None.
    """

    def __init__(
        self,
        walker: Walker,
        data: Sequences,
        criterion: Callable[[Tensor, Any], Tensor],
        reduction: str,
        cut: Cut,
        state: Tree,
    ) -> None:
        self.walker, self.data, self.criterion, self.reduction = walker, data, criterion, reduction
        self.cut, self.initial = cut, state
        self.segments = -(-data.steps // cut.segment)
        self.gradients = Gradients()
        self.dx = mapped(lambda leaf: torch.zeros_like(leaf) if leaf.requires_grad else None, data.whole.x)
        self.d_state: list[Tensor | None] = []  # ∂L/∂(state before the segment replayed last), by leaf
        self.state: Tree = None  # after the last step
        self.loss: Tensor | None = None
        self._room: Tree = None  # (checkpoints, ...) for each leaf of the state
        self._around: list[Surroundings] = []  # by slot
        self._y: Tensor | None = None  # of all steps, and then its adjoint
        self._written = 0  # segments whose y is there

    def __call__(self) -> None:
        devices = [t for t in (*leaves(self.data.whole.x, "x"), self.walker.like) if t is not None]
        self._around = [surroundings(self.walker, devices)]
        self._after = self._around[0]
        try:
            for action in reversal(self.segments, max(1, self.cut.checkpoints)):
                self._around[action.slot].restore()
                if isinstance(action, Advance):
                    self._advance(action)
                    del self._around[action.slot + 1 :]
                    self._around.append(surroundings(self.walker, devices, self._around[action.slot]))
                else:
                    self._replay(action, devices)
        finally:
            self._after.restore()

    def land(self) -> None:
        """Hand the gradients over: to `.grad` of every leaf, and on through the history of x and the state."""
        self._room = self._y = None
        pairs = [
            (x, dx) for x, dx in zip(leaves(self.data.whole.x, "x"), self._of_x(), strict=True) if dx is not None
        ]
        if self.initial is not None:
            pairs += [
                (s, d)
                for s, d in zip(leaves(self.initial), self.d_state, strict=True)
                if s.requires_grad and d is not None
            ]
        if not pairs and not self.gradients.sums:
            raise ValueError("the loss depends on nothing that requires gradients: the model's weights are frozen")
        self.gradients.land([t for t, _ in pairs], [d for _, d in pairs])

    def _of_x(self) -> list[Tensor | None]:
        found: list[Tensor | None] = []
        grads = iter(leaves(self.dx, "x"))
        for leaf in leaves(self.data.whole.x, "x"):
            found.append(next(grads) if leaf.requires_grad else None)
        return found

    def _steps(self, segment: int) -> tuple[int, int]:
        first = segment * self.cut.segment
        return first, min(first + self.cut.segment, self.data.steps)

    def _load(self, slot: int) -> Tree:
        if slot == 0:
            return cloned(self.initial)
        return mapped(lambda room: room[slot - 1].clone(), self._room)

    def _store(self, slot: int, state: Tree) -> None:
        if self._room is None:
            self._room = stacked_room(state, self.cut.checkpoints)
        for room, leaf in zip(leaves(self._room), leaves(state), strict=True):
            room[slot - 1].copy_(leaf)

    def _advance(self, action: Advance) -> None:
        state = self._load(action.slot)
        with torch.no_grad():
            for segment in range(action.start, action.stop):
                piece = self._read(segment)
                y, state = self.walker.walk(piece.x, state, self.data.axis)
                if self.reduction == "whole" and segment == self._written:
                    self._write(y, segment)
                    self._written += 1
        self._store(action.slot + 1, state)

    def _read(self, segment: int) -> Any:
        return self.data.read(*self._steps(segment))

    def _write(self, y: Tensor, segment: int) -> None:
        axis, (first, stop) = self.data.axis, self._steps(segment)
        if self._y is None:
            shape = list(y.shape)
            shape[axis] = self.data.steps
            self._y = y.new_empty(shape)
        self._y.narrow(axis, first, stop - first).copy_(y)

    def _replay(self, action: Replay, devices: list[Tensor]) -> None:
        segment, axis, (first, stop) = action.segment, self.data.axis, self._steps(action.segment)
        piece, before = self._read(segment), self._load(action.slot)
        inner = segment > 0  # the state before it was computed; else it is the user's
        with torch.enable_grad():
            x = mapped(lambda leaf: _source(leaf, leaf.requires_grad), piece.x)
            if before is not None:
                wanted = iter([inner or leaf.requires_grad for leaf in leaves(before if inner else self.initial)])
                before = mapped(lambda leaf: _source(leaf, next(wanted)), before)
            y, after = self.walker.walk(x, mapped(_changeable, before), axis)
            if segment == self.segments - 1:
                self.state = cloned(after)
                self._after = surroundings(self.walker, devices, self._around[-1])
                if self.reduction == "whole":
                    self._whole_loss(y, segment)
            pairs = self._seeded(y, piece.d, first, stop)
        pairs += [(leaf, d) for leaf, d in zip(leaves(after), self.d_state, strict=False) if d is not None]
        pairs = [(output, seed) for output, seed in pairs if output.requires_grad]
        apart_x = [leaf for leaf in leaves(x, "x") if leaf.requires_grad]
        states = leaves(before)
        apart = [*apart_x, *(leaf for leaf in states if leaf.requires_grad)]
        found = iter(self._gathered(pairs, apart))
        for whole in leaves(self.dx, "x"):
            share = next(found)
            if share is not None:
                whole.narrow(axis, first, stop - first).copy_(share)
        self.d_state = [next(found) if leaf.requires_grad else None for leaf in states]

    def _gathered(self, pairs: list, apart: list[Tensor]) -> list[Tensor | None]:
        if not pairs:
            return [None] * len(apart)
        return self.gradients.gather([output for output, _ in pairs], [seed for _, seed in pairs], apart)

    def _seeded(self, y: Tensor, d: Tree, first: int, stop: int) -> list[tuple[Tensor, Tensor | None]]:
        """What the loss of a segment enters by, and its adjoint there."""
        if self.reduction == "whole":
            if self._y is None:  # the criterion does not look at y
                return []
            return [(y, self._y.narrow(self.data.axis, first, stop - first))]
        loss = scalar_loss(self.criterion, y, d)
        if self.reduction == "mean":
            loss = loss * ((stop - first) / self.data.steps)
        self.loss = loss.detach() if self.loss is None else self.loss + loss.detach()
        return [(loss, None)]

    def _whole_loss(self, y: Tensor, segment: int) -> None:
        """The loss of all steps; y gives way to its adjoint."""
        self._write(y.detach(), segment)
        outputs = self._y.detach().requires_grad_()  # pyright: ignore[reportOptionalMemberAccess]
        self._y = None
        loss = scalar_loss(self.criterion, outputs, self.data.desired())
        (self._y,) = self.gradients.gather([loss], [None], [outputs])
        self.loss = loss.detach()


def _source(leaf: Tensor, wanted: bool) -> Tensor:
    """A leaf of its own to take gradients in, where they are wanted and can be."""
    leaf = leaf.detach()
    return leaf.requires_grad_() if wanted and (leaf.is_floating_point() or leaf.is_complex()) else leaf


def _changeable(leaf: Tensor) -> Tensor:
    """A state that a model may change in place; the source keeps its values."""
    return leaf.clone() if leaf.requires_grad else leaf
