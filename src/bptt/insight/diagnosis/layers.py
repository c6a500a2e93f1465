"""One layer's part in a diagnosis: how its weights, units and Jacobians change the gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ...equations import ElmanEquations, Equations, GRUEquations, LSTMEquations
from ..plain_models import Record
from .jacobians import RecordedSteps, product_singular_values
from .lyapunov import lyapunov_exponents

LayerKind = Literal["vanishing", "exploding", "healthy", "no gradient"]

REST = 0.01  # the part of the gradient that may be left out: "less than 1 %"
EXPLODING = 10.0  # growth of the gradient, over the sequence, that clipping and learning rates no longer absorb
SATURATED = 0.1  # slope below which a unit passes too little back, as a part of its activation's
CLOSED = 0.1  # a gate below it is closed, above 1 - it open
COLUMNS = 1000  # steps times sequences whose Jacobians are looked at, the last ones, at most
OPERATIONS = 20_000_000_000  # that these may cost, about a second; large layers get fewer steps
EXPONENTS = 64  # Lyapunov exponents computed at most, the largest; all of them for states up to this size
LONGEST_PRODUCT = 64  # Jacobians multiplied at most
WINDOWS = 8  # steps, over all sequences, at which such products start


class Gate(NamedTuple):
    """How open a gate is, over all units and steps."""

    mean: float
    closed: float  # share of values below `CLOSED`
    open: float  # share above 1 - `CLOSED`


@dataclass(frozen=True)
class LayerDiagnosis:
    """How one layer and direction changes the gradient that passes through it. Rates are per step.

    Attributes:
        layer: "l0", "l0_reverse", "l1", ...
        cell: "Elman", "GRU" or "LSTM".
        kind: "vanishing": all but 1 % of the gradient comes from lags up to `reach`, which is less than was looked
            at; "exploding": it grows more than tenfold; "healthy": neither; "no gradient": none gets here.
        gradient_by_lag: the mean over t of ‖∂E_t/∂s_{t-lag}‖, (lags + 1); None for a
            bidirectional network, whose error comes from steps on both sides.
        efold_lag: the lag at which it first is below 1/e of that at lag 0, interpolated; inf if it never is.
        reach: the lag beyond which less than 1 % of the sum over lags comes; None if that is beyond those seen.
        growth: the largest of it over that at lag 0.
        spectral_radius: the largest |eigenvalue| of W_s, by name; for a gated cell of each gate's block of it.
        norm: the largest singular value, by the same names.
        saturated: share of Φ's values (of a gated cell's candidate) whose slope is below a tenth.
        gates: each gate's openness; update gate z and forget gate f keep the state where they are open.
        product_lags: how many Jacobians each product has.
        singular_values: of these products, (n, S).
        exponents: the Lyapunov exponents, largest first; λ_1 is the rate of what lasts longest.
    """

    layer: str
    cell: str
    kind: LayerKind
    gradient_by_lag: Tensor | None
    efold_lag: float
    reach: int | None
    growth: float
    spectral_radius: dict[str, float]
    norm: dict[str, float]
    saturated: float
    gates: dict[str, Gate]
    product_lags: list[int]
    singular_values: Tensor
    exponents: Tensor


def diagnose_layer(layer: str, record: Record, by_lag: Tensor | None, lags: int) -> LayerDiagnosis:
    """A layer's numbers and kind.

    Args:
        layer: its name.
        record: its forward pass, T steps, in float64.
        by_lag: the gradient by lag, where there is one.
        lags: how far back was looked.
    """
    T = len(record.x)
    steps = _affordable_steps(record)
    longest = min(LONGEST_PRODUCT, steps.shape[0], max(lags, 1))
    product_lags = [2**i for i in range(longest.bit_length())]
    windows = min(WINDOWS, OPERATIONS // (_jacobian_cost(record) * longest)) // steps.shape[1]
    exponents = lyapunov_exponents(steps, EXPONENTS)
    saturated, gates = ACTIVITY[type(record.cell)](record.cell, steps.kept)
    blocks = _recurrent_blocks(record)
    reach = None if by_lag is None else reach_of(by_lag)
    growth = math.nan if by_lag is None else (by_lag.max() / by_lag[0]).item()
    return LayerDiagnosis(
        layer=layer,
        cell=record.cell.name,
        kind=_kind(by_lag, reach, growth, exponents[0].item(), lags, T),
        gradient_by_lag=by_lag,
        efold_lag=math.nan if by_lag is None else efold_lag(by_lag),
        reach=reach,
        growth=growth,
        spectral_radius={name: torch.linalg.eigvals(w).abs().max().item() for name, w in blocks.items()},
        norm={name: torch.linalg.matrix_norm(w, 2).item() for name, w in blocks.items()},
        saturated=saturated,
        gates=gates,
        product_lags=product_lags,
        singular_values=product_singular_values(steps, product_lags, max(1, windows)),
        exponents=exponents,
    )


def _jacobian_cost(record: Record) -> int:
    """Operations for one step's Jacobian of one sequence: S rows times the recurrent weights."""
    return 2 * sum(part.shape[-1] for part in record.recording.call.state) * record.weights.W_hh.numel()


