"""Every error against every step: ‖∂E_t/∂s_k‖, and the norm of step k's contribution to ∂E_t/∂W.

All errors are swept back side by side, as a batch of copies of the recorded walk, each with its own error. No
outer product is made: ‖Σ_b δ_b ⊗ x_b‖² = Σ_{b,b'} (δ_b·δ_b') (x_b·x_b').
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..unfolded import weight_factors
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
    for r in (r for layer in records for r in layer):
        found.states[r.layer] = dh.new_zeros(T, T)
        found.weights.update({name: dh.new_zeros(T, T) for name in r.names if name is not None})
    for some in _groups(ends, B, records):
        steps = some[-1] + 1 if len(records[0]) == 1 else T
        d_outputs = dh.new_zeros(steps, len(some), *dh.shape[1:])
        for copy, t in enumerate(some):
            d_outputs[t, copy] = dh[t]
        _sweep(records, d_outputs, some, found)
    for name, (delta, operand) in readout_factors(net, dz, h).items():
        found.weights[name] = torch.diag(_norms(_products(delta.unsqueeze(1)), operand).squeeze(1))
    return found


def _groups(ends: list[int], B: int, records: list[list[Record]]) -> Iterator[list[int]]:
    """Ends side by side, as many as a sweep may hold."""
    widest = max(r.cell.gates * r.unfolded.states.shape[-1] for layer in records for r in layer)
    bidirectional = len(records[0]) > 1
    first = 0
    while first < len(ends):
        last = first
        # The steps that are walked grow with the ends themselves, unless a direction walks all of them.
        while last < len(ends):
            steps = len(records[0][0].x) if bidirectional else ends[last] + 1
            if last > first and (last + 1 - first) * steps * B * widest > SWEPT:
                break
            last += 1
        yield ends[first:last]
        first = last


def _sweep(records: list[list[Record]], d_outputs: Tensor, ends: list[int], found: Norms) -> None:
    """Find the rows of these ends; d_outputs (K, copies, B, D·R) has a copy for each."""
    steps, copies, B, _ = d_outputs.shape

    def back(record: Record, d_outputs: Tensor) -> Tensor:
        adjoint = record.copies(copies, steps).adjoint(d_outputs)
        walked = record.up_to(steps)
        factors = weight_factors(walked.x, walked.unfolded, adjoint, walked.weights)
        products = {id(f.delta): _products(f.delta.unflatten(1, (copies, B))) for f in factors if f is not None}
        norms = factors.each(lambda f: _norms(products[id(f.delta)], f.operand))
        for name, rows in zip(record.names, norms, strict=True):
            if name is not None and rows is not None:
                found.weights[name][ends, :steps] = record.in_time(rows).mT
        dh = adjoint.dh.unflatten(1, (copies, B)).flatten(2).norm(dim=2)
        found.states[record.layer][ends, :steps] = record.in_time(dh).mT
        return adjoint.delta_ih

    back_through_layers(records, d_outputs.flatten(1, 2), back)


def _products(rows: Tensor) -> Tensor:
    """The rows of a batch times each other: (..., B, G) -> (..., B, B)."""
    return rows @ rows.mT


def _norms(products: Tensor, operand: Tensor | None) -> Tensor:
    """‖Σ_b δ_b ⊗ x_b‖ from the products of δ (K, copies, B, B), with x (K, B, I), None for 1: (K, copies)."""
    if operand is None:
        squares = products.sum((-2, -1))
    else:
        squares = (products * _products(operand).unsqueeze(1)).sum((-2, -1))
    return squares.clamp(min=0).sqrt()
