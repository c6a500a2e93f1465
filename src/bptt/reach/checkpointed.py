"""Checkpointed backpropagation through time: the full gradient in bounded memory.

Gruslys et al. (2016), "Memory-efficient backpropagation through time": keep some states on the way forward, walk
the segments between them again on the way back. With √T segments of √T steps every step is walked twice (Chen et
al., 2016); with less memory than that the states are placed as in `schedule`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from ..checks import check_sizes
from ..trees import Tree, detached, leaves
from .arrays import check_desired
from .plan import Plan, plan_for
from .reductions import reduction_of
from .replay import Cut, Reverse
from .sequences import Chunks, Sequences, open_sequences
from .walker import Model, Walker

DEFAULT = "64MB"


class Checkpointed(NamedTuple):
    """What checkpointed BPTT found; the gradients are in `.grad`.

    Attributes:
        loss: a scalar without history.
        state: after the last step, without history.
    """

    loss: Tensor
    state: Tree


def checkpointed(
    model: Model,
    x: Any,
    d: Any,
    criterion: Callable[[Tensor, Any], Tensor],
    memory: str | int | Plan | None = None,
    segment: int | None = None,
    state: Tree = None,
    reduction: str | None = None,
    time: int | None = None,
) -> Checkpointed:
    """The loss of a whole sequence, and its full gradient, with the steps of one segment in memory at a time.

    The gradient is that of criterion(y, d) over all T steps, exactly: truncation drops what crosses a cut, here it
    is passed on. It is added to `.grad` of all weights, of x and of the state where they require gradients, and
    goes on through the history of these two; all at once at the end, so that an error leaves every `.grad` as it
    was.

        result = bptt.checkpointed(model, x, d, criterion, memory="64MB")
        optimizer.step()

    Args:
        model: a module or function (x, state) -> (y, state), from the first step to the last: see `Walker`.
        x: (T, B, ·), or (B, T, ·) if the model is batch_first; a tensor, array or memory map, or a tuple or dict
            of them.
        d: what is desired, laid out as x and as long.
        criterion: (y, d) -> the loss, a scalar.
        memory: bytes it may use beside x, d and the weights, the gradients counted in: an int, or text as
            "64MB" or "1GiB"; the model is tried on a few steps, once. Or what
            `bptt.plan_checkpoints` returned. Default "64MB".
        segment: steps of a segment, instead of memory; the states before all segments are kept.
        state: the state before the first step; None for the model's own.
        reduction: how the criterion comes from its steps. "whole": it is called once, on y of all T steps, and
            may mean anything: masks, weights, classes left out, pairs of steps. "sum" or "mean": it is called on
            each segment and the results are added, or averaged by steps; y of all T is then never in memory.
            Default: "sum" for `bptt.squared_error` and `bptt.cross_entropy`, what they say of themselves for
            torch.nn's elementwise losses, "whole" for all else.
        time: which axis of x and d is time, 0 or 1. Default: as the model has it, see `Walker`.

    Returns:
        the loss and the final state.

    Random numbers (dropout) are drawn segment by segment, and the same ones again when a segment is replayed; the
    generators of torch, numpy and Python are left where one forward walk over the segments leaves them. So are
    buffers that the model changes as it walks (the statistics of batch normalisation, which sees a segment at a
    time).

    Raises:
        ValueError, TypeError: for arguments, lengths, a memory too small (the message has the smallest that
            works), a loss that is no scalar, outputs or states of another form.

    >>> import torch
    >>> model, x, d = torch.nn.GRU(1, 3), torch.zeros(100, 1, 1), torch.zeros(100, 1, 3)
    >>> result = checkpointed(model, x, d, torch.nn.MSELoss(), segment=10)
    >>> result.loss.shape, model.weight_hh_l0.grad.shape
    (torch.Size([]), torch.Size([9, 3]))
    """
    walker = Walker(model, time)
    data = open_sequences(walker, x, d)
    if isinstance(data, Chunks):
        raise TypeError(
            "x comes in chunks, which are read once, but checkpointed walks segments again: pass tensors or "
            "memory maps, or learn from chunks by bptt.truncated"
        )
    leaves(state)
    reduction = reduction_of(criterion, reduction)
    if reduction != "whole":
        check_desired(data.whole.d)
    cut = _cut(walker, data, criterion, reduction, memory, segment, state)
    reverse = Reverse(walker, data, criterion, reduction, cut, state)
    reverse()
    reverse.land()
    assert reverse.loss is not None
    return Checkpointed(reverse.loss, detached(reverse.state))


def _cut(
    walker: Walker,
    data: Sequences,
    criterion: Any,
    reduction: str,
    memory: str | int | Plan | None,
    segment: int | None,
    state: Tree,
) -> Cut:
    if memory is not None and segment is not None:
        raise ValueError("memory and segment both say how to cut the sequence; pass one of them")
    if isinstance(memory, Plan):
        if memory.steps != data.steps:
            raise ValueError(f"the plan is for {memory.steps} steps, but x has {data.steps}; make one for x")
        return Cut(memory.segment, memory.checkpoints)
    if segment is None:
        found = plan_for(
            walker, data, criterion, reduction, DEFAULT if memory is None else memory, None, state, data.steps
        )
        return Cut(found.segment, found.checkpoints)
    check_sizes(segment=segment)
    segment = min(segment, data.steps)
    return Cut(segment, -(-data.steps // segment) - 1)
