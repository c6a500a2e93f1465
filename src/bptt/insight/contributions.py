"""Each step's contribution to a gradient: the gradient of a loss before it is summed over time.

One backward pass, the training's own, whose products with `delta` are kept apart by step; and, on request, every
error against every step (Werbos 1990, equations 8-13; Pascanu, Mikolov & Bengio 2013, "On the difficulty of
training recurrent neural networks", equations 3-5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ..cell import Cell
from ..networks import Elman, SequenceModel
from ..recurrent import Recurrent
from ..walks.unfold import Factor
from .own_cells import StepByStep
from .pairs import ErrorNorms, by_lag, mean_by_lag, norms_by_pair, shares
from .recorded import (
    Bare,
    Criterion,
    Network,
    check_call,
    checked_step,
    error_and_adjoint,
    factors_by_name,
    into_hidden,
    loss_and_adjoint,
    readout_factors,
    record_layers,
    walk_back,
)
from .refusing import refused
from .text_tables import text_html

STRETCHES = 6  # of steps, in the table


class BySteps(Mapping[str, Tensor]):
    """Each step's contribution, by parameter, (T, *shape of the parameter); each made when first asked for."""

    def __init__(self, parts: Mapping[str, Factor | Tensor]) -> None:
        self._parts = dict(parts)

    def __getitem__(self, name: str) -> Tensor:
        part = self._parts[name]
        if isinstance(part, Factor):
            part = self._parts[name] = part.by_step()
        return part

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def summed(self, name: str) -> Tensor:
        """The gradient, the sum over all steps."""
        part = self._parts[name]
        return part.summed() if isinstance(part, Factor) else part.sum(0)

    def along(self, name: str, direction: Tensor) -> Tensor:
        """The inner product of each step's contribution with a tensor of the parameter's shape, (T,)."""
        part = self._parts[name]
        return part.along(direction) if isinstance(part, Factor) else part.flatten(1) @ direction.flatten()


@dataclass(frozen=True, eq=False)
class Contributions:
    """Each step's contribution to the gradient of a loss; print it. Steps count from 1.

    Attributes:
        t: the step whose error's gradient this is; None for the whole loss.
        loss: the loss of all steps, a scalar.
        by_step: by parameter, (T, *shape of the parameter): what each step k contributed. Summed over k it is the
            gradient.
        by_pair: with pairs=True, for every error t (rows) and step k (columns), (T, T):
            ``states[layer]``, ‖∂E_t/∂s_k‖ over the whole batch, everything that flows into s_k counted;
            ``weights[name]``, the norm of what step k contributed to ∂E_t/∂W.
            0 above the diagonal, but where a direction walks backwards in time. Else None.
        steps: the steps t whose error sends anything back.
    """

    t: int | None
    loss: Tensor
    by_step: BySteps
    by_pair: ErrorNorms | None
    steps: tuple[int, ...]
    _sweep: Callable[[], ErrorNorms] = field(repr=False)

    @cached_property
    def gradient(self) -> dict[str, Tensor]:
        """The sum of `by_step` over the steps by parameter, the gradient of the loss, or of E_t with `t`."""
        return {name: self.by_step.summed(name) for name in self.by_step}

    @cached_property
    def shares(self) -> dict[str, Tensor]:
        """How much of the gradient each step contributed, by parameter, (T,).

        The component of its contribution along the gradient as a part of the gradient's length; they sum to 1, and
        below 0 a step works against the others. All are 0 where the gradient is 0.
        """
        found = {}
        for name, gradient in self.gradient.items():
            found[name] = shares(self.by_step.along(name, gradient), gradient.square().sum())
        return found

    @cached_property
    def by_lag(self) -> ErrorNorms:
        """`by_pair` averaged over the errors by lag, t - k, (T,); entry 0 of a layer is the mean of ‖∂E_t/∂s_t‖.

        The mean is over those of `steps` that have so many steps before them. Where a direction walks backwards in
        time, its lag is k - t. Without pairs=True the errors are swept back when this is first read, which then
        costs as much.
        """
        pairs = self._sweep() if self.by_pair is None else self.by_pair
        ends = torch.tensor(self.steps, dtype=torch.long) - 1

        def mean(pairs: Tensor, backwards: bool) -> Tensor:
            before = (len(pairs) - 1 - ends if backwards else ends).to(pairs.device)
            return mean_by_lag(by_lag(pairs, backwards)[before], before)

        def means(by_name: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: mean(pairs, name.endswith("_reverse")) for name, pairs in by_name.items()}

        return ErrorNorms(means(pairs.states), means(pairs.weights))

    def __str__(self) -> str:
        return contributions_text(self)

    def _repr_html_(self) -> str:
        return text_html(str(self))


