"""A sweep: many errors backpropagated side by side through one recorded walk, for the norms of their gradients.

Each error has a copy of the walk's batch: rows (copy, row of the batch). No outer product is formed:
‖Σ_b δ_b ⊗ x_b‖² = Σ_{b,b'} (δ_b·δ_b') (x_b·x_b'), so the products of a copy's rows are all that is kept of delta.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..equations.protocol import Weights
from .unfold import Adjoint, input_gradient


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


def swept_of(adjoint: Adjoint, weights: Weights[Tensor], copies: int, wanted: bool) -> Swept:
    """The result of a sweep, from the adjoint of all copies, rows (copy, row of the batch).

    Args:
        wanted: whether ∂E/∂x is.
    """
    dh, ih, hh = (rows.unflatten(1, (copies, -1)) for rows in (adjoint.dh, adjoint.delta_ih, adjoint.delta_hh))
    of_ih = products(ih)
    return Swept(
        dh.square().sum((2, 3)),
        of_ih,
        of_ih if adjoint.delta_hh is adjoint.delta_ih else products(hh),
        None if weights.W_hr is None else products(dh),
        input_gradient(adjoint, weights) if wanted else None,
    )


def products(rows: Tensor) -> Tensor:
    """The rows of a batch times each other: (..., B, G) -> (..., B, B)."""
    return rows @ rows.mT
