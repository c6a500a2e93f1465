"""Where to cut a long sequence so that checkpointed BPTT stays within a memory, and what that costs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..checks import check_sizes
from ..recurrent import Recurrent
from ..trees import Tree, bytes_of, detached, form, leaves, mapped
from .gradients import Gradients, scalar_loss
from .meter import Meter
from .models import Model, Walker
from .randomness import randomness
from .reductions import reduction_of
from .reverse import Cut, Reverse
from .schedule import walks
from .sequences import Chunks, Sequences, open_sequences

UNITS = {"": 1, "b": 1} | {
    f"{letter}{ending}": base**power
    for power, letter in enumerate("kmgt", start=1)
    for ending, base in (("b", 1000), ("ib", 1024))
}
PROBE = 16, 64  # the fewest and most steps a model is tried on, and then on twice as many
# What a call for a segment costs in steps, roughly, from microseconds: 500 for the call and 4e-3 for each weight,
# packed, and its gradient, added up; 0.7 for a step and 2e-4 for each weight and row.
CALL, CALL_WEIGHT, STEP, STEP_WEIGHT = 500.0, 4e-3, 0.7, 2e-4
NEARLY = 1.05  # of schedules that cost nearly the same, the one of least memory
MOST_WALKS = 20  # a schedule that walks every step more often than this is none
CHUNK_ROWS = 384  # rows whose deltas the native kernels hold


@dataclass(frozen=True)
class Plan:
    """A schedule for checkpointed BPTT.

    Attributes:
        steps: T.
        segment: steps of a segment; the last one may be shorter.
        segments: how many there are.
        checkpoints: states kept beside the initial one; segments - 1 where all are.
        replayed: steps walked again, beyond the T of one forward walk.
        bytes: predicted peak beside x, d and the weights; their gradients are counted in.
    """

    steps: int
    segment: int
    segments: int
    checkpoints: int
    replayed: int
    bytes: int


def plan(
    model: Model,
    x: Any,
    d: Any,
    criterion: Callable[[Tensor, Any], Tensor],
    memory: str | int | None = None,
    segment: int | None = None,
    state: Tree = None,
    reduction: str | None = None,
    steps: int | None = None,
) -> Plan:
    """How `bptt.checkpointed` would cut a sequence, and what that takes in memory and in steps walked again.

    The model is tried on the first few steps of x, and what it holds is counted tensor by tensor.

    Args:
        model, x, d, criterion, state, reduction: as `bptt.checkpointed` takes them.
        memory: the bytes it may use, as `bptt.checkpointed` takes them.
        segment: steps of a segment, instead of memory. Default, without memory: the length that needs least memory
            when every step is walked twice.
        steps: T, where x and d are only a sample of what is to be learned from. Default the steps of x.

    Raises:
        ValueError: memory is too small, and the smallest that works; memory makes no sense.

    >>> model, x, d = nn.GRU(4, 8), torch.zeros(50, 1, 4), torch.zeros(50, 1, 8)
    >>> found = plan(model, x, d, nn.MSELoss(), memory="200kB", steps=10_000)
    >>> found.segments == -(-10_000 // found.segment), found.bytes <= 200_000
    (True, True)
    """
    walker = Walker(model)
    data = open_sequences(walker, x, d)
    if isinstance(data, Chunks):
        raise TypeError("x comes in chunks; pass a sample of it as a tensor, and steps=T")
    check_sizes(**({} if steps is None else {"steps": steps}))
    if memory is not None and segment is not None:
        raise ValueError("memory and segment both say how to cut the sequence; pass one of them")
    reduction = reduction_of(criterion, reduction)
    return plan_for(walker, data, criterion, reduction, memory, segment, state, steps or data.steps)


def plan_for(
    walker: Walker,
    data: Sequences,
    criterion: Callable[[Tensor, Any], Tensor],
    reduction: str,
    memory: str | int | None,
    segment: int | None,
    state: Tree,
    steps: int,
) -> Plan:
    """`plan` for checked arguments."""
    budget = None if memory is None else bytes_in(memory)
    need = _measured_once(walker, data, criterion, reduction, state)
    if segment is not None:
        check_sizes(segment=segment)
        return _plan(need, steps, min(segment, steps), None)
    if budget is None:
        return min((_plan(need, steps, n, None) for n in _lengths(steps)), key=lambda plan: plan.bytes)
    fitting = [found for n in _lengths(steps) if (found := _fitted(need, steps, n, budget)) is not None]
    if not fitting:
        smallest = min(_plan(need, steps, n, _fewest(steps, n)).bytes for n in _lengths(steps))
        raise ValueError(
            f"memory={memory!r} is too little for {steps} steps of {walker.name}: the smallest that works is "
            f"{smallest} bytes, memory={shown(smallest)!r}"
        )
    call = _call_cost(walker, need, data)
    cheapest = min(_cost(found, call) for found in fitting)
    return min(
        (found for found in fitting if _cost(found, call) <= NEARLY * cheapest), key=lambda found: found.bytes
    )


@dataclass(frozen=True)
class Need:
    """What a model holds, in bytes.

    Attributes:
        fixed, step: the most while a segment is replayed, and what it takes for each of its steps.
        held_fixed, held_step: likewise, what it holds when it has been walked and the loss is taken.
        scratch: what the native kernels hold in such a replay, a part of fixed.
        checkpoint: a state kept, with the random generator's where numbers are drawn.
        sums: the weights' gradients, summed over segments.
        outputs: y, and its adjoint, of a step of the whole sequence; 0 where the loss is taken segment by segment.
        loss: what the criterion holds for such a step, its adjoint included, beside y.
    """

    fixed: int
    step: float
    held_fixed: int
    held_step: float
    scratch: int
    checkpoint: int
    sums: int
    outputs: float
    loss: float

    def __call__(self, steps: int, segment: int, checkpoints: int) -> int:
        """Peak bytes of T steps in segments with so many checkpoints."""
        replay = self.fixed + self.step * segment
        with_loss = (self.outputs + self.loss) * steps + self.held_fixed + self.held_step * segment
        with_adjoint = self.outputs * steps + replay + (self.sums if segment < steps else 0)
        adding_up = self.outputs * steps + 2 * self.sums + self.scratch
        return int(self.checkpoint * checkpoints + max(with_loss, with_adjoint, adding_up))


_NEEDS: WeakKeyDictionary[Any, tuple[Any, Need]] = WeakKeyDictionary()  # by model, what was measured last


def _measured_once(walker: Walker, data: Sequences, criterion: Any, reduction: str, state: Tree) -> Need:
    """`measured`, unless it was this that was measured last for the model."""
    piece, module = data.read(0, 1), walker.model
    weights = (
        [(w.dtype, w.shape, w.requires_grad) for w in module.parameters()] if isinstance(module, nn.Module) else []
    )
    what = (
        [(form(tree), [leaf.requires_grad for leaf in leaves(tree)]) for tree in (piece, state)],
        (min(data.steps, 16 * PROBE[1]), criterion, reduction, weights, getattr(module, "training", None)),
    )
    known = _NEEDS.get(module)
    if known is None or known[0] != what:
        known = what, measured(walker, data, criterion, reduction, state)
        _NEEDS[module] = known
    return known[1]


def measured(walker: Walker, data: Sequences, criterion: Any, reduction: str, state: Tree) -> Need:
    """Try a model on a few steps. Its buffers, its gradients and the random generators are left as they were."""
    fewest, most = PROBE
    steps = max(1, min(max(fewest, data.steps // 16), most, data.steps // 2))
    with _undisturbed(walker):
        piece = data.read(0, 1)
        before = randomness([])
        with torch.no_grad():
            y, after = walker.walk(piece.x, detached(state), data.axis)  # pyright: ignore
        draws = 0 if randomness([], before) is before else before.cpu.numel()
        after = mapped(_wanting_gradients, detached(after))
        replay = (_as_a_sum, "sum") if reduction == "whole" else (criterion, reduction)
        short, long = (_replayed(walker, data, *replay, after, n) for n in (steps, 2 * steps))
        outputs = loss = 0.0
        if reduction == "whole":
            outputs = bytes_of(y)
            loss = _loss_peak(criterion, y, data, steps) / steps
    (fixed, step), (held_fixed, held_step) = (
        _line(steps, *peaks) if data.steps > 1 else (0, peaks[0]) for peaks in zip(short, long, strict=True)
    )
    scratch = _scratch(walker.model)
    return Need(
        fixed=fixed + scratch,
        step=step,
        held_fixed=held_fixed,
        held_step=held_step,
        scratch=scratch,
        checkpoint=bytes_of(after) + draws,
        sums=_gradient_bytes(walker.model),
        outputs=outputs,
        loss=loss,
    )


def _wanting_gradients(leaf: Tensor) -> Tensor:
    return leaf.clone().requires_grad_() if leaf.is_floating_point() else leaf


def _as_a_sum(y: Tensor, d: Any) -> Tensor:
    return y.sum()


def _line(steps: int, short: int, long: int) -> tuple[int, float]:
    """What is there with no step, and what each step adds, from what so many steps take and twice as many."""
    step = max(0.0, (long - short) / steps)
    return int(max(0, short - step * steps)), step


def _replayed(
    walker: Walker, data: Sequences, criterion: Any, reduction: str, state: Tree, steps: int
) -> tuple[int, int]:
    """The most that is held while a segment is replayed, results included, and what is held at its loss."""
    piece = data.read(0, steps)
    assert piece is not None
    meter, held = Meter(), 0

    def watched(y: Tensor, d: Any) -> Tensor:
        nonlocal held
        held = meter.live
        return criterion(y, d)

    reverse = Reverse(walker, Sequences(walker, piece.x, piece.d), watched, reduction, Cut(steps, 0), state)
    reverse.gradients = _Discarded()
    reverse.d_state = [torch.zeros_like(leaf) if leaf.requires_grad else None for leaf in leaves(state)]
    with meter:
        reverse()
    return meter.peak, held


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


@contextmanager
def _undisturbed(walker: Walker) -> Iterator[None]:
    """The model's buffers and the random generators as they were, afterwards."""
    module = walker.model if isinstance(walker.model, nn.Module) else nn.Module()
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    like = walker.like
    before = randomness([] if like is None else [like])
    try:
        yield
    finally:
        before.restore()
        with torch.no_grad():
            for buffer, old in buffers:
                buffer.copy_(old)


def _gradient_bytes(model: Any) -> int:
    weights = model.parameters() if isinstance(model, nn.Module) else ()
    return sum(w.numel() * w.element_size() for w in weights if w.requires_grad)


def _scratch(model: Any) -> int:
    """What the native kernels allocate for themselves on the way back through a layer, which no meter sees.

    Packed weights, the sums of their gradients, and a chunk's deltas and panels.
    """
    most = 0
    for module in model.modules() if isinstance(model, nn.Module) else ():
        if isinstance(module, Recurrent) and module.all_weights[0][0].device.type == "cpu":
            H, I, G = module.hidden_size, module.input_size, module.cell.gates
            weights, rows = G * H * (H + I), CHUNK_ROWS * (G * H + max(H, I))
            size = module.all_weights[0][0].element_size()
            most = max(most, size * (weights + weights + rows))
    return most


def _plan(need: Need, steps: int, segment: int, checkpoints: int | None) -> Plan:
    segments = -(-steps // segment)
    checkpoints = segments - 1 if checkpoints is None else checkpoints
    replayed = walks(segments, checkpoints) * segment
    return Plan(steps, segment, segments, checkpoints, replayed, need(steps, segment, checkpoints))


def _fitted(need: Need, steps: int, segment: int, budget: int) -> Plan | None:
    """The schedule with segments of this length that keeps as many states as fit, or None."""
    segments = -(-steps // segment)
    room = (budget - need(steps, segment, 0)) // max(1, need.checkpoint)
    fewest = _fewest(steps, segment)
    checkpoints = min(segments - 1, room)
    return None if room < 0 or checkpoints < fewest else _plan(need, steps, segment, checkpoints)


def _fewest(steps: int, segment: int) -> int:
    """The fewest checkpoints with which no step is walked too often."""
    segments = -(-steps // segment)
    if segments == 1:
        return 0
    low, high = 1, segments - 1
    while low < high:
        middle = (low + high) // 2
        if walks(segments, middle) + segments <= MOST_WALKS * segments:
            high = middle
        else:
            low = middle + 1
    return low


def _call_cost(walker: Walker, need: Need, data: Sequences) -> float:
    """How many steps a call for a segment costs."""
    weights = need.sums / (4 if walker.like is None else walker.like.element_size())
    first = leaves(data.whole.x, "x")[0]
    rows = first.shape[1 - data.axis] if first.dim() > 1 else 1
    return (CALL + CALL_WEIGHT * weights) / (STEP + STEP_WEIGHT * weights * rows)


def _cost(plan: Plan, call: float) -> float:
    """Steps walked in all, each call counted as some."""
    calls = plan.segments + walks(plan.segments, plan.checkpoints)
    return calls * (plan.segment + call)


def _lengths(steps: int) -> list[int]:
    """Lengths of segments to choose from, a tenth apart, and with no needlessly short last one."""
    found, n = set(), 1.0
    while n < steps:
        segments = -(-steps // int(n))
        found.add(-(-steps // segments))
        n = max(n * 1.1, n + 1)
    return sorted({*found, steps})


def bytes_in(memory: str | int) -> int:
    """Bytes a memory stands for: "64MB" is 64·10⁶, "64MiB" 64·2²⁰.

    Raises:
        TypeError, ValueError: it makes no sense.

    >>> bytes_in("1.5KiB")
    1536
    """
    if isinstance(memory, bool) or not isinstance(memory, str | int):
        raise TypeError(f'memory must be an int of bytes or text as "64MB", got {type(memory).__name__}')
    if isinstance(memory, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", memory.lower())
        if match is None or match[2] not in UNITS:
            raise ValueError(
                f"memory={memory!r} makes no sense; write a number and one of B, kB, MB, GB, TB, KiB, MiB, GiB, "
                'TiB, for example "64MB"'
            )
        memory = int(float(match[1]) * UNITS[match[2]])
    if memory < 1:
        raise ValueError(f"memory must be at least 1 byte, got {memory}")
    return memory


def shown(size: int) -> str:
    """Bytes as text of two or three digits, rounded up."""
    for unit in ("TB", "GB", "MB", "kB"):
        scale = UNITS[unit.lower()]
        if size >= scale:
            tenths = -(-size * 10 // scale)
            return f"{tenths // 10}.{tenths % 10}{unit}"
    return f"{size}B"
