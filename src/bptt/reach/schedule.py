"""When to keep a state and when to walk again: the reversal of a long walk with few checkpoints.

Griewank & Walther (2000), "Algorithm 799: revolve". With c checkpoints beside the initial state, each segment
being walked without keeping anything at most r times, β(c, r) = C(c+r, c) segments can be reversed; the least
number of walks is t(S, c) = r S - β(c+1, r-1), r the smallest with β(c, r) ≥ S. With c = S - 1
every state is kept and the walks are S - 1: checkpointing with one level.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb
from typing import NamedTuple


class Advance(NamedTuple):
    """Walk from segment `start`, whose state is in `slot`, to segment `stop`; keep the state in the next slot."""

    start: int
    stop: int
    slot: int


class Replay(NamedTuple):
    """Walk `segment` from the state in `slot` under autograd, and take its backward pass."""

    segment: int
    slot: int


def reversal(segments: int, checkpoints: int) -> Iterator[Advance | Replay]:
    """The walks that reverse S segments with c checkpoints beside the initial state, c ≥ 1 unless S = 1.

    Slot 0 has the initial state, slots 1 to c the checkpoints. Segments are replayed from the last to the first.
    """
    waiting = [(0, segments)]  # its place is its slot
    while waiting:
        start, stop = waiting.pop()
        slot = len(waiting)
        if stop - start == 1:
            yield Replay(start, slot)
            continue
        middle = start + _split(stop - start, checkpoints - slot)
        yield Advance(start, middle, slot)
        waiting += [(start, middle), (middle, stop)]


def extra_walks(segments: int, checkpoints: int) -> int:
    """t(S, c): how many segments are walked only to reach a state, beside the S that are replayed."""
    if segments == 1:
        return 0
    if checkpoints == 1:
        return segments * (segments - 1) // 2
    r = _repetitions(segments, checkpoints)
    return r * segments - comb(checkpoints + r, checkpoints + 1)


def _split(segments: int, checkpoints: int) -> int:
    """How far to advance before the next checkpoint, so that both halves are reversed at the least cost."""
    if checkpoints == 1:
        return segments - 1
    r = _repetitions(segments, checkpoints)
    least = comb(checkpoints + r - 2, checkpoints) if r > 1 else 0
    return max(1, least, segments - comb(checkpoints - 1 + r, checkpoints - 1))


def _repetitions(segments: int, checkpoints: int) -> int:
    """The smallest r with β(c, r) ≥ S."""
    r = 1
    while comb(checkpoints + r, checkpoints) < segments:
        r += 1
    return r
