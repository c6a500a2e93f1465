"""Jacobians ∂(state after a step)/∂(state before it) of a forward pass, and their products' singular values.

A step's Jacobian J_t is exact: its rows are the backward passes of unit seeds through the cell's own
`step_adjoint`, for many seeds, sequences and steps at once. An LSTM's state is (h, c), side by side.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from ...equations import Equations, Weights
from ..plain_models import Record


class RecordedSteps(NamedTuple):
    """Steps of one layer's and direction's forward pass, whose Jacobians can be computed."""

    cell: Equations
    weights: Weights[Tensor]
    kept: Any  # the cell's own NamedTuple, each field (T, B, ·)
    sizes: list[int]  # of the state's parts: [R], or [R, H] for (h, c); S is their sum

    @classmethod
    def of(cls, record: Record, most: int | None = None, sequences: int | None = None) -> RecordedSteps:
        """The last steps of the first sequences of a recorded forward pass, at most so many; all by default."""
        cell, x, weights = record.cell, record.x, record.weights
        last = slice(-min(most or len(x), len(x)), None), slice(sequences)
        before = [part[last] for part in record.recording.before]
        p = linear(x[last], weights.W_ih, weights.b_ih)
        _, kept = cell.step(p, tuple(before), weights)  # every step from its known state, all at once
        return cls(cell, weights, kept, [part.shape[-1] for part in before])

    @property
    def shape(self) -> tuple[int, int, int]:
        """T, B and S."""
        T, B = self.kept[0].shape[:2]
        return T, B, sum(self.sizes)

    def back(self, steps: Tensor, seeds: Tensor) -> Tensor:
        """The backward pass of seeds ∂E/∂(state after a step) to the state before it: seeds @ J.

        Args:
            steps: (n), which step each of the n rows of seeds stands after.
            seeds: (n, B, K, S), K seeds each.

        Returns:
            (n, B, K, S).
        """
        kept = self.kept._make(field[steps].unsqueeze(-2) for field in self.kept)
        _, before = self.cell.step_adjoint(seeds.split(self.sizes, -1), kept, self.weights)
        return torch.cat(before, -1)


def jacobians(steps: RecordedSteps, at: Tensor) -> Tensor:
    """J_t[i, j] = ∂(state_t)_i/∂(state_{t-1})_j for the steps `at` (n): (n, B, S, S)."""
    return steps.back(at, _units(steps, len(at)))


def product_singular_values(steps: RecordedSteps, lags: list[int], windows: int) -> Tensor:
    """The singular values of J_t J_{t-1} ... J_{t-lag+1}, largest first: a gradient's gain in lag steps.

    Args:
        steps: a walk.
        lags: how many Jacobians are multiplied, ascending; the last at most T.
        windows: how many steps t are taken, spread evenly over the walk.

    Returns:
        (lags, S), the geometric mean over windows and sequences. What is below 1e-16 of the largest is rounding.
    """
    T = steps.shape[0]
    ends = torch.linspace(lags[-1] - 1, T - 1, windows, device="cpu").round().long().unique()
    product, found = _units(steps, len(ends)), []
    for lag in range(1, lags[-1] + 1):
        product = steps.back(ends - (lag - 1), product)
        if lag in lags:
            found.append(torch.linalg.svdvals(product).log().flatten(0, -2).mean(0).exp())
    return torch.stack(found)


def _units(steps: RecordedSteps, n: int) -> Tensor:
    """The unit seeds of every state, (n, B, S, S)."""
    _, B, S = steps.shape
    return torch.eye(S, dtype=steps.kept[0].dtype, device="cpu").expand(n, B, S, S)
