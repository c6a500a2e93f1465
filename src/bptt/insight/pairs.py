"""Every error against every step, as norms: of ∂E_t/∂s_k, and of what step k contributes to ∂E_t/∂W.

Errors go back side by side as copies that share one recorded forward pass, a sweep (Werbos 1990, equations 8-13,
stopped before the sum over time). `mean_by_lag` averages norms over the errors, those of lags.py as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..equations import Weights
from ..walks.sweep import Errors
from .plain_models import Network, Record, back_through_layers, readout_factors

SWEPT = 4_000_000  # numbers that a sweep writes at once, about


@dataclass(frozen=True)
class ErrorNorms:
    """Norms of every error's gradient, by pair of steps, (T, T), or by lag, (T).

    Attributes:
        states: by layer: "l0", "l0_reverse", "l1", ...; "state" for a `bptt.Cell`.
        weights: by parameter.
    """

    states: dict[str, Tensor]
    weights: dict[str, Tensor]


def norms_by_pair(records: list[list[Record]], dh: Tensor, ends: list[int]) -> ErrorNorms:
    """Sweep the errors of some steps back, each to all steps.

    Args:
        records: a network's recorded forward pass.
        dh: ∂E/∂h as it enters, (T, B, D·R).
        ends: the steps whose errors are swept, from 0, in order; the rows of the others stay 0.

    Returns:
        (T, T) each: row t, column k.
    """
    T, B, _ = dh.shape
    found = ErrorNorms({}, {})
    operands = {r.layer: r.operand_products() for layer in records for r in layer}
    for r in (r for layer in records for r in layer):
        found.states[r.layer] = dh.new_zeros(T, T)
        found.weights.update({name: dh.new_zeros(T, T) for name in r.names if name is not None})
    for group in _groups(ends, B, records):
        _sweep(records, operands, dh, group, found)
    if len(records[0]) == 1:
        for matrix in (*found.states.values(), *found.weights.values()):
            matrix.tril_()
    return found


def readout_norms(net: Network, dz: Tensor, h: Tensor) -> dict[str, Tensor]:
    """The norms by pair of the read-out's weights, (T, T): an error reaches them at its own step alone.

    Args:
        dz: ∂E/∂z as it enters, (T, B, O).
        h: the network's hidden outputs, (T, B, D·R).
    """
    return {name: torch.diag(factor.norms()) for name, factor in readout_factors(net, dz, h).items()}


def by_lag(pairs: Tensor, backwards: bool = False) -> Tensor:
    """Norms by pair (T, T) laid out by error and lag (T, T); 0 where a lag reaches back before the first step.

    Args:
        pairs: row t, column k.
        backwards: whether the direction walks backwards in time; t and k then count from the end, and the lag is
            k - t.
    """
    pairs = pairs.flip(0, 1) if backwards else pairs
    steps = torch.arange(len(pairs), device=pairs.device)
    k = steps[:, None] - steps
    return torch.where(k >= 0, pairs.gather(1, k.clamp(min=0)), 0)


def mean_by_lag(norms: Tensor, ends: Tensor) -> Tensor:
    """Norms by error and lag, averaged over the errors that have so many steps before them: (lags).

    Args:
        norms: (errors, lags), 0 where an error has fewer steps before it.
        ends: the errors' steps, from 0.
    """
    reaching = ends[:, None] >= torch.arange(norms.shape[1], device=norms.device)
    return norms.sum(0) / reaching.sum(0).clamp(min=1)


def shares(along: Tensor, square: Tensor) -> Tensor:
    """Which part of a gradient contributions are: their products with it over its square; 0 where it is 0."""
    return along / torch.where(square > 0, square, 1)


def _groups(ends: list[int], B: int, records: list[list[Record]]) -> Iterator[list[int]]:
    """Steps to be swept side by side, the last first, as many as a sweep may hold."""
    widest = max(r.cell.gates * r.states.shape[-1] for layer in records for r in layer)
    waiting = sorted(ends, reverse=True)
    while waiting:
        steps = _steps(records, waiting)
        many = max(1, SWEPT // max(1, steps * B * widest))
        yield waiting[:many]
        waiting = waiting[many:]


def _steps(records: list[list[Record]], ends: list[int]) -> int:
    """How many steps errors reach: up to the last of them, or all where a direction walks backwards in time."""
    return ends[0] + 1 if len(records[0]) == 1 else len(records[0][0].x)


def _sweep(
    records: list[list[Record]],
    operands: dict[str, Weights[Tensor]],
    dh: Tensor,
    ends: list[int],
    found: ErrorNorms,
) -> None:
    """Find the rows of these ends, the last of which comes first; operands: their `operand_products`, by layer."""
    steps, last = _steps(records, ends), dh[ends].flatten(0, 1)
    one_way = len(records[0]) == 1
    entering = last if one_way else Errors(last, ends).dense(steps, dh.shape[1])

    def back(record: Record, entering: Tensor, wanted: bool) -> Tensor | None:
        errors = Errors(entering, ends if one_way else None)
        swept = record.recording.sweep(steps, errors, wanted)
        found.states[record.layer][ends, :steps] = record.in_time(swept.squares.sqrt()).mT
        deltas = (swept.ih, swept.hh, swept.ih, swept.hh, swept.h)
        named = [
            (name, delta, operand)
            for name, delta, operand in zip(record.names, deltas, operands[record.layer], strict=True)
            if name is not None and delta is not None and operand is not None
        ]
        for delta in {id(delta): delta for _, delta, _ in named}.values():  # read once for all that share it
            shared = [(name, operand[:steps]) for name, other, operand in named if other is delta]
            for (name, _), norms in zip(shared, _norms(delta, [operand for _, operand in shared]), strict=True):
                found.weights[name][ends, :steps] = record.in_time(norms).mT
        return swept.d_inputs

    back_through_layers(records, entering, back)


def _norms(deltas: Tensor, operands: list[Tensor]) -> tuple[Tensor, ...]:
    """‖Σ_b δ_b ⊗ x_b‖ of each step and copy, (K, copies), for each operand x.

    Args:
        deltas: the rows of δ times each other, (K, copies, B, B).
        operands: those of each x, (K, B, B).
    """
    rows = torch.stack([operand.flatten(1) for operand in operands], 1)
    return (rows @ deltas.flatten(2).mT).clamp(min=0).sqrt().unbind(1)
