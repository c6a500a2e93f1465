"""What a model holds while a segment is walked and taken back, measured by trying it on a few steps."""

from __future__ import annotations

from dataclasses import dataclass
from types import FunctionType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..trees import Tree, bytes_of, cloned, detached, form, leaves, mapped
from ..walks import cpu
from .gradients import Gradients, scalar_loss
from .meter import Meter
from .replay import Cut, Reverse
from .sequences import Sequences
from .surroundings import surroundings, undisturbed
from .walker import Walker

PROBE = 16, 64  # the fewest and most steps a model is tried on, and then on twice as many


class Line(NamedTuple):
    """Bytes that grow with the steps of a segment, up to so many of them."""

    fixed: float
    step: float
    most: float = float("inf")

    def __call__(self, steps: float) -> float:
        return self.fixed + self.step * min(steps, self.most)

    @classmethod
    def through(cls, steps: int, short: float, long: float, most: float = float("inf")) -> Line:
        """From what so many steps take, and twice as many; it never falls."""
        apart = min(2 * steps, most) - min(steps, most)
        step = max(0.0, (long - short) / apart) if apart else 0.0
        return cls(max(0.0, long - step * min(2 * steps, most)), step, most)


class Replay(NamedTuple):
    """What is held in the replay of a segment.

    tensors: the most of them, results included.
    beside: those that are there while a kernel works with its scratch, where both together are the most.
    scratch: what a kernel holds for itself.
    at_loss: tensors when the segment has been walked and its loss is taken.
    """

    tensors: Line
    beside: Line
    scratch: Line
    at_loss: Line

    def __call__(self, steps: int) -> float:
        """The most."""
        return max(self.tensors(steps), self.beside(steps) + self.scratch(steps))


@dataclass(frozen=True)
class Need:
    """What a model holds, in bytes.

    Attributes:
        replay: in the replay of a segment, an adjoint coming from the segment behind it.
        alone: likewise, where there is none behind: one segment is the whole walk.
        checkpoint: a state kept, with the random generators' where numbers are drawn, and buffers that change.
        sums: the weights' gradients, summed over segments.
        outputs: y, its adjoint, and d where it is copied from an array, of a step of the whole sequence; 0 where
            the loss is taken segment by segment.
        loss: what the criterion holds for such a step, its adjoint included, beside y.
    """

    replay: Replay
    alone: Replay
    checkpoint: int
    sums: int
    outputs: float
    loss: float

    def __call__(self, steps: int, segment: int, checkpoints: int) -> int:
        """Peak bytes of T steps in segments with so many checkpoints."""
        with_loss = self.loss * steps + self.alone.at_loss(segment)
        with_adjoint = self.alone(segment) if segment >= steps else self.replay(segment) + self.sums
        most = max(with_loss, with_adjoint, 2 * self.sums)
        return int(self.checkpoint * checkpoints + self.outputs * steps + most)


_NEEDS: WeakKeyDictionary[Any, tuple[Any, Need]] = WeakKeyDictionary()  # by model, what was measured last


def measured_once(walker: Walker, data: Sequences, criterion: Any, reduction: str, state: Tree) -> Need:
    """`measured`, unless it was this that was measured last for the model."""
    piece, module = data.read(0, 1), walker.model
    weights = [(w.dtype, w.shape, w.requires_grad) for w in walker.weights]
    what = (
        [(form(tree), [leaf.requires_grad for leaf in leaves(tree)]) for tree in (piece, state)],
        (min(data.steps, 16 * PROBE[1]), data.axis, criterion, reduction),
        (weights, [module.training for module in walker.modules], torch.get_num_threads()),
    )
    if not isinstance(module, nn.Module | FunctionType):  # others may have no hash
        return measured(walker, data, criterion, reduction, state)
    known = _NEEDS.get(module)
    if known is None or known[0] != what:
        known = what, measured(walker, data, criterion, reduction, state)
        _NEEDS[module] = known
    return known[1]


