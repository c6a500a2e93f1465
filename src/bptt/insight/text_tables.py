"""Parts of tables and texts: shares, bars, and which of many steps are shown one by one."""

from __future__ import annotations

from torch import Tensor

from ..terminal import columns, drawn
from .pairs import shares

LONGEST, SHORTEST = 24, 4  # characters of a full bar, on a terminal that has the width and on any


def share(part: Tensor, gradient: Tensor) -> float:
    """A contribution's component along the gradient, as a part of its length; all shares sum to 1."""
    return shares((part * gradient).sum(), gradient.square().sum()).nan_to_num().item()


def with_bar(line: str, part: float) -> str:
    """A line of a table with a bar that fits beside it, in eighths of a block; 1 fills it, more is cut."""
    width = columns()
    full = LONGEST if width is None else max(SHORTEST, min(LONGEST, width - len(line) - 2))
    eighths = round(min(part, 1.0) * full * 8)
    return f"{line}  {drawn('█' * (eighths // 8) + ' ▏▎▍▌▋▊▉'[eighths % 8].strip())}".rstrip()


def stretches(steps: int, around: int, shown: int, first: int = 1) -> list[range]:
    """The steps 1 to `steps` in order: ranges of one step where it is shown, longer ones where it is folded.

    Args:
        steps: how many there are.
        around: the step that matters most; those nearest to it are shown, and the first and the last one.
        shown: how many are shown, at least first + 2; all of them where there are no more.
        first: how many of the first ones are shown. Default 1.

    >>> stretches(200, around=200, shown=4)
    [range(1, 2), range(2, 198), range(198, 199), range(199, 200), range(200, 201)]
    """
    alone = {*range(1, min(first, steps) + 1), steps, around}
    for k in sorted(range(1, steps + 1), key=lambda k: (abs(k - around), k)):
        if len(alone) >= min(shown, steps):
            break
        alone.add(k)
    found: list[range] = []
    for k in range(1, steps + 1):
        if k in alone or not found or found[-1].start in alone:
            found.append(range(k, k + 1))
        else:
            found[-1] = range(found[-1].start, k + 1)
    return found
