"""The gradient norms that clipping sees: of windows of a sequence, and of the whole."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from ...reach.chunks import open_sequences
from ...reach.gradients import scalar_loss
from ...reach.truncated import Truncated
from ...reach.walker import Walker
from ..plain_models import Criterion, Network


def suggested_clip(norms: Tensor) -> float:
    """The 90th percentile of gradient norms: clipped there, nine of ten stay as they are."""
    return norms.quantile(0.9).item()


@dataclass(frozen=True)
class GradientNorms:
    """The norms of the gradient of all weights.

    Attributes:
        window: steps of a window.
        norms: by window, of the gradient of its loss, back to its first step.
        whole: of the gradient of the whole sequence's loss.
    """

    window: int
    norms: Tensor
    whole: float

    @property
    def clip(self) -> float:
        """Where they are to be clipped, `suggested_clip`."""
        return suggested_clip(self.norms)

    @property
    def low(self) -> float:
        """Their 10th percentile."""
        return self.norms.quantile(0.1).item()

    @property
    def spread(self) -> float:
        """`clip` over `low`."""
        return self.clip / self.low if self.low > 0 else math.inf


def gradient_norms(
    net: Network, x: Tensor, d: Tensor, criterion: Criterion, window: int | None, axis: int
) -> GradientNorms:
    """The gradient norms of a sequence window by window, and as a whole.

    Args:
        net: whose weights all require gradients; `.grad` is left alone.
        x, d: as the network takes them.
        criterion: (y, d) -> scalar.
        window: steps of a window; None where the loss cannot be cut, and the whole is the one window.
        axis: of time.
    """
    weights = list(net.parameters())

    def norm(loss: Tensor) -> Tensor:
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        return torch.stack([g.norm() for g in gradients if g is not None]).norm()

    whole = norm(scalar_loss(criterion, net(x)[0], d))
    norms: list[Tensor] = [whole] if window is None else []
    if window is not None:
        walker = Walker(net, axis)
        data = open_sequences(walker, x, d)
        cut = Truncated(walker, data, criterion, window, window, None, lambda loss: norms.append(norm(loss)))
        deque(cut, maxlen=0)
    steps = window or x.shape[axis]
    return GradientNorms(steps, torch.stack(norms), whole.item())
