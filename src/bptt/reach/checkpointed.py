"""Checkpointed backpropagation through time: the full gradient in bounded memory.

Gruslys et al. (2016), "Memory-efficient backpropagation through time": keep some states of the forward pass and
walk the segments between them again in the backward pass. With √T segments of √T steps every step is walked
twice (Chen et al., 2016); with less memory than that the states are placed as in `schedule`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from ..checks import check_sizes
from ..trees import Tree, detached, form
from .arrays import check_desired
from .out_of_memory import memory_advice
from .plan import Plan, check_one_way, plan_within
from .replay import CheckpointedBackward
from .resident import ResidentLimit
from .sequence_loss import SequenceLoss
from .walker import Model

DEFAULT = "64MB"
ADVICE = (
    "take a smaller memory, segment or batch, or a criterion whose results for the segments may be added up, "
    'reduction="sum", so that y of all steps is not held'
)


class Checkpointed(NamedTuple):
    """The results of checkpointed BPTT; the gradients are in `.grad`.

    Attributes:
        loss: a scalar without history.
        state: after the last step, without history.
    """

    loss: Tensor
    state: Tree

    def __repr__(self) -> str:
        return f"Checkpointed(loss={self.loss.item():.6g}, state={form(self.state)})"


def checkpointed(
    model: Model | nn.Module,
    x: Any,
    d: Any = None,
    criterion: Callable[[Tensor, Any], Tensor] | None = None,
    *,
    loss: Callable[[Any], Tensor] | None = None,
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
        model, x, d, criterion, time: as `bptt.truncated` takes them; x and d not in chunks.
        loss: as `bptt.truncated` takes it: loss(segment), with reduction "sum" or "mean". Default None.
        memory: bytes it may use beside x, d and the weights, the gradients counted in: an int, or text as
            "64MB" or "1GiB"; the model is tried on a few steps, once. On a GPU its allocator counts; on a CPU with
            glibc the resident memory stays within it too, at the price of page faults where it is tight. Or what
            `bptt.plan_checkpoints` returned. Default "64MB".
        segment: steps of a segment, instead of memory; the states before all segments are kept. Default: as
            memory needs.
        state: the state before the first step. Gradients flow into it. Default None: the model's own.
        reduction: "whole": the criterion is called once, on y of all T steps, and may be any function: with masks,
            weights, ignored classes, pairs of steps. "sum" or "mean": it is called on each segment and the results
            are added, or averaged by steps; y of all T is then never in memory. Default: "sum" for
            `bptt.squared_error` and `bptt.cross_entropy`, their own for torch.nn's elementwise losses, "whole" for
            all else.

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
    check_one_way(memory, segment)
    of = SequenceLoss.of(
        model,
        x,
        d,
        criterion,
        loss=loss,
        state=state,
        reduction=reduction,
        time=time,
        chunks=", which are read once, but checkpointed walks segments again: pass tensors or memory maps, or "
        "train on chunks with bptt.truncated",
    )
    if of.reduction != "whole":
        check_desired(of.data.whole.d)
    with memory_advice(f"checkpointed BPTT of {of.data.steps} steps", ADVICE):
        backward = _backward(of, memory, segment)
        backward()
        backward.land()
    assert backward.loss is not None
    return Checkpointed(backward.loss, detached(backward.state))


def _backward(of: SequenceLoss, memory: str | int | Plan | None, segment: int | None) -> CheckpointedBackward:
    """The pass, cut as the user says."""
    steps = of.data.steps
    if segment is not None:
        check_sizes(segment=segment)
        return CheckpointedBackward(of, min(segment, steps))
    plan = memory if isinstance(memory, Plan) else plan_within(of, DEFAULT if memory is None else memory, steps)
    if plan.steps != steps:
        raise ValueError(f"the plan is for {plan.steps} steps, but x has {steps}; make one for x")
    limit = ResidentLimit(plan.memory, plan.bytes) if of.data.device.type == "cpu" else None
    return CheckpointedBackward(of, plan.segment, plan.checkpoints, limit)