def contributions_text(c: Contributions) -> str:
    """Per parameter the share of the gradient by stretches of steps, and with pairs the decay by lag."""
    T, lags = len(next(iter(c.shares.values()))), {} if c.by_pair is None else c.by_lag.states
    whose = "the loss" if c.t is None else f"its part that enters at step {c.t}"
    wide = max(len(name) for name in [*c.gradient, *lags])
    stretches = list(pairwise(T * part // min(T, STRETCHES) for part in range(min(T, STRETCHES) + 1)))
    titles = [str(last) if last - first == 1 else f"{first + 1}-{last}" for first, last in stretches]
    lines = [
        f"loss {c.loss.item():.6g}; the gradient of {whose}, by the steps that contributed to it",
        "share: the part that points along the gradient; below 0 it works against it",
        "",
        f"{'steps':<{wide}}  {'norm':>10}" + "".join(f"{title:>11}" for title in titles),
    ]
    for name, share in c.shares.items():
        parts = [share[first:last].sum().item() for first, last in stretches]
        norm = c.gradient[name].norm().item()
        lines.append(f"{name:<{wide}}  {norm:>10.4g}" + "".join(f"{part:>11.1%}" for part in parts))
    if lags:
        lines += ["", *_lag_rows(lags, T, wide)]
    return "\n".join(lines)


def _lag_rows(lags: dict[str, Tensor], T: int, wide: int) -> list[str]:
    shown = [0] + [2**n for n in range(T.bit_length()) if 2**n < T]
    rows = ["‖∂E_t/∂s_{t-lag}‖, the mean over the errors"]
    rows.append(f"{'lag':<{wide}}" + "".join(f"{lag:>10}" for lag in shown))
    rows += [f"{n:<{wide}}" + "".join(f"{by_lag[k].item():>10.3g}" for k in shown) for n, by_lag in lags.items()]
    return rows


def contributions(
    model: Elman | SequenceModel | Recurrent | Cell,
    x: Tensor,
    d: Any,
    criterion: Criterion,
    *,
    t: int | None = None,
    pairs: bool = False,
) -> Contributions:
    """Compute what each step contributes to the gradient of a loss, by parameter.

    With E the loss of all steps, the error E_t is the part of it that enters at y_t: what row t of ∂E/∂y alone
    sends back. So the loss may be a sum or a mean over steps, or weigh some of them with 0.

    The model is taken as it is, without dropout. Frozen parameters are included; every .grad stays as it is. The
    contribution of a learned initial state of a `bptt.Cell` counts with step 1.

    Args:
        model: a `bptt.Elman` or `bptt.SequenceModel`; a `bptt.RNN`, `GRU` or `LSTM`, whose output is y; or a
            `bptt.Cell`, which goes through autograd and is slower.
        x: the input, as the model takes it: (T, B, I), or (B, T, I) where it is batch_first, or (T, I); a
            `bptt.Cell` takes (T, B, ·) or (B, T, ·) alone.
        d: the targets, as the criterion takes them.
        criterion: (y, d) -> scalar, with y of all steps, laid out as the model does; `bptt.cross_entropy` is
            computed from the outputs before a softmax.
        t: the step whose error E_t alone is differentiated, from 1 to T. Default None: the whole loss.
        pairs: whether to set every error against every step. Default False.

    Returns:
        by_step, by_lag and, with pairs, by_pair; print it.

    Raises:
        TypeError: an argument is of another type; the model holds other things than these.
        ValueError: t is outside 1..T, the loss is no scalar, or parameters are shared or computed from others.

    >>> from bptt import RNN
    >>> model = SequenceModel(RNN(2, 3), 1)
    >>> c = contributions(model, torch.ones(5, 4, 2), torch.zeros(5, 4, 1), nn.MSELoss(), pairs=True)
    >>> tuple(c.by_step["recurrent.weight_hh_l0"].shape), tuple(c.by_pair.states["l0"].shape)
    ((5, 3, 3), (5, 5))
    """
    if not isinstance(model, Elman | SequenceModel | Recurrent | Cell):
        raise TypeError(
            f"contributions takes a bptt.Elman, SequenceModel, RNN, GRU, LSTM or Cell, got {refused(model)}"
        )
    check_call(criterion)
    if isinstance(model, Cell):
        return _of_cell(model, x, d, criterion, t, pairs)
    net: Network = Bare(model) if isinstance(model, Recurrent) else model
    h, records = record_layers(net, x.detach().clone() if isinstance(x, Tensor) else x)  # the caller may change x
    error, dz = error_and_adjoint(net, h, d, criterion)
    h, dz = (_time_major(rows, net.batch_first) for rows in (h, dz))
    dz, ends = _entering(dz, t)
    dh = into_hidden(net, dz)
    factors = factors_by_name(net, walk_back(records, dh)) | readout_factors(net, dz, h)
    by_step = BySteps({name: factors[name] for name in _checked_names(model, factors)})
    records = [[r._replace(recording=r.recording.with_own_weights()) for r in layer] for layer in records]

    def sweep() -> ErrorNorms:
        return norms_by_pair(net, records, h, dz, dh, ends)

    return _contributions(t, error, by_step, ends, sweep, pairs)


def _of_cell(cell: Cell, x: Tensor, d: Any, criterion: Criterion, t: int | None, pairs: bool) -> Contributions:
    try:
        walk = StepByStep(cell, x)
        error, dy = loss_and_adjoint(walk.y, d, criterion)
    except (RuntimeError, ValueError) as refused:
        if x.dim() != 2:
            raise
        batch = 0 if cell.batch_first else 1
        raise ValueError(
            f"{refused} (a bptt.Cell takes this x, {tuple(x.shape)}, as {x.shape[batch]} sequences without "
            f"features; if it is one sequence, pass x.unsqueeze({batch}) and d.unsqueeze({batch}))"
        ) from refused
    dy, ends = _entering(dy.transpose(0, 1) if cell.batch_first else dy, t)
    return _contributions(t, error, BySteps(walk.by_step(dy)), ends, lambda: walk.norms_by_pair(dy, ends), pairs)


def _contributions(
    t: int | None, error: Tensor, by_step: BySteps, ends: list[int], sweep: Callable[[], ErrorNorms], pairs: bool
) -> Contributions:
    return Contributions(t, error, by_step, sweep() if pairs else None, tuple(end + 1 for end in ends), sweep)


def _entering(dz: Tensor, t: int | None) -> tuple[Tensor, list[int]]:
    """∂E/∂z of the one step that is asked for, or of all, and the steps from 0 where it is not zero."""
    if t is not None:
        t = checked_step("t", t, len(dz))
        alone = torch.zeros_like(dz)
        alone[t - 1] = dz[t - 1]
        dz = alone
    largest = dz.flatten(1).abs().amax(1) if dz.numel() else dz.new_zeros(len(dz))  # NaN counts
    return dz, largest.nonzero().flatten().tolist()


def _checked_names(model: nn.Module, factors: dict[str, Factor]) -> list[str]:
    names = [name for name, _ in model.named_parameters()]
    if set(names) != set(factors):
        odd = sorted(set(names) ^ set(factors))
        raise ValueError(
            f"contributions are computed for parameters that a {type(model).__name__} uses as they are, each in "
            f"one place; {', '.join(odd)} are shared, computed from others (a parametrization) or outside its "
            "layers"
        )
    return names


def _time_major(rows: Tensor, batch_first: bool) -> Tensor:
    """(T, B, ·), of a network's rows of either layout or of one sequence."""
    if rows.dim() == 2:
        return rows.unsqueeze(1)
    return rows.transpose(0, 1) if batch_first else rows
