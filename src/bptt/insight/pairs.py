"""Every error against every step: ∂E_t/∂s_k, and what step k contributes to ∂E_t/∂W.

As norms by pair of steps (`norms_by_pair`), in full by step and lag (`every_error`), or as means by lag
(`gradient_by_lag`). Errors go back side by side (Werbos 1990, equations 8-13, stopped before the sum over time):
for norms by pair as copies that share the recorded walk, a sweep; for the others as a batch of windows, stretches
of the walk that end where an error enters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..equations import Weights
from ..walks.sweep import Errors, products
from .recorded import (
    Network,
    Record,
    WalkedBack,
    back_through_layers,
    factors_by_name,
    into_hidden,
    readout_factors,
    walk_back,
)

SWEPT = 4_000_000  # numbers that a sweep writes at once, about
HELD = 4_000_000  # numbers of one layer's deltas in windows that are held at a time


@dataclass(frozen=True)
class ErrorNorms:
    """Norms of every error's gradient, by pair of steps, (T, T), or by lag, (T).

    Attributes:
        states: by layer: "l0", "l0_reverse", "l1", ...; "state" for a `bptt.Cell`.
        weights: by parameter.
    """

    states: dict[str, Tensor]
    weights: dict[str, Tensor]


def norms_by_pair(
    net: Network, records: list[list[Record]], h: Tensor, dz: Tensor, dh: Tensor, ends: list[int]
) -> ErrorNorms:
    """Sweep the errors of some steps back, each to all steps.

    Args:
        net, records: the network, and its recorded walk.
        h, dz, dh: its hidden outputs (T, B, D·R); ∂E/∂z (T, B, O) and ∂E/∂h (T, B, D·R) as they enter.
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
    for name, (delta, operand) in readout_factors(net, dz, h).items():
        of_delta = products(delta)
        of_operand = torch.ones_like(of_delta) if operand is None else products(operand)
        found.weights[name] = torch.diag(_norms(of_delta.unsqueeze(1), [of_operand])[0].squeeze(1))
    return found


def mean_by_lag(pairs: Tensor, ends: list[int], backwards: bool = False) -> Tensor:
    """Norms by pair (T, T) averaged by lag (T), over those of the errors that have so many steps before them.

    Args:
        pairs: row t, column k.
        ends: the steps that have an error, from 0.
        backwards: whether the direction walks backwards in time; the lag is then k - t, and the steps before are
            those after.
    """
    T = len(pairs)
    has_error = pairs.new_zeros(T)
    has_error[ends] = 1
    if backwards:
        pairs, has_error = pairs.flip(0, 1), has_error.flip(0)
    sums = torch.stack([pairs.diagonal(-lag).sum() for lag in range(T)])
    return sums / has_error.flip(0).cumsum(0).flip(0).clamp(min=1)


def shares(along: Tensor, square: Tensor) -> Tensor:
    """Which part of a gradient contributions are: their products with it over its square; 0 where it is 0."""
    return along / torch.where(square > 0, square, 1)


@dataclass(frozen=True)
class EveryError:
    """Norms of every error's gradient, by step t and lag; [t - 1, lag] belongs to k = t - lag, 0 where k < 1.

    Attributes:
        flow: ‖∂E_t/∂s_{t-lag}‖ by layer, (T, T).
        norm: the contributions' norms by weight, (T, T).
        share: their components along ∂E_t/∂W as a part of its length, (T, T); each row sums to 1, or is 0.
        total: ‖∂E_t/∂W‖ by weight, (T).
        states, deltas: ∂E_t/∂s_{t-lag} (T, K, R) and ∂E_t/∂a_{t-lag} (T, K, G·H) by layer, K = ``detail``.
        parts: the contributions themselves by weight, shaped as the network has it, (T, K, *shape); empty where
            they were not asked for.
    """

    flow: dict[str, Tensor] = field(default_factory=dict)
    norm: dict[str, Tensor] = field(default_factory=dict)
    share: dict[str, Tensor] = field(default_factory=dict)
    total: dict[str, Tensor] = field(default_factory=dict)
    states: dict[str, Tensor] = field(default_factory=dict)
    deltas: dict[str, Tensor] = field(default_factory=dict)
    parts: dict[str, Tensor] = field(default_factory=dict)

    def mean_flow(self) -> dict[str, Tensor]:
        """`flow` by lag, the mean over all t that have so many steps before them: (T) by layer."""
        return {n: flow.sum(0) / torch.arange(len(flow), 0, -1).to(flow) for n, flow in self.flow.items()}


