"""A forecast as the sum of a linear function of its inputs and a recurrent network on what that leaves."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from .networks import SequenceModel


class LinearPath(nn.Module):
    """A fixed linear function of the inputs, and the linear function of them that a network reads.

    Args:
        inputs: I.
        outputs: K.
        reads: R, inputs of the network.
        device, dtype: of its tensors. Default torch's own.

    Call:
        path(x) -> y: (..., I) -> (..., K).

    Attributes:
        weight, bias: of y = x weightᵀ + bias, (K, I) and (K).
        reading, offset: of the network's input r = x readingᵀ + offset, (R, I) and (R).
        scale: (K), the deviation of what y leaves; the network learns it in this unit.
    """

    weight: Tensor
    bias: Tensor
    reading: Tensor
    offset: Tensor
    scale: Tensor

    def __init__(self, inputs: int, outputs: int, reads: int, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        sizes = {"weight": (outputs, inputs), "bias": (outputs,), "reading": (reads, inputs), "offset": (reads,)}
        for name, size in (sizes | {"scale": (outputs,)}).items():
            self.register_buffer(name, torch.zeros(size, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)

    def read(self, x: Tensor) -> Tensor:
        """The network's input r (..., R)."""
        return linear(x, self.reading, self.offset)

    def rest(self, x: Tensor, d: Tensor) -> Tensor:
        """What the linear function leaves of targets d (..., K), in units of `scale`: the network's targets."""
        return (d - self(x)) / self.scale


class ForecastModel(nn.Module):
    """A linear path, and a recurrent network on what it leaves.

        y = path(x) + share · scale · network(path.read(x))

    Args:
        path: the linear path.
        network: (r, state) -> (y, state), a `bptt.SequenceModel`.

    Call:
        model(x, state=None) -> y, state: x (T, B, I) or (T, I) and y laid out as the network's.

    Attributes:
        share: (K), how much of the network's output each forecast takes; 0 leaves the network out.
    """

    share: Tensor

    def __init__(self, path: LinearPath, network: SequenceModel) -> None:
        super().__init__()
        self.path, self.network = path, network
        self.register_buffer("share", torch.ones_like(path.scale))

    @property
    def batch_first(self) -> bool:
        """Whether x and y are (B, T, ·)."""
        return self.network.batch_first

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        y, state = self.network(self.path.read(x), state)
        return self.path(x) + self.share * self.path.scale * y, state

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """One step, for streams: y_t (B, K) or (K), and the state after it."""
        y_t, state = self.network.step(self.path.read(x_t), state)
        return self.path(x_t) + self.share * self.path.scale * y_t, state
