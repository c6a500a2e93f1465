"""What truncation costs: the truncated gradient beside the full one, as it goes further back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..trees import Tree, leaves
from .gradients import Gradients
from .models import Model, Walker
from .reverse import Cut, Reverse
from .sequences import Sequences, open_sequences
from .truncated import Truncated, check_reach


class Bias(NamedTuple):
    """How far a truncated gradient is from the full one.

    Attributes:
        k2: steps it goes back.
        cosine: of the angle between the two; 1 is the same direction.
        norm_ratio: ‖truncated‖ / ‖full‖.
    """

    k2: int
    cosine: float
    norm_ratio: float


def bias(
    model: Model,
    x: Any,
    d: Any,
    criterion: Callable[[Tensor, Any], Tensor],
    k1: int = 20,
    k2s: Sequence[int] | None = None,
    state: Tree = None,
) -> list[Bias]:
    """How short may one cut? Truncated gradients beside the full one, at the weights as they are.

    The loss is the sum of criterion(y, d) over windows of k1 steps; its gradient by truncated BPTT, with nothing
    learned between the windows, is compared with its gradient by full BPTT, over all the model's weights at once.
    At k2 = T they are the same. Put the model into eval mode, where dropout would blur the comparison.

    Args:
        model, x, d, criterion, state: as `bptt.truncated` takes them; not in chunks.
        k1: steps of a window. Default 20.
        k2s: how many steps to go back, each at least k1. Default k1, 2 k1, 4 k1, ... up to T.

    Returns:
        a row for each of k2s. `.grad` is left as it was.

    Raises:
        ValueError, TypeError: as `bptt.truncated`; a full gradient of zero.

    >>> model, x = torch.nn.GRU(1, 3), torch.linspace(0, 9, 50).sin().view(50, 1, 1)
    >>> [row.k2 for row in bias(model, x, x.expand(-1, -1, 3), torch.nn.MSELoss(), k1=10)]
    [10, 20, 40, 50]
    """
    check_reach(k1, None)
    walker = Walker(model)
    data = open_sequences(walker, x, d)
    if not isinstance(data, Sequences):
        raise TypeError("x comes in chunks; the full gradient needs all of x: pass tensors or memory maps")
    leaves(state)
    if k2s is None:
        k2s = [k1 * 2**i for i in range(data.steps) if k1 * 2**i < data.steps] + [max(k1, data.steps)]
    for k2 in k2s:
        check_reach(k1, k2)
    segment = min(k1, data.steps)
    reverse = Reverse(walker, data, criterion, "sum", Cut(segment, -(-data.steps // segment) - 1), state)
    reverse()
    full = reverse.gradients.sums
    norm = _dot(full, full) ** 0.5
    if norm == 0:
        raise ValueError("the full gradient is zero: there is no direction to compare with")
    rows = []
    for k2 in k2s:
        gradients = Gradients()
        windows = Truncated(
            walker, data, criterion, k1, k2, state, lambda loss, g=gradients: g.gather([loss], [None])
        )
        deque(windows, maxlen=0)
        length = _dot(gradients.sums, gradients.sums) ** 0.5
        cosine = _dot(gradients.sums, full) / (norm * length) if length else 0.0
        rows.append(Bias(k2, cosine, length / norm))
    return rows


def _dot(a: dict[int, tuple[Tensor, Tensor]], b: dict[int, tuple[Tensor, Tensor]]) -> float:
    """The product of two gradients over all leaves that have both."""
    return sum(torch.sum(a[key][1].double() * b[key][1].double()).item() for key in a.keys() & b.keys())
