"""Every error against every step: ‖∂E_t/∂s_k‖, and the norm of step k's contribution to ∂E_t/∂W."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..equations import Weights
from ..walks import door
from ..walks.sweep import Errors, products
from .walks import Network, Record, back_through_layers, readout_factors

SWEPT = 4_000_000  # numbers that a sweep writes at once, about


@dataclass(frozen=True)
class Norms:
    """Norms by pair of steps, (T, T), or by lag, (T).

    Attributes:
        states: by layer: "l0", "l0_reverse", "l1", ...; "state" for a cell of one's own.
        weights: by parameter.
    """

    states: dict[str, Tensor]
    weights: dict[str, Tensor]


def norms_by_pair(
    net: Network, records: list[list[Record]], h: Tensor, dz: Tensor, dh: Tensor, ends: list[int]
) -> Norms:
    """Sweep the errors of some steps back, each to all steps.

    Args:
        net, records: the network, and its recorded walk.
        h, dz, dh: its hidden outputs (T, B, D·R); ∂E/∂z (T, B, O) and ∂E/∂h (T, B, D·R) as they enter.
        ends: the steps whose errors are swept, from 0, in order; the rows of the others stay 0.

    Returns:
        (T, T) each: row t, column k.
    """
    T, B, _ = dh.shape
    found = Norms({}, {})
    operands = {r.layer: r.operand_products() for layer in records for r in layer}
    for r in (r for layer in records for r in layer):
        found.states[r.layer] = dh.new_zeros(T, T)
        found.weights.update({name: dh.new_zeros(T, T) for name in r.names if name is not None})
    for group in _groups(ends, B, records):
        _sweep(records, operands, dh, group, found)
    if len(records[0]) == 1:
        for matrix in (*found.states.values(), *found.weights.values()):
            matrix.tril_()
    for name, (delta, operand) in readout_factors(net, dz, h).items():
        of_delta = products(delta)
        of_operand = torch.ones_like(of_delta) if operand is None else products(operand)
        found.weights[name] = torch.diag(_norms(of_delta.unsqueeze(1), [of_operand])[0].squeeze(1))
    return found


def _groups(ends: list[int], B: int, records: list[list[Record]]) -> Iterator[list[int]]:
    """Steps to be swept side by side, the last first, as many as a sweep may hold."""
    widest = max(r.cell.gates * r.unfolded.states.shape[-1] for layer in records for r in layer)
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
    records: list[list[Record]], operands: dict[str, Weights[Tensor]], dh: Tensor, ends: list[int], found: Norms
) -> None:
    """Find the rows of these ends, the last of which comes first; operands: their `operand_products`, by layer."""
    steps, last = _steps(records, ends), dh[ends].flatten(0, 1)
    one_way = len(records[0]) == 1
    entering = last if one_way else Errors(last, ends).dense(steps, dh.shape[1])

    def back(record: Record, entering: Tensor, wanted: bool) -> Tensor | None:
        errors = Errors(entering, ends if one_way else None)
        swept = door.sweep(record.cell, record.x, record.unfolded, record.weights, steps, errors, wanted)
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