def measured(walker: Walker, data: Sequences, criterion: Any, reduction: str, state: Tree) -> Need:
    """Try a model on a few steps. Its buffers, its gradients and the random generators are left as they were."""
    fewest, most = PROBE
    steps = max(1, min(max(fewest, data.steps // 16), most, data.steps // 2))
    devices = [] if walker.like is None else [walker.like]
    with undisturbed(walker, devices):
        piece = data.read(0, 2)
        tried = min(2, data.steps)
        before = surroundings(walker, [])
        with torch.no_grad():
            y, after = walker.walk(piece.x, cloned(state), data.axis)  # pyright: ignore
        changed = surroundings(walker, [], before).bytes_since(before)
        after = mapped(_wanting_gradients, detached(after))
        loss = (_as_a_sum, "sum") if reduction == "whole" else (criterion, reduction)
        replay, alone = (_lines(walker, data, *loss, after, behind, steps) for behind in (True, False))
        outputs = loss_step = 0.0
        if reduction == "whole":
            outputs = (bytes_of(y) + (bytes_of(piece.d) if data.converted[1] else 0)) / tried  # pyright: ignore
            loss_step = _loss_peak(criterion, y, data, steps) / steps
    return Need(
        replay=replay,
        alone=alone,
        checkpoint=bytes_of(after) + changed,
        sums=_gradient_bytes(walker),
        outputs=outputs,
        loss=loss_step,
    )


def _wanting_gradients(leaf: Tensor) -> Tensor:
    return leaf.clone().requires_grad_() if leaf.is_floating_point() else leaf


def _as_a_sum(y: Tensor, d: Any) -> Tensor:
    return y.sum()


def _lines(
    walker: Walker, data: Sequences, criterion: Any, reduction: str, state: Tree, behind: bool, steps: int
) -> Replay:
    """What replays take, tried on so many steps and on twice as many."""
    short, long = (_replayed(walker, data, criterion, reduction, state, behind, n) for n in (steps, 2 * steps))
    if data.steps == 1:
        short = (0, 0, 0, 0)  # nothing tells what is fixed
    most = [float("inf")] * len(short)
    most[Replay._fields.index("scratch")] = cpu.chunk_steps(data.rows)
    return Replay(*(Line.through(steps, *pair) for pair in zip(short, long, most, strict=True)))


def _replayed(
    walker: Walker, data: Sequences, criterion: Any, reduction: str, state: Tree, behind: bool, steps: int
) -> tuple[int, int, int, int]:
    """The bytes of a `Replay` of so many steps from a state; with an adjoint from behind, or without."""
    meter, held = Meter(), 0

    def watched(y: Tensor, d: Any) -> Tensor:
        nonlocal held
        held = meter.live
        return criterion(y, d)

    reverse = Reverse(walker, data.head(steps), watched, reduction, Cut(steps, 0), state)
    reverse.gradients = _Discarded()
    if behind:
        reverse.d_state = [torch.zeros_like(leaf) if leaf.requires_grad else None for leaf in leaves(state)]
    with meter:
        reverse()
    return meter.peak, meter.total - meter.scratch, meter.scratch, held


class _Discarded(Gradients):
    """Gradients that nobody wants."""

    def _add(self, leaf: Tensor, share: Tensor) -> None:
        pass


def _loss_peak(criterion: Any, y: Tensor, data: Sequences, steps: int) -> int:
    """The most that a criterion holds beside y when it is called on so many steps and taken back."""
    shape = list(y.shape)
    piece = data.read(0, steps)
    assert piece is not None
    shape[data.axis] = leaves(piece.x)[0].shape[data.axis]
    with torch.enable_grad():
        outputs = torch.zeros(shape, dtype=y.dtype, device=y.device, requires_grad=True)
        with Meter() as meter:
            torch.autograd.grad(scalar_loss(criterion, outputs, piece.d), outputs, allow_unused=True)
    return meter.peak


def _gradient_bytes(walker: Walker) -> int:
    return sum(w.numel() * w.element_size() for w in walker.weights if w.requires_grad)