def every_error(
    net: Network, records: list[list[Record]], dz: Tensor, h: Tensor, detail: int = 0, matrices: bool = False
) -> EveryError:
    """Take ∂E_t/∂z_t back for every t.

    Args:
        net: a unidirectional network.
        records: its walk over one sequence, as `record` returns it.
        dz: ∂E_t/∂z_t for every step, (T, O).
        h: the outputs of its last layer, (T, R).
        detail: K, for how many lags the vectors are kept. Default 0.
        matrices: whether the contributions are kept as matrices as well. Default False.
    """
    T = len(dz)
    width = max(record.cell.gates * record.weights.W_hh.shape[1] for (record,) in records)
    groups = torch.arange(T, device=dz.device).split(max(1, HELD // (T * width)))
    found = [_of_group(net, records, dz, h, ends, detail, matrices) for ends in groups]
    of_fields = [[getattr(part, name) for part in found] for name in EveryError.__dataclass_fields__]
    return EveryError(*({n: torch.cat([part[n] for part in parts]) for n in parts[0]} for parts in of_fields))


def _of_group(
    net: Network,
    records: list[list[Record]],
    dz: Tensor,
    h: Tensor,
    ends: Tensor,
    detail: int,
    matrices: bool,
) -> EveryError:
    """The rows of the errors at some steps, counted from 0."""
    found, T = EveryError(), len(dz)
    real = ends[:, None] >= torch.arange(T, device=ends.device)  # (errors, lag); what is before step 1 is not used

    def by_lag(rows: Tensor) -> Tensor:
        """(T, errors, ·) in the order of time as (errors, lag, ·)."""
        return torch.where(real[..., None], rows.transpose(0, 1).flip(1), 0.0)

    walks = back_through_windows(records, into_hidden(net, dz[ends]), ends, T - 1)
    for walk in walks:
        states, deltas = by_lag(walk.dh), by_lag(walk.delta)
        found.flow[walk.layer] = states.norm(dim=-1)
        found.states[walk.layer], found.deltas[walk.layer] = states[:, :detail], deltas[:, :detail]
    of_readout = readout_factors(net, _at_the_end(dz[ends], T), h[ends].expand(T, -1, -1))  # of step t alone
    for name, factor in (factors_by_name(net, walks) | of_readout).items():
        delta, operand = by_lag(factor.delta), None if factor.operand is None else by_lag(factor.operand)
        found.norm[name] = delta.norm(dim=-1) * (1 if operand is None else operand.norm(dim=-1))
        gradient = delta.sum(1, keepdim=True) if operand is None else delta.mT @ operand
        along = (delta * gradient if operand is None else (delta @ gradient) * operand).sum(-1)
        square = gradient.square().sum((-2, -1))
        found.share[name], found.total[name] = shares(along, square[:, None]), square.sqrt()
        if matrices:
            delta = delta[:, :detail]
            found.parts[name] = delta if operand is None else delta[..., None] * operand[:, :detail, None]
    return found


def gradient_by_lag(records: list[list[Record]], dh: Tensor, lags: int, most: int = 512) -> dict[str, Tensor]:
    """The mean over steps t, and then over sequences, of ‖∂E_t/∂s_{t-lag}‖.

    Args:
        records: the walk of a unidirectional network, as `record` returns it.
        dh: ∂E/∂h of its last layer as it enters at every step, (T, B, R).
        lags: the longest lag; shortened to T - 1.
        most: how many steps t are taken of each sequence at most, spread evenly over those that have an error.

    Returns:
        by layer ("l0", "l1", ...) a tensor (lags + 1); entry 0 is ‖∂E_t/∂s_t‖.
    """
    T, B, _ = dh.shape
    lags = min(lags, T - 1)
    chosen = [_spread(dh[:, b], lags, most) for b in range(B)]
    ends = torch.cat(chosen)
    rows = torch.arange(B, device=dh.device).repeat_interleave(
        torch.tensor([len(c) for c in chosen]).to(dh.device)
    )
    norms = norms_by_lag(back_through_windows(records, dh[ends, rows], ends, lags, rows))
    return {
        layer: torch.stack([part.mean(1) for part in of_layer.split([len(c) for c in chosen], 1)]).mean(0)
        for layer, of_layer in norms.items()
    }


def _spread(dh: Tensor, lags: int, most: int) -> Tensor:
    """At most so many steps, spread evenly over those with enough steps before them and an error; dh (T, R)."""
    able = torch.arange(lags, len(dh), device=dh.device)
    able = able[dh[lags:].any(-1)] if dh[lags:].any() else able  # where none has an error, over all
    return able[torch.linspace(0, len(able) - 1, min(most, len(able)), device=dh.device).round().long()]


def back_through_windows(
    records: list[list[Record]], dh: Tensor, ends: Tensor, lags: int, rows: Tensor | None = None
) -> list[WalkedBack]:
    """Take errors back over so many lags, side by side as a batch; their rows are (lags + 1, errors, ·).

    Args:
        records: the walk of a unidirectional network.
        dh: ∂E/∂h of its last layer at each error's step, (errors, R).
        ends: these steps, from 0; of an error with fewer steps before it the first rows are void.
        lags: over how many steps.
        rows: of the walk's batch, whose error it is; None for the first.
    """
    steps = (ends + torch.arange(-lags, 1, device=ends.device)[:, None]).clamp(min=0)  # a column for each window
    rows = torch.zeros_like(ends) if rows is None else rows
    return back_from_the_end([[record.windows(steps, rows)] for (record,) in records], dh)


def back_from_the_end(records: list[list[Record]], dh: Tensor) -> list[WalkedBack]:
    """Take errors back that enter at a walk's last step, (B, R)."""
    return walk_back(records, _at_the_end(dh, len(records[0][0].x)))


def norms_by_lag(walks: list[WalkedBack]) -> dict[str, Tensor]:
    """‖∂E_t/∂s_{t-lag}‖ by layer of errors that entered at the last step, (lags + 1, errors)."""
    return {walk.layer: walk.dh.norm(dim=-1).flip(0) for walk in walks}


def _at_the_end(last: Tensor, steps: int) -> Tensor:
    """(steps, *last.shape): zero but at the last step."""
    whole = last.new_zeros(steps, *last.shape)
    whole[-1] = last
    return whole


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