def _affordable_steps(record: Record) -> RecordedSteps:
    """The steps whose Jacobians are taken: of all sequences, or of fewer where these are dear."""
    B = record.x.shape[1]
    columns = max(LONGEST_PRODUCT, min(COLUMNS, OPERATIONS // _jacobian_cost(record)))
    sequences = max(1, min(B, columns // LONGEST_PRODUCT))
    return RecordedSteps.of(record, columns // sequences, sequences)


def _kind(by_lag: Tensor | None, reach: int | None, growth: float, rate: float, lags: int, T: int) -> LayerKind:
    """By the gradient by lag; by the largest exponent where there is none, or where growth needs more steps."""
    exploding = rate * (T - 1) > math.log(EXPLODING)
    if by_lag is None:
        return "exploding" if exploding else "vanishing" if rate * lags < math.log(REST) else "healthy"
    if by_lag[0] == 0:
        return "no gradient"
    if growth > EXPLODING or (exploding and reach is None):
        return "exploding"
    return "healthy" if reach is None else "vanishing"


def efold_lag(by_lag: Tensor) -> float:
    """Where a gradient by lag first falls below 1/e of its start, log-linear between lags; inf if nowhere.

    >>> round(efold_lag(0.5 ** torch.arange(9.0)) * math.log(2), 6)  # 0.5^lag = e^-1 at lag 1 / log 2
    1.0
    """
    below = (by_lag < by_lag[0] / math.e).nonzero()
    if by_lag[0] == 0 or len(below) == 0:
        return math.inf
    lag = int(below[0])
    high, low = by_lag[lag - 1].item(), by_lag[lag].item()
    if low == 0:
        return float(lag)
    return lag - 1 + math.log(high * math.e / by_lag[0].item()) / math.log(high / low)


def reach_of(by_lag: Tensor) -> int | None:
    """The lag beyond which less than 1 % of the gradient's sum over lags comes, lags not seen included.

    The rest is taken to go on as over the last quarter of the lags. None where it lies beyond those seen.

    >>> reach_of(0.5 ** torch.arange(20.0))  # 0.5^7 < 0.01
    6
    """
    last = len(by_lag) - 1
    quarter = max(1, last // 4)
    total, beyond = by_lag.sum().item(), 0.0
    if last == 0 or total == 0:
        return None
    if by_lag[-1] > 0:
        rate = (by_lag[-1] / by_lag[-1 - quarter]).item() ** (1 / quarter)
        if not rate < 1:
            return None
        beyond = by_lag[-1].item() * rate / (1 - rate)
    left = total + beyond - by_lag.cumsum(0)
    found = (left < REST * (total + beyond)).nonzero()
    return int(found[0]) if len(found) and int(found[0]) < last else None


def _recurrent_blocks(record: Record) -> dict[str, Tensor]:
    """W_s, or each gate's block of it, (H, H); through the projection where there is one."""
    cell, weights = record.cell, record.weights
    names = {GRUEquations: ("W_hr", "W_hz", "W_hn"), LSTMEquations: ("W_hi", "W_hf", "W_hg", "W_ho")}.get(
        type(cell), ("W_s",)
    )
    W = weights.W_hh if weights.W_hr is None else weights.W_hh @ weights.W_hr
    return dict(zip(names, W.chunk(cell.gates), strict=True))


def _elman_activity(cell: ElmanEquations, kept: Any) -> tuple[float, dict[str, Gate]]:
    activation = cell.activation
    a = torch.tensor([-1.0, 0.0, 1.0], dtype=kept.phi.dtype, device="cpu")
    full = activation.derivative(activation.kept(a, activation.function(a))).abs().max()
    slope = activation.adjoint(torch.ones_like(kept.phi), kept.phi).abs()
    return _share(slope < SATURATED * full), {}


def _gru_activity(cell: Equations, kept: Any) -> tuple[float, dict[str, Gate]]:
    return _share(1 - kept.n.square() < SATURATED), {"r": _gate(kept.r), "z": _gate(kept.z)}


def _lstm_activity(cell: Equations, kept: Any) -> tuple[float, dict[str, Gate]]:
    gates = {"i": _gate(kept.i), "f": _gate(kept.f), "o": _gate(kept.o)}
    return _share(1 - kept.g.square() < SATURATED), gates


ACTIVITY: dict[type, Any] = {
    ElmanEquations: _elman_activity,
    GRUEquations: _gru_activity,
    LSTMEquations: _lstm_activity,
}


def _gate(values: Tensor) -> Gate:
    return Gate(values.mean().item(), _share(values < CLOSED), _share(values > 1 - CLOSED))


def _share(where: Tensor) -> float:
    return where.double().mean().item()
