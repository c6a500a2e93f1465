"""The backward pass of every error, for networks that are too large for a page to compute with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..insight.lags import errors_by_lag
from ..insight.plain_models import error_and_adjoint, record_layers
from ..losses import cross_entropy
from .network import MOST_STEPS, Experiment, is_live, rounded

KEPT = 24  # lags of contributions that are kept one by one
WORK = 40_000_000_000  # multiplications that a recording may cost


@dataclass(frozen=True)
class RecordedErrors:
    """One network's numbers, by step t and within it by lag.

    Attributes:
        outputs: y_t; errors: E_t.
        flow: ‖∂E_t/∂s_{t-lag}‖ by layer.
        norm, share: of the contributions, by weight, up to `KEPT` lags; total: ‖∂E_t/∂W‖.
    """

    outputs: list[Any]
    errors: list[Any]
    flow: dict[str, list[Any]]
    norm: dict[str, list[Any]]
    share: dict[str, list[Any]]
    total: dict[str, list[Any]]


def most_steps(net: Any) -> int:
    """The longest sequence that a page can show; of recorded networks T² times the weights is bounded."""
    if is_live(net):
        return MOST_STEPS
    weights = sum(parameter.numel() for parameter in net.parameters())
    return max(1, min(MOST_STEPS, int((WORK / (4 * weights)) ** 0.5)))


def record_errors(experiment: Experiment) -> RecordedErrors:
    """Compute the backward pass of every single error."""
    net, x, d, criterion = experiment
    h, by_layer = record_layers(net, x)
    _, dz = error_and_adjoint(net, h, d, criterion)
    errors = errors_by_lag(net, by_layer, dz, h)
    z = net.readout(h).detach()

    def by_lag(tensors: dict[str, torch.Tensor], kept: int) -> dict[str, list[Any]]:
        cut = {name: rounded(tensor[:, :kept], 4) for name, tensor in tensors.items()}
        return {name: [row[: t + 1] for t, row in enumerate(rows)] for name, rows in cut.items()}

    return RecordedErrors(
        outputs=rounded(torch.softmax(z, -1) if net.softmax or criterion is cross_entropy else z),
        errors=[rounded(error_and_adjoint(net, h[t], d[t], criterion)[0]) for t in range(len(h))],
        flow=by_lag(errors.flow, len(x)),
        norm=by_lag(errors.norm, KEPT),
        share=by_lag(errors.share, KEPT),
        total={name: rounded(total) for name, total in errors.total.items()},
    )
