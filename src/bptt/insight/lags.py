"""Every error against the steps before it, by lag = t - k: norms, shares.

Errors go back side by side, as a batch of windows: stretches of the recorded forward pass that end where an error
enters (Werbos 1990, equations 8-13, stopped before the sum over time). All results stand by error and lag,
(errors, lags), as `pairs.mean_by_lag` takes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .pairs import mean_by_lag, shares
from .plain_models import Network, Record, WalkedBack, factors_by_name, into_hidden, readout_factors, walk_back

HELD = 4_000_000  # numbers of one layer's deltas in windows that are held at a time


@dataclass(frozen=True)
class ErrorsByLag:
    """Every error's gradient, by step t and lag; [t - 1, lag] belongs to k = t - lag, 0 where k < 1.

    Attributes:
        flow: ‖∂E_t/∂s_{t-lag}‖ by layer, (T, T).
        norm: the contributions' norms by weight, (T, T).
        share: their components along ∂E_t/∂W as a part of its length, (T, T); each row sums to 1, or is 0.
        total: ‖∂E_t/∂W‖ by weight, (T).
    """

    flow: dict[str, Tensor] = field(default_factory=dict)
    norm: dict[str, Tensor] = field(default_factory=dict)
    share: dict[str, Tensor] = field(default_factory=dict)
    total: dict[str, Tensor] = field(default_factory=dict)


def errors_by_lag(net: Network, records: list[list[Record]], dz: Tensor, h: Tensor) -> ErrorsByLag:
    """Compute the backward pass of ∂E_t/∂z_t for every t.

    Args:
        net: a unidirectional network.
        records: its forward pass over one sequence.
        dz: ∂E_t/∂z_t for every step, (T, O).
        h: the outputs of its last layer, (T, R).
    """
    T = len(dz)
    width = max(record.cell.gates * record.weights.W_hh.shape[1] for (record,) in records)
    groups = torch.arange(T, device=dz.device).split(max(1, HELD // (T * width)))
    found = [_of_group(net, records, dz, h, ends) for ends in groups]
    of_fields = [[getattr(part, name) for part in found] for name in ErrorsByLag.__dataclass_fields__]
    return ErrorsByLag(*({n: torch.cat([part[n] for part in parts]) for n in parts[0]} for parts in of_fields))


def _of_group(
    net: Network,
    records: list[list[Record]],
    dz: Tensor,
    h: Tensor,
    ends: Tensor,
) -> ErrorsByLag:
    """The rows of the errors at some steps, counted from 0."""
    found, T = ErrorsByLag(), len(dz)
    real = ends[:, None] >= torch.arange(T, device=ends.device)  # (errors, lag); what is before step 1 is not used

    def by_lag(rows: Tensor) -> Tensor:
        return torch.where(real[..., None], _by_lag(rows), 0.0)

    walks = back_through_windows(records, into_hidden(net, dz[ends]), ends, T - 1)
    for walk in walks:
        found.flow[walk.layer] = by_lag(walk.dh).norm(dim=-1)
    of_readout = readout_factors(net, _at_the_end(dz[ends], T), h[ends].expand(T, -1, -1))  # of step t alone
    for name, factor in (factors_by_name(net.row_vectors, walks) | of_readout).items():
        delta, operand = by_lag(factor.delta), None if factor.operand is None else by_lag(factor.operand)
        found.norm[name] = delta.norm(dim=-1) * (1 if operand is None else operand.norm(dim=-1))
        gradient = delta.sum(1, keepdim=True) if operand is None else delta.mT @ operand
        along = (delta * gradient if operand is None else (delta @ gradient) * operand).sum(-1)
        square = gradient.square().sum((-2, -1))
        found.share[name], found.total[name] = shares(along, square[:, None]), square.sqrt()
    return found


def gradient_by_lag(records: list[list[Record]], dh: Tensor, lags: int, most: int = 512) -> dict[str, Tensor]:
    """The mean over steps t, and then over sequences, of ‖∂E_t/∂s_{t-lag}‖.

    Args:
        records: the forward pass of a unidirectional network.
        dh: ∂E/∂h of its last layer as it enters at every step, (T, B, R).
        lags: the longest lag; shortened to T - 1.
        most: how many steps t are taken of each sequence at most, spread evenly over those that have an error.

    Returns:
        by layer ("l0", "l1", ...) a tensor (lags + 1); entry 0 is ‖∂E_t/∂s_t‖.
    """
    T, B, _ = dh.shape
    lags = min(lags, T - 1)
    chosen = [_spread(dh[:, b], lags, most) for b in range(B)]
    counts, ends = [len(steps) for steps in chosen], torch.cat(chosen)
    rows = torch.arange(B, device=dh.device).repeat_interleave(torch.tensor(counts, device="cpu").to(dh.device))
    norms = norms_by_lag(back_through_windows(records, dh[ends, rows], ends, lags, rows))
    return {
        layer: torch.stack([mean_by_lag(*part) for part in zip(of_layer.split(counts), chosen, strict=True)]).mean(
            0
        )
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
    """The backward passes of errors over so many lags, side by side as a batch; rows are (lags + 1, errors, ·).

    Args:
        records: the forward pass of a unidirectional network.
        dh: ∂E/∂h of its last layer at each error's step, (errors, R).
        ends: these steps, from 0; of an error with fewer steps before it the first rows are void.
        lags: over how many steps.
        rows: of the batch, whose error it is; None for the first.
    """
    steps = (ends + torch.arange(-lags, 1, device=ends.device)[:, None]).clamp(min=0)  # a column for each window
    rows = torch.zeros_like(ends) if rows is None else rows
    windows = [[r._replace(recording=r.recording.windows(steps, rows))] for (r,) in records]
    return back_from_the_end(windows, dh)


def back_from_the_end(records: list[list[Record]], dh: Tensor) -> list[WalkedBack]:
    """The backward passes of errors that enter at the last step, (B, R)."""
    return walk_back(records, _at_the_end(dh, len(records[0][0].x)))


def norms_by_lag(walks: list[WalkedBack]) -> dict[str, Tensor]:
    """‖∂E_t/∂s_{t-lag}‖ by layer of errors that entered at the last step, (errors, lags + 1)."""
    return {walk.layer: _by_lag(walk.dh).norm(dim=-1) for walk in walks}


def _by_lag(rows: Tensor) -> Tensor:
    """(steps, errors, ·) in the order of time as (errors, lags, ·)."""
    return rows.transpose(0, 1).flip(1)


def _at_the_end(last: Tensor, steps: int) -> Tensor:
    """(steps, *last.shape): zero but at the last step."""
    whole = last.new_zeros(steps, *last.shape)
    whole[-1] = last
    return whole
