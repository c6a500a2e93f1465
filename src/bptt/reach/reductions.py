"""Losses that are known to be a sum or a mean over steps, and can therefore be taken segment by segment."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..networks import cross_entropy, squared_error

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
WAYS = ("sum", "mean", "whole")


def reduction_of(criterion: Any, reduction: str | None) -> str:
    """How a criterion comes from its steps: "sum", "mean" of equally many numbers a step, or "whole", not known.

    Args:
        criterion: the loss.
        reduction: what the user says it is; None to find out: bptt's losses are sums, torch.nn's elementwise
            losses say what they are, anything else is "whole".

    Raises:
        ValueError: reduction is none of these.
    """
    if reduction is not None:
        if reduction not in WAYS:
            raise ValueError(f'reduction must be "sum", "mean", "whole" or None, got {reduction!r}')
        return reduction
    if criterion in SUMS:
        return "sum"
    # A weight may broadcast over time: then a step's share of it is not known here.
    if type(criterion) in ELEMENTWISE and not any(True for _ in criterion.buffers()):
        return criterion.reduction if criterion.reduction in WAYS else "whole"
    return "whole"
