"""Lyapunov exponents: the rates at which a gradient grows or shrinks through time, direction by direction.

Benettin et al. (1980); for recurrent networks Engelken, Wolf & Abbott (2020), "Lyapunov spectra of chaotic
recurrent neural networks", and Vogt et al. (2020), "On Lyapunov exponents for RNNs". Orthonormal directions are
taken through the Jacobians and made orthonormal again by QR at every step; the logarithms of R's diagonal,
averaged, are the exponents. Here they go back in time, as the gradient does: J and Jᵀ have the same exponents.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .jacobians import RecordedSteps, jacobians

CHUNK = 2**19  # numbers of Jacobians made at once: few enough to stay in cache


def lyapunov_exponents(steps: RecordedSteps, count: int | None = None, warm_up: int | None = None) -> Tensor:
    """The largest exponents λ_1 ≥ λ_2 ≥ ... of a forward pass, per step, averaged over its sequences.

    Their sum, with all S of them and no warm-up, is the mean of log|det J_t|.

    Args:
        steps: T of them, S numbers in the state.
        count: how many exponents. Default S, all.
        warm_up: steps, from the last one back, in which the directions only align. Default T / 5.

    Returns:
        (count); -inf for a direction that a step loses altogether.
    """
    T, B, S = steps.shape
    count = S if count is None else min(count, S)
    warm_up = T // 5 if warm_up is None else warm_up
    directions = np.broadcast_to(_start(count, S), (B, S, count))
    sums = np.zeros((B, count))
    chunk = max(1, CHUNK // (B * S * S))
    for stop in range(T, 0, -chunk):
        first = max(0, stop - chunk)
        of_chunk = jacobians(steps, torch.arange(first, stop, device="cpu")).double().mT.numpy()
        for t in range(stop - 1, first - 1, -1):
            # numpy's QR and product: torch's wake every thread for each of these small matrices
            directions, r = np.linalg.qr(of_chunk[t - first] @ directions)
            if T - 1 - t >= warm_up:
                with np.errstate(divide="ignore"):
                    sums += np.log(np.abs(np.diagonal(r, axis1=-2, axis2=-1)))
    return torch.from_numpy(np.sort(sums.mean(0) / (T - warm_up))[::-1].copy())


def _start(count: int, S: int) -> np.ndarray:
    """Orthonormal directions (S, count): all units, or some that no coordinate is alien to."""
    if count == S:
        return np.eye(S)
    return np.linalg.qr(np.random.default_rng(0).standard_normal((S, count)))[0]
