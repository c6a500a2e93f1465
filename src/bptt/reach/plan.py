"""Where to cut a long sequence so that checkpointed BPTT stays within a memory, and what that costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..checks import check_sizes
from ..trees import Tree
from .byte_sizes import format_bytes, parse_bytes, quoted
from .memory import MemoryNeed, measure_once
from .schedule import extra_walks
from .sequence_loss import SequenceLoss
from .walker import Model

# What a call for a segment costs in steps, roughly, from microseconds: 300 for the call and 2e-3 for each weight,
# packed, and its gradient, added up; 0.7 for a step and 3e-5 for each weight and row.
CALL, CALL_WEIGHT, STEP, STEP_WEIGHT = 300.0, 2e-3, 0.7, 3e-5
NEARLY = 1.05  # of schedules that cost nearly the same, the one of least memory
MOST_WALKS = 20  # a schedule that walks every step more often than this is not considered


@dataclass(frozen=True)
class Plan:
    """A schedule for checkpointed BPTT: where the sequence is cut, and what that costs.

    Attributes:
        steps: T.
        segment: steps of a segment; the last one may be shorter.
        segments: how many there are.
        checkpoints: states kept beside the initial one; segments - 1 where all are.
        replayed: steps walked again, beyond the T of one forward walk.
        bytes: predicted peak of tensors and kernels beside x, d and the weights; their gradients are counted in.
        memory: bytes by which the process may grow: the memory asked for, else the predicted peak.
    """

    steps: int
    segment: int
    segments: int
    checkpoints: int
    replayed: int
    bytes: int
    memory: int


def plan_checkpoints(
    model: Model | nn.Module,
    x: Any,
    d: Any = None,
    criterion: Callable[[Tensor, Any], Tensor] | None = None,
    *,
    loss: Callable[[Any], Tensor] | None = None,
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
        model, x, d, criterion, loss, state, reduction, time: as `bptt.checkpointed` takes them.
        memory: the bytes it may use, as `bptt.checkpointed` takes them. Default none.
        segment: steps of a segment, instead of memory. Default, without memory: the length that needs least memory
            when every step is walked twice.
        steps: T, where x and d are only a sample of the training set. Default the steps of x.

    Returns:
        the `Plan`, which `bptt.checkpointed` takes as its memory.

    Raises:
        ValueError: memory is too small, and the smallest that works; memory makes no sense.

    >>> import torch
    >>> model, x, d = torch.nn.GRU(4, 8), torch.zeros(50, 1, 4), torch.zeros(50, 1, 8)
    >>> found = plan_checkpoints(model, x, d, torch.nn.MSELoss(), memory="200kB", steps=10_000)
    >>> found.segments == -(-10_000 // found.segment), found.bytes <= 200_000
    (True, True)
    """
    check_one_way(memory, segment)
    check_sizes(**({} if steps is None else {"steps": steps}))
    of = SequenceLoss.of(
        model,
        x,
        d,
        criterion,
        loss=loss,
        state=state,
        reduction=reduction,
        time=time,
        chunks="; pass a sample of it as a tensor, and steps=T",
    )
    steps = steps or of.data.steps
    if memory is not None:
        return plan_within(of, memory, steps)
    need = measure_once(of)
    if segment is not None:
        check_sizes(segment=segment)
        return _plan(need, steps, min(segment, steps), None)
    return min((_plan(need, steps, n, None) for n in _lengths(steps)), key=lambda plan: plan.bytes)


def check_one_way(memory: Any, segment: int | None) -> None:
    """Check that a sequence is cut by memory or by segment, not by both.

    Raises:
        ValueError: both are given.
    """
    if memory is not None and segment is not None:
        raise ValueError("memory and segment both say how to cut the sequence; pass one of them")


def plan_within(of: SequenceLoss, memory: str | int, steps: int) -> Plan:
    """The cheapest schedule within a memory.

    Raises:
        ValueError: memory is too small, or makes no sense.
    """
    budget, need = parse_bytes(memory), measure_once(of)
    fitting = [found for n in _lengths(steps) if (found := _fitted(need, steps, n, budget)) is not None]
    if not fitting:
        smallest = min(_plan(need, steps, n, _fewest(steps, n)).bytes for n in _lengths(steps))
        raise ValueError(
            f"memory={quoted(memory)} is too little for {steps} steps of {of.walker.name}: the smallest that "
            f"works is {smallest} bytes, memory={format_bytes(smallest)!r}"
        )
    call = _call_cost(of, need)
    cheapest = min(_cost(found, call) for found in fitting)
    return min(
        (found for found in fitting if _cost(found, call) <= NEARLY * cheapest), key=lambda found: found.bytes
    )


def _plan(need: MemoryNeed, steps: int, segment: int, checkpoints: int | None, memory: int | None = None) -> Plan:
    segments = -(-steps // segment)
    checkpoints = segments - 1 if checkpoints is None else checkpoints
    replayed = extra_walks(segments, checkpoints) * segment
    peak = need(steps, segment, checkpoints)
    return Plan(steps, segment, segments, checkpoints, replayed, peak, peak if memory is None else memory)


def _fitted(need: MemoryNeed, steps: int, segment: int, budget: int) -> Plan | None:
    """The schedule with segments of this length that keeps as many states as fit, or None."""
    segments = -(-steps // segment)
    affordable = (budget - need(steps, segment, 0)) // max(1, need.checkpoint)
    fewest = _fewest(steps, segment)
    checkpoints = min(segments - 1, affordable)
    return None if affordable < 0 or checkpoints < fewest else _plan(need, steps, segment, checkpoints, budget)


def _fewest(steps: int, segment: int) -> int:
    """The fewest checkpoints with which no step is walked too often."""
    segments = -(-steps // segment)
    if segments == 1:
        return 0
    low, high = 1, segments - 1
    while low < high:
        middle = (low + high) // 2
        if extra_walks(segments, middle) + segments <= MOST_WALKS * segments:
            high = middle
        else:
            low = middle + 1
    return low


def _call_cost(of: SequenceLoss, need: MemoryNeed) -> float:
    """How many steps a call for a segment costs."""
    like = of.walker.like
    weights = need.sums / (4 if like is None else like.element_size())
    return (CALL + CALL_WEIGHT * weights) / (STEP + STEP_WEIGHT * weights * of.data.rows)


def _cost(plan: Plan, call: float) -> float:
    """Steps walked in all, each call counted as some."""
    calls = plan.segments + extra_walks(plan.segments, plan.checkpoints)
    return calls * (plan.segment + call)


def _lengths(steps: int) -> list[int]:
    """Lengths of segments to choose from, a tenth apart, and with no needlessly short last one."""
    found, n = set(), 1.0
    while n < steps:
        segments = -(-steps // int(n))
        found.add(-(-steps // segments))
        n = max(n * 1.1, n + 1)
    return sorted({*found, steps})
