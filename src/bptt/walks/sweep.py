"""A sweep: many errors backpropagated side by side through one recorded walk, for the norms of their gradients.

Each error has a copy of the walk's batch: rows (copy, row of the batch). No outer product is formed:
‖Σ_b δ_b ⊗ x_b‖² = Σ_{b,b'} (δ_b·δ_b') (x_b·x_b'), so the products of a copy's rows are all that is kept of delta.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Errors(NamedTuple):
    """How errors enter a walk of K steps, in copies of its batch."""

    entering: Tensor  # ∂E/∂h: (copies·B, R), at each copy's last step; or (K, copies·B, R), at every step
    ends: list[int] | None  # the copies' last steps, not increasing; None: all have K steps

    def dense(self, steps: int, B: int) -> Tensor:
        """∂E/∂h as it enters at every step, (K, copies·B, R)."""
        if self.entering.dim() == 3:
            return self.entering
        d_outputs = self.entering.new_zeros(steps, *self.entering.shape)
        rows = torch.arange(len(self.entering), device=d_outputs.device)
        ends = torch.tensor(self.ends, device=d_outputs.device).repeat_interleave(B)
        d_outputs[ends, rows] = self.entering
        return d_outputs


class Swept(NamedTuple):
    """The result of a sweep; entries after a copy's end are not set."""

    squares: Tensor  # (K, copies): ‖∂E/∂h‖² over the batch
    ih: Tensor  # (K, copies, B, B): the rows of delta_ih times each other
    hh: Tensor  # (K, copies, B, B): those of delta_hh
    h: Tensor | None  # (K, copies, B, B): those of ∂E/∂h, where an LSTM projects it
    d_inputs: Tensor | None  # (K, copies·B, I), where wanted


def products(rows: Tensor) -> Tensor:
    """The rows of a batch times each other: (..., B, G) -> (..., B, B)."""
    return rows @ rows.mT
