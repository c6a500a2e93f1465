"""The losses of the lesson: square error and cross entropy, summed over all steps."""

from __future__ import annotations

import torch
from torch import Tensor


def squared_error(y: Tensor, d: Tensor) -> Tensor:
    """The lesson's square error, E = Σ (d - y)², summed over all elements, without ½ and without mean.

    Args:
        y: the outputs, of any shape.
        d: the desired outputs, of the same shape.

    Returns:
        E, a scalar.

    Raises:
        ValueError: the shapes differ.

    >>> squared_error(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])).item()
    5.0
    """
    if y.shape != d.shape:
        raise ValueError(
            f"the square error compares y and d element by element, but y is {tuple(y.shape)} "
            f"and d is {tuple(d.shape)}; give d the shape of y"
        )
    return (d - y).square().sum()


def cross_entropy(logits: Tensor, d: Tensor) -> Tensor:
    """Cross entropy E = -Σ d log softmax(logits), computed stably and summed over all steps.

    Args:
        logits: (..., C), the outputs before the softmax.
        d: class numbers 0..C-1, integers (...), or distributions, floating (..., C).

    Returns:
        E in nats, a scalar.

    Raises:
        ValueError: d has neither shape, or a class number is out of range.

    >>> round(cross_entropy(torch.zeros(1, 4), torch.tensor([2])).item(), 4)  # log 4
    1.3863
    """
    log_p = torch.nn.functional.log_softmax(logits, -1)
    if d.is_floating_point():
        if d.shape != logits.shape:
            raise ValueError(
                f"distributions need the shape of the outputs {tuple(logits.shape)}, got {tuple(d.shape)}; "
                "class numbers must be integers: convert with .long()"
            )
        return -(d * log_p).sum()
    if d.shape != logits.shape[:-1]:
        raise ValueError(
            f"class numbers need one per step, shape {tuple(logits.shape[:-1])}, got {tuple(d.shape)}"
        )
    classes = logits.shape[-1]
    if d.numel() and (int(d.min()) < 0 or int(d.max()) >= classes):
        raise ValueError(
            f"class numbers must lie between 0 and {classes - 1}, got {int(d.min())} to {int(d.max())}"
        )
    return -log_p.gather(-1, d.long().unsqueeze(-1)).sum()


LOSSES = {
    "squared_error": squared_error,
    "cross_entropy": cross_entropy,
}  # by the names that options have for them
