"""Every error of a sequence taken back on its own: what E_t sends to step k, for all pairs (t, k) at once.

The steps t stand side by side as one batch of windows, so that all of them are walked back in one go (Werbos 1990,
equations 8-13, stopped before the sum over time). Entry [t - 1, lag] belongs to k = t - lag and is 0 where k < 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..networks import Elman, SequenceModel
from ..walks.unfold import Factor
from .walks import Record, into_hidden, walk_back

ROOM = 4_000_000  # numbers of one layer's deltas that are held at a time


@dataclass(frozen=True)
class EveryError:
    """What every error sends back, by step t and lag.

    Attributes:
        flow: ‖∂E_t/∂s_{t-lag}‖ by layer, (T, T).
        norm: the contributions' norms by weight, (T, T).
        share: their components along ∂E_t/∂W as a part of its length, (T, T); each row sums to 1, or is 0.
        total: ‖∂E_t/∂W‖ by weight, (T).
        states, deltas: ∂E_t/∂s_{t-lag} (T, K, R) and ∂E_t/∂a_{t-lag} (T, K, G·H) by layer, K = ``detail``.
        parts: the contributions themselves by weight, shaped as the network has it, (T, K, *shape); empty where
            they were not asked for.
    """

    flow: dict[str, Tensor]
    norm: dict[str, Tensor]
    share: dict[str, Tensor]
    total: dict[str, Tensor]
    states: dict[str, Tensor]
    deltas: dict[str, Tensor]
    parts: dict[str, Tensor]


def every_error(
    net: Elman | SequenceModel,
    records: list[list[Record]],
    dz: Tensor,
    h: Tensor,
    detail: int = 0,
    matrices: bool = False,
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
    together = max(1, ROOM // (T * width))
    found = [
        dict(_window(net, records, dz, ends, detail, matrices))
        for ends in torch.arange(T, device=dz.device).split(together)
    ]
    joined = {key: torch.cat([part[key] for part in found]) for key in found[0]}
    joined |= _readout(net, dz, h, T, detail, matrices)
    fields: dict[str, dict[str, Tensor]] = {name: {} for name in EveryError.__dataclass_fields__}
    for (field, name), tensor in joined.items():
        fields[field][name] = tensor
    return EveryError(**fields)


Named = Iterator[tuple[tuple[str, str], Tensor]]


def _window(
    net: Elman | SequenceModel, records: list[list[Record]], dz: Tensor, ends: Tensor, detail: int, matrices: bool
) -> Named:
    """((field of EveryError, layer or weight), its rows) for the errors at these steps, counted from 0."""
    T = len(dz)
    steps = ends + torch.arange(1 - T, 1, device=ends.device)[:, None]  # (T, C): each column a window
    real = (steps >= 0).T.flip(1)  # (C, lag); before step 1 the windows are filled up, and nothing of it is used
    dh = into_hidden(net, dz[ends])
    d_outputs = dh.new_zeros(T, *dh.shape)
    d_outputs[-1] = dh
    for walk in walk_back([[record.windows(steps.clamp(min=0))] for (record,) in records], d_outputs):
        d_states, deltas = _by_lag(walk.dh, real), _by_lag(walk.delta, real)
        yield ("flow", walk.layer), d_states.norm(dim=-1)
        yield ("states", walk.layer), d_states[:, :detail]
        yield ("deltas", walk.layer), deltas[:, :detail]
        for name, factor in zip(walk.names, walk.factors, strict=True):
            if name is not None and factor is not None:
                operand = None if factor.operand is None else _by_lag(factor.operand, real)
                of_weight = _weighed(Factor(_by_lag(factor.delta, real), operand))
                yield from (((field, name), rows) for field, rows in of_weight.items())
                if matrices:
                    parts = _products(_by_lag(factor.delta, real)[:, :detail], operand, detail)
                    yield ("parts", name), parts.mT if net.row_vectors and parts.dim() == 4 else parts


def _by_lag(rows: Tensor, real: Tensor) -> Tensor:
    """(T, C, ·) in the order of time as (C, lag, ·), zero before step 1."""
    return torch.where(real[..., None], rows.transpose(0, 1).flip(1), 0.0)


def _weighed(factor: Factor) -> dict[str, Tensor]:
    """Norms and shares of a weight's contributions, from delta (C, T, G) and operand (C, T, I)."""
    delta, operand = factor
    if operand is None:
        norm, gradient = delta.norm(dim=-1), delta.sum(1)
        along = (delta * gradient[:, None]).sum(-1)
        square = gradient.square().sum(-1)
    else:
        norm, gradient = delta.norm(dim=-1) * operand.norm(dim=-1), delta.mT @ operand
        along = ((delta @ gradient) * operand).sum(-1)
        square = gradient.square().sum((-2, -1))
    share = torch.where(square[:, None] > 0, along / square[:, None], 0.0)
    return {"norm": norm, "share": share, "total": square.sqrt()}


def _products(delta: Tensor, operand: Tensor | None, detail: int) -> Tensor:
    """The contributions (C, K, G, I) or, of a bias, (C, K, G)."""
    return delta if operand is None else delta[..., None] * operand[:, :detail, None]


def _readout(
    net: Elman | SequenceModel, dz: Tensor, h: Tensor, T: int, detail: int, matrices: bool
) -> dict[tuple[str, str], Tensor]:
    """The read-out's part: only step t itself contributes, ∂E_t/∂W_y = h_tᵀ dz_t."""
    found: dict[tuple[str, str], Tensor] = {}
    for name, operand in zip(net.readout_names(), (h, None), strict=True):
        if name is None:
            continue
        norm = dz.norm(dim=-1) * (1 if operand is None else operand.norm(dim=-1))
        found["total", name] = norm
        found["norm", name] = torch.zeros(T, T, dtype=dz.dtype, device=dz.device)
        found["share", name] = torch.zeros_like(found["norm", name])
        found["norm", name][:, 0], found["share", name][:, 0] = norm, (norm > 0).to(norm.dtype)
        if matrices:
            part = _products(dz[:, None], None if operand is None else operand[:, None], 1)
            whole = part.new_zeros(T, detail, *part.shape[2:])
            whole[:, :1] = part
            found["parts", name] = whole.mT if net.row_vectors and part.dim() == 4 else whole
    return found
