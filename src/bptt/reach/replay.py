"""Full backpropagation through time with few states in memory: the sequence is cut, and its segments replayed."""

from __future__ import annotations

import torch
from torch import Tensor

from ..trees import Tree, bytes_of, cloned, leaves, mapped, stacked_room
from .gradients import Gradients, scalar_loss
from .resident import ResidentLimit
from .schedule import Advance, Replay, reversal
from .sequence_loss import SequenceLoss
from .side_effects import SideState, side_state


class CheckpointedBackward:
    """One full forward and backward pass, of a few steps at a time. Call it, then `land` hands the gradients over.

    States at checkpoints stand in one preallocated tensor for each leaf of the state. A segment is replayed with
    its history: the adjoint of the state after it comes from the segment behind, that of the state before it goes
    on to the segment before.

    Args:
        of: the loss. Of reduction "sum" or "mean" it is taken segment by segment; of "whole" y of all steps is put
            together first, and ∂L/∂y of them taken at once.
        segment: steps of a segment.
        checkpoints: states kept beside the initial one. Default: those before all segments.
        limit: of the resident memory. Default: none.

    Attributes:
        gradients: ∂L/∂(every leaf) after the call, not yet in `.grad`.
        loss, state: L, and the state after the last step, both without history.
    """

    def __init__(
        self, of: SequenceLoss, segment: int, checkpoints: int | None = None, limit: ResidentLimit | None = None
    ) -> None:
        self.of, self.segment, self._limit = of, segment, limit
        self.segments = -(-of.data.steps // segment)
        self.checkpoints = self.segments - 1 if checkpoints is None else checkpoints
        self.gradients = Gradients()
        self.dx = mapped(lambda leaf: torch.zeros_like(leaf) if leaf.requires_grad else None, of.data.whole.x)
        self.d_state: list[Tensor | None] = []  # ∂L/∂(state before the segment replayed last), by leaf
        self.state: Tree = None
        self.loss: Tensor | None = None
        self._kept: Tree = None  # (checkpoints, ...) for each leaf of the state
        self._sides: list[SideState] = []  # by slot
        self._y: Tensor | None = None  # of all steps, and then its adjoint
        self._written = 0  # segments whose y is there

    def __call__(self) -> None:
        devices = [t for t in (*leaves(self.of.data.whole.x, "x"), self.of.walker.like) if t is not None]
        self._sides = [side_state(self.of.walker, devices)]
        self._after = self._sides[0]
        try:
            for action in reversal(self.segments, max(1, self.checkpoints)):
                self._sides[action.slot].restore()
                if isinstance(action, Advance):
                    self._advance(action)
                    del self._sides[action.slot + 1 :]
                    self._sides.append(side_state(self.of.walker, devices, self._sides[action.slot]))
                else:
                    self._replay(action, devices)
        finally:
            self._after.restore()

    def land(self) -> None:
        """Add the gradients to `.grad` of every leaf, and backpropagate through the history of x and the state."""
        self._kept = self._y = None
        wanting = [x for x in leaves(self.of.data.whole.x, "x") if x.requires_grad]
        pairs = list(zip(wanting, leaves(self.dx, "x"), strict=True))
        if self.of.state is not None:
            pairs += [
                (s, d)
                for s, d in zip(leaves(self.of.state), self.d_state, strict=True)
                if s.requires_grad and d is not None
            ]
        if not pairs and not self.gradients.sums:
            raise ValueError("the loss depends on nothing that requires gradients: the model's weights are frozen")
        self.gradients.land([t for t, _ in pairs], [d for _, d in pairs])

    def _steps(self, segment: int) -> tuple[int, int]:
        first = segment * self.segment
        return first, min(first + self.segment, self.of.data.steps)

    def _load(self, slot: int) -> Tree:
        if slot == 0:
            return cloned(self.of.state)
        return mapped(lambda kept: kept[slot - 1].clone(), self._kept)

    def _store(self, slot: int, state: Tree) -> None:
        if self._kept is None:
            self._kept = stacked_room(state, self.checkpoints)
        for kept, leaf in zip(leaves(self._kept), leaves(state), strict=True):
            kept[slot - 1].copy_(leaf)

    def _advance(self, action: Advance) -> None:
        state = self._load(action.slot)
        with torch.no_grad():
            for segment in range(action.start, action.stop):
                y, state = self.of.walker.walk(self._inputs(segment), state, self.of.data.axis)
                if self.of.reduction == "whole" and segment == self._written:
                    self._write(y, segment)
                    self._written += 1
                del y  # before the next segment's is made
        self._store(action.slot + 1, state)

    def _inputs(self, segment: int) -> Tree:
        if self._limit is not None:
            self._limit.make_way(kept=bytes_of(self._kept))
        return self.of.data.inputs(*self._steps(segment))

    def _write(self, y: Tensor, segment: int) -> None:
        axis, (first, stop) = self.of.data.axis, self._steps(segment)
        if self._y is None:
            shape = list(y.shape)
            shape[axis] = self.of.data.steps
            self._y = y.new_empty(shape)
        self._y.narrow(axis, first, stop - first).copy_(y)

    def _replay(self, action: Replay, devices: list[Tensor]) -> None:
        segment, axis, (first, stop) = action.segment, self.of.data.axis, self._steps(action.segment)
        before = self._load(action.slot)
        inner = segment > 0  # the state before it was computed; else it is the user's
        with torch.enable_grad():
            x = mapped(lambda leaf: _source(leaf, leaf.requires_grad), self._inputs(segment))
            if before is not None:
                wanted = iter([inner or leaf.requires_grad for leaf in leaves(before if inner else self.of.state)])
                before = mapped(lambda leaf: _source(leaf, next(wanted)), before)
            y, after = self.of.walker.walk(x, mapped(_changeable, before), axis)
            if segment == self.segments - 1:
                self.state = cloned(after)
                self._after = side_state(self.of.walker, devices, self._sides[-1])
                if self.of.reduction == "whole":
                    self._whole_loss(y, segment)
            pairs = self._seeded(y, first, stop)
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

    def _seeded(self, y: Tensor, first: int, stop: int) -> list[tuple[Tensor, Tensor | None]]:
        """The tensors that a segment's backward pass starts from, and ∂L/∂ of each; None for a scalar's 1."""
        if self.of.reduction == "whole":
            if self._y is None:  # the criterion does not look at y
                return []
            return [(y, self._y.narrow(self.of.data.axis, first, stop - first))]
        loss = scalar_loss(self.of.criterion, y, self.of.data.desired(first, stop))
        if self.of.reduction == "mean":
            loss = loss * ((stop - first) / self.of.data.steps)
        self.loss = loss.detach() if self.loss is None else self.loss + loss.detach()
        return [(loss, None)]

    def _whole_loss(self, y: Tensor, segment: int) -> None:
        """The loss of all steps; the memory of y is freed for its adjoint."""
        self._write(y.detach(), segment)
        outputs = self._y.detach().requires_grad_()  # pyright: ignore[reportOptionalMemberAccess]
        self._y = None
        loss = scalar_loss(self.of.criterion, outputs, self.of.data.desired(0, self.of.data.steps))
        (self._y,) = self.gradients.gather([loss], [None], [outputs])
        self.loss = loss.detach()


def _source(leaf: Tensor, wanted: bool) -> Tensor:
    """A new leaf over the same values, to take gradients in where they are wanted and it is floating."""
    leaf = leaf.detach()
    return leaf.requires_grad_() if wanted and (leaf.is_floating_point() or leaf.is_complex()) else leaf


def _changeable(leaf: Tensor) -> Tensor:
    """A state that a model may change in place; the source keeps its values."""
    return leaf.clone() if leaf.requires_grad else leaf
