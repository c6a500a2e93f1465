"""The result of `contributions`: each step's contribution to a gradient, its shares, and the decay by lag."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ..walks.unfold import Factor
from .html_tables import Bar, bars, paragraphs, table_html
from .pairs import ErrorNorms, by_lag, mean_by_lag, shares

STRETCHES = 6  # of steps, in the table
LAG_TITLE = "‖∂E_t/∂s_{t-lag}‖, the mean over the errors"


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

    def norms(self, name: str) -> Tensor:
        """The norm of each step's contribution, (T,), without forming (T, *shape of the parameter)."""
        part = self._parts[name]
        return part.norms() if isinstance(part, Factor) else part.flatten(1).norm(dim=1)

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
        steps: the steps t whose error has a gradient.
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
        ends = torch.tensor(self.steps, dtype=torch.long, device="cpu") - 1

        def mean(pairs: Tensor, backwards: bool) -> Tensor:
            before = (len(pairs) - 1 - ends if backwards else ends).to(pairs.device)
            return mean_by_lag(by_lag(pairs, backwards)[before], before)

        def means(by_name: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: mean(pairs, name.endswith("_reverse")) for name, pairs in by_name.items()}

        return ErrorNorms(means(pairs.states), means(pairs.weights))

    def __str__(self) -> str:
        return "\n".join([*_headings(self), "", *share_rows(self)])

    def _repr_html_(self) -> str:
        return paragraphs(_headings(self)) + share_tables(self)


def _headings(c: Contributions) -> list[str]:
    whose = "the loss" if c.t is None else f"its part that enters at step {c.t}"
    return [
        f"loss {c.loss.item():.6g}; the gradient of {whose}, by the steps that contributed to it",
        "share: the part that points along the gradient; below 0 it works against it",
    ]


class _Stretches(NamedTuple):
    """Neighbouring steps whose shares are summed, and the shares of each parameter."""

    titles: list[str]
    shares: dict[str, list[float]]


def _stretches(c: Contributions) -> _Stretches:
    T = _steps(c)
    ends = list(pairwise(T * part // min(T, STRETCHES) for part in range(min(T, STRETCHES) + 1)))
    titles = [str(last) if last - first == 1 else f"{first + 1}-{last}" for first, last in ends]
    return _Stretches(titles, {n: [s[a:b].sum().item() for a, b in ends] for n, s in c.shares.items()})


def _steps(c: Contributions) -> int:
    return len(next(iter(c.shares.values())))


def _lags(c: Contributions) -> dict[str, Tensor]:
    return {} if c.by_pair is None else c.by_lag.states


def share_rows(c: Contributions) -> list[str]:
    """Per parameter the share of the gradient by stretches of steps, and with pairs the decay by lag."""
    (titles, by_name), lags = _stretches(c), _lags(c)
    wide = max(len(name) for name in [*c.gradient, *lags])
    column = max(9, *(len(title) + 2 for title in titles))
    rows = [f"{'steps':<{wide}}  {'norm':>10}" + "".join(f"{title:>{column}}" for title in titles)]
    for name, parts in by_name.items():
        norm = c.gradient[name].norm().item()
        rows.append(f"{name:<{wide}}  {norm:>10.4g}" + "".join(f"{part:>z{column}.1%}" for part in parts))
    return [*rows, "", *_lag_rows(lags, _steps(c), wide)] if lags else rows


def share_tables(c: Contributions) -> str:
    """`share_rows` as tables for a notebook, with a picture of each parameter's contributions by step."""
    (titles, by_name), lags, T = _stretches(c), _lags(c), _steps(c)
    rows = [
        (
            name,
            f"{c.gradient[name].norm().item():.4g}",
            bars(
                c.by_step.norms(name).tolist(), f"the norm of each step's contribution to {name}, steps 1 to {T}"
            ),
            *(f"{part:z.1%}" for part in parts),
        )
        for name, parts in by_name.items()
    ]
    tables = table_html(["parameter", "norm", f"by step, 1 to {T}", *titles], rows)
    if lags:
        most = {name: by_lag.max().item() or 1.0 for name, by_lag in lags.items()}
        rows = [
            (
                f"{lag}",
                *(Bar(f"{by_lag[lag].item():.3g}", by_lag[lag].item() / most[n]) for n, by_lag in lags.items()),
            )
            for lag in _shown_lags(T)
        ]
        tables += table_html(["lag", *lags], rows, LAG_TITLE)
    return tables


def _shown_lags(T: int) -> list[int]:
    return [0] + [2**n for n in range(T.bit_length()) if 2**n < T]


def _lag_rows(lags: dict[str, Tensor], T: int, wide: int) -> list[str]:
    shown = _shown_lags(T)
    rows = [LAG_TITLE]
    rows.append(f"{'lag':<{wide}}" + "".join(f"{lag:>10}" for lag in shown))
    rows += [f"{n:<{wide}}" + "".join(f"{by_lag[k].item():>10.3g}" for k in shown) for n, by_lag in lags.items()]
    return rows
