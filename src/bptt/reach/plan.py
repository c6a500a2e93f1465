"""Where to cut a long sequence so that checkpointed BPTT stays within a memory, and what that costs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..checks import check_sizes
from ..trees import Tree
from .memory import Need, measured_once
from .reductions import reduction_of
from .schedule import walks
from .sequences import Chunks, Sequences, open_sequences
from .walker import Model, Walker

UNITS = {"": 1, "b": 1} | {
    f"{letter}{ending}": base**power
    for power, letter in enumerate("kmgt", start=1)
    for ending, base in (("b", 1000), ("ib", 1024))
}
# What a call for a segment costs in steps, roughly, from microseconds: 300 for the call and 2e-3 for each weight,
# packed, and its gradient, added up; 0.7 for a step and 3e-5 for each weight and row.
CALL, CALL_WEIGHT, STEP, STEP_WEIGHT = 300.0, 2e-3, 0.7, 3e-5
MOST = 2**64  # bytes that a memory may be said to have
NEARLY = 1.05  # of schedules that cost nearly the same, the one of least memory
MOST_WALKS = 20  # a schedule that walks every step more often than this is none


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


def plan_checkpoints(
    model: Model,
    x: Any,
    d: Any,
    criterion: Callable[[Tensor, Any], Tensor],
    memory: str | int | None = None,
    segment: int | None = None,
    state: Tree = None,
    reduction: str | None = None,
    steps: int | None = None,
    time: int | None = None,
) -> Plan:
    """How `bptt.checkpointed` would cut a sequence, and what that takes in memory and in steps walked again.

    The model is tried on the first few steps of x, and what it holds is counted tensor by tensor.

    Args:
        model, x, d, criterion, state, reduction, time: as `bptt.checkpointed` takes them.
        memory: the bytes it may use, as `bptt.checkpointed` takes them.
        segment: steps of a segment, instead of memory. Default, without memory: the length that needs least memory
            when every step is walked twice.
        steps: T, where x and d are only a sample of what is to be learned from. Default the steps of x.

    Raises:
        ValueError: memory is too small, and the smallest that works; memory makes no sense.

    >>> import torch
    >>> model, x, d = torch.nn.GRU(4, 8), torch.zeros(50, 1, 4), torch.zeros(50, 1, 8)
    >>> found = plan_checkpoints(model, x, d, torch.nn.MSELoss(), memory="200kB", steps=10_000)
    >>> found.segments == -(-10_000 // found.segment), found.bytes <= 200_000
    (True, True)
    """
    walker = Walker(model, time)
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
    need = measured_once(walker, data, criterion, reduction, state)
    if segment is not None:
        check_sizes(segment=segment)
        return _plan(need, steps, min(segment, steps), None)
    if budget is None:
        return min((_plan(need, steps, n, None) for n in _lengths(steps)), key=lambda plan: plan.bytes)
    fitting = [found for n in _lengths(steps) if (found := _fitted(need, steps, n, budget)) is not None]
    if not fitting:
        smallest = min(_plan(need, steps, n, _fewest(steps, n)).bytes for n in _lengths(steps))
        raise ValueError(
            f"memory={_short(budget if memory is None else memory)} is too little for {steps} steps of "
            f"{walker.name}: the smallest that works is {smallest} bytes, memory={shown(smallest)!r}"
        )
    call = _call_cost(walker, need, data)
    cheapest = min(_cost(found, call) for found in fitting)
    return min(
        (found for found in fitting if _cost(found, call) <= NEARLY * cheapest), key=lambda found: found.bytes
    )


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
    return (CALL + CALL_WEIGHT * weights) / (STEP + STEP_WEIGHT * weights * data.rows)


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
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", memory.lower(), re.ASCII)
        if match is None or match[2] not in UNITS:
            raise ValueError(
                f"memory={_short(memory)} makes no sense; write a number and one of B, kB, MB, GB, TB, KiB, MiB, "
                'GiB, TiB, for example "64MB"'
            )
        size = min(float(match[1]) * UNITS[match[2]], MOST)  # an infinity cannot be an int
    else:
        size = memory
    if size < 1:
        raise ValueError(f"memory must be at least 1 byte, got {_short(memory)}")
    if size >= MOST:
        raise ValueError(f"memory={_short(memory)} is more than any machine has: it must be below 2**64 bytes")
    return int(size)


def _short(memory: str | int) -> str:
    """As it was written, unless it has more characters than anybody reads."""
    if isinstance(memory, int):
        return str(memory) if abs(memory) < MOST else f"<an int of {memory.bit_length()} bits>"
    return repr(memory if len(memory) <= 40 else f"{memory[:18]}...{memory[-18:]}")


def shown(size: int) -> str:
    """Bytes as text of two or three digits, rounded up."""
    for unit in ("TB", "GB", "MB", "kB"):
        scale = UNITS[unit.lower()]
        if size >= scale:
            tenths = -(-size * 10 // scale)
            return f"{tenths // 10}.{tenths % 10}{unit}"
    return f"{size}B"
