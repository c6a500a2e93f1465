"""The peak memory of checkpointed BPTT, predicted from a trial.

`measure` tries a model on a few steps and returns a `MemoryNeed`, which predicts the peak of a schedule with
segments of any length.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import FunctionType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..trees import bytes_of, cloned, detached, form, leaves, mapped
from ..walks import kernels
from .gradients import Gradients, scalar_loss
from .meters import meter_on
from .pieces import Sequences
from .replay import CheckpointedBackward
from .sequence_loss import SequenceLoss
from .side_effects import side_state, undisturbed

PROBE = 16, 64  # the fewest and most steps a model is tried on, and then on twice as many


class LinearBytes(NamedTuple):
    """Bytes that grow linearly with the steps of a segment, up to `most` steps."""

    fixed: float
    step: float
    most: float = float("inf")

    def __call__(self, steps: float) -> float:
        return self.fixed + self.step * min(steps, self.most)

    @classmethod
    def through(cls, steps: int, short: float, long: float, most: float = float("inf")) -> LinearBytes:
        """The line through the bytes of `steps` steps and of twice as many; it never falls."""
        apart = min(2 * steps, most) - min(steps, most)
        step = max(0.0, (long - short) / apart) if apart else 0.0
        return cls(max(0.0, long - step * min(2 * steps, most)), step, most)


class SegmentMemory(NamedTuple):
    """Bytes held while a segment is replayed with its backward pass.

    tensors: the peak of all tensors, results included.
    beside: of the tensors when the sum of tensors and scratch peaks.
    scratch: the memory that a kernel allocates for itself.
    at_loss: of the tensors when the segment has been walked and its loss is computed.
    """

    tensors: LinearBytes
    beside: LinearBytes
    scratch: LinearBytes
    at_loss: LinearBytes

    def __call__(self, steps: int) -> float:
        """The peak for a segment of so many steps."""
        return max(self.tensors(steps), self.beside(steps) + self.scratch(steps))


@dataclass(frozen=True)
class MemoryNeed:
    """The bytes that checkpointed BPTT of a model needs.

    Attributes:
        replay: to replay a segment that receives an adjoint from the segment after it.
        alone: to replay a segment with none after it, the whole sequence in one.
        checkpoint: a state kept, with the random generators' where numbers are drawn, and buffers that change.
        sums: the weights' gradients, summed over segments.
        outputs: y, its adjoint, and d where it is copied from an array, of a step of the whole sequence; 0 where
            the loss is taken segment by segment.
        loss: what the criterion holds for such a step, its adjoint included, beside y.
    """

    replay: SegmentMemory
    alone: SegmentMemory
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


_MEASURED: WeakKeyDictionary[Any, tuple[Any, MemoryNeed]] = WeakKeyDictionary()  # the last of each model


def measure_once(of: SequenceLoss) -> MemoryNeed:
    """`measure`, unless the last measurement of the model was the same."""
    piece, module = of.data.read(0, 1), of.walker.model
    weights = [(w.dtype, w.shape, w.requires_grad) for w in of.walker.weights]
    what = (
        [(form(tree), [leaf.requires_grad for leaf in leaves(tree)]) for tree in (piece, of.state)],
        (min(of.data.steps, 16 * PROBE[1]), of.data.axis, of.criterion, of.reduction),
        (weights, [module.training for module in of.walker.modules], torch.get_num_threads()),
        of.data.device,
    )
    if not isinstance(module, nn.Module | FunctionType):  # others may have no hash
        return measure(of)
    known = _MEASURED.get(module)
    if known is None or known[0] != what:
        known = what, measure(of)
        _MEASURED[module] = known
    return known[1]


def measure(of: SequenceLoss) -> MemoryNeed:
    """Try a model on a few steps. Its buffers, its gradients and the random generators are left as they were."""
    (walker, data), (fewest, most) = of[:2], PROBE
    steps = max(1, min(max(fewest, data.steps // 16), most, data.steps // 2))
    devices = [] if walker.like is None else [walker.like]
    with undisturbed(walker, devices):
        piece = data.read(0, 2)
        tried = min(2, data.steps)
        before = side_state(walker, [])
        with torch.no_grad():
            y, after = walker.walk(piece.x, cloned(of.state), data.axis)  # pyright: ignore
        changed = side_state(walker, [], before).bytes_since(before)
        after = mapped(_wanting_gradients, detached(after))
        inner = of._replace(state=after)
        if of.reduction == "whole":
            inner = inner._replace(criterion=lambda y, d: y.sum(), reduction="sum")
        if data.device.type != "cpu":
            _peaks(inner, True, steps)  # the first pass allocates what the device's libraries keep
        replay, alone = (_segment_memory(inner, behind, steps) for behind in (True, False))
        outputs = loss_step = 0.0
        if of.reduction == "whole":
            outputs = (bytes_of(y) + (bytes_of(piece.d) if data.copied[1] else 0)) / tried  # pyright: ignore
            loss_step = _loss_peak(of.criterion, y, data, steps) / steps
    return MemoryNeed(
        replay=replay,
        alone=alone,
        checkpoint=bytes_of(after) + changed,
        sums=sum(w.nbytes for w in walker.weights if w.requires_grad),
        outputs=outputs,
        loss=loss_step,
    )


def _wanting_gradients(leaf: Tensor) -> Tensor:
    return leaf.clone().requires_grad_() if leaf.is_floating_point() else leaf


def _segment_memory(of: SequenceLoss, behind: bool, steps: int) -> SegmentMemory:
    """The memory of a replay, measured on so many steps and on twice as many."""
    short, long = (_peaks(of, behind, n) for n in (steps, 2 * steps))
    if of.data.steps == 1:
        short = (0, 0, 0, 0)  # nothing to measure the fixed part with
    most = [float("inf")] * len(short)
    most[SegmentMemory._fields.index("scratch")] = kernels.chunk_steps(of.data.rows)
    return SegmentMemory(*(LinearBytes.through(steps, *pair) for pair in zip(short, long, most, strict=True)))


def _peaks(of: SequenceLoss, behind: bool, steps: int) -> tuple[int, int, int, int]:
    """The fields of `SegmentMemory` for so many steps, with an adjoint of the state after them or not."""
    meter, held = meter_on(of.data.device), 0

    def watched(y: Tensor, d: Any) -> Tensor:
        nonlocal held
        held = meter.live
        return of.criterion(y, d)

    backward = CheckpointedBackward(of._replace(data=of.data.head(steps), criterion=watched), steps)
    backward.gradients = _Discarded()
    if behind:
        backward.d_state = [torch.zeros_like(leaf) if leaf.requires_grad else None for leaf in leaves(of.state)]
    with meter:
        backward()
    return meter.peak, meter.total - meter.scratch, meter.scratch, held


class _Discarded(Gradients):
    """Gradients that are computed and thrown away."""

    def _add(self, leaf: Tensor, share: Tensor) -> None:
        pass


def _loss_peak(criterion: Any, y: Tensor, data: Sequences, steps: int) -> int:
    """The peak memory, beside y, of a criterion's forward and backward pass over so many steps."""
    shape = list(y.shape)
    piece = data.read(0, steps)
    assert piece is not None
    shape[data.axis] = leaves(piece.x)[0].shape[data.axis]
    with torch.enable_grad():
        outputs = torch.zeros(shape, dtype=y.dtype, device=y.device, requires_grad=True)
        with meter_on(y.device) as meter:
            torch.autograd.grad(scalar_loss(criterion, outputs, piece.d), outputs, allow_unused=True)
    return meter.peak
