"""The loss of one whole sequence, and whether it is a sum or a mean over steps, to be taken segment by segment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from ..losses import cross_entropy, squared_error
from ..trees import Tree, leaves
from .chunks import open_sequences
from .pieces import Sequences
from .walker import Model, Walker

SUMS = (squared_error, cross_entropy)
ELEMENTWISE = (
    nn.BCELoss,
    nn.BCEWithLogitsLoss,
    nn.HuberLoss,
    nn.L1Loss,
    nn.MSELoss,
    nn.PoissonNLLLoss,
    nn.SmoothL1Loss,
)
REDUCTIONS = ("sum", "mean", "whole")


def own_loss(y: Tensor, d: Any) -> Tensor:
    """The criterion of a walker that has a loss of its own, which is its y."""
    return y


class SequenceLoss(NamedTuple):
    """A model, x and d, the criterion with its reduction, and the state before the first step."""

    walker: Walker
    data: Sequences
    criterion: Callable[[Tensor, Any], Tensor]
    reduction: str  # one of REDUCTIONS
    state: Tree

    @classmethod
    def of(
        cls,
        model: Model,
        x: Any,
        d: Any,
        criterion: Callable[[Tensor, Any], Tensor] | None,
        *,
        loss: Callable[[Any], Tensor] | None = None,
        state: Tree,
        reduction: str | None,
        time: int | None,
        chunks: str,
    ) -> SequenceLoss:
        """The arguments of `bptt.checkpointed`, checked.

        Raises:
            TypeError: x comes in chunks; the message continues with `chunks`.
            TypeError, ValueError: as `Walker`, `open_sequences` and `reduction_of`.
        """
        of_steps = criterion_or_own(d, criterion, loss)
        if loss is not None and reduction not in ("sum", "mean"):
            raise ValueError(
                "the loss(window) of a whole sequence is put together from its segments: pass "
                f'reduction="sum" or "mean", got {reduction!r}'
            )
        walker = Walker(model, time, loss)
        data = open_sequences(walker, x, d)
        if not isinstance(data, Sequences):
            raise TypeError(f"x comes in chunks{chunks}")
        leaves(state)
        return cls(walker, data, of_steps, reduction_of(of_steps, reduction), state)


def criterion_or_own(d: Any, criterion: Any, loss: Callable[[Any], Tensor] | None) -> Any:
    """The criterion, or `own_loss` where a loss of the whole window is given.

    Raises:
        TypeError: both are given, or neither.
    """
    if loss is None:
        if d is None and criterion is None:
            raise TypeError("pass d and a criterion (y, d) -> loss, or loss=, a function of a window of x")
        return criterion
    if d is not None or criterion is not None:
        raise TypeError("loss(window) takes the place of d and the criterion: put what it needs into x, as a tree")
    return own_loss


def reduction_of(criterion: Any, reduction: str | None) -> str:
    """How a criterion is computed from its steps: "sum", "mean" of equally many numbers a step, or "whole".

    Args:
        criterion: the loss.
        reduction: as the user says; None to find out: bptt's losses are sums, torch.nn's elementwise ones have the
            attribute, anything else is "whole".

    Raises:
        ValueError: reduction is none of these.
    """
    if reduction is not None:
        if reduction not in REDUCTIONS:
            raise ValueError(f'reduction must be "sum", "mean", "whole" or None, got {reduction!r}')
        return reduction
    if criterion in SUMS:
        return "sum"
    # A weight may broadcast over time: then a step's share of it is not known here.
    if type(criterion) in ELEMENTWISE and not any(True for _ in criterion.buffers()):
        return criterion.reduction if criterion.reduction in REDUCTIONS else "whole"
    return "whole"
