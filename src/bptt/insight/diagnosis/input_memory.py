"""The memory that the data need: how far back the input still helps to predict the targets.

A linear probe: ridge regression of d_t on x_t, x_{t-1}, ... x_{t-lag}, fitted to some rows and judged on later
ones, over and over (Hyndman & Athanasopoulos, "Forecasting", section 5.10). Where each x_t is one of a few
vectors, as an embedding of tokens is, the probe takes them as tokens: an indicator for each at each lag. A
dependence that only a nonlinear function of the past would show is not measured.

The mutual information of d_t and the token at one lag would need fewer rows, but is large at lags that matter only
through nearer ones: of a Markov chain's next token, which needs lag 0 alone, it is so at lags up to 15.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

ROWS = 400  # rows fitted and judged at most, spread over time
FOLDS = 4  # times it is fitted to what came before and judged on what follows
RIDGES = (1e-4, 1e-2, 1.0)  # penalties tried, as parts of a feature's variance
GAIN = 0.01  # R² that further lags must add to be worth having: a hundredth of the variance of d
FOUND = 0.1  # R² below which x, taken linearly, explains nothing: with few rows chance reaches half of it
LEAST_ROWS = 40  # rows below which nothing can be said
REPEATS = 8  # how often a vector occurs in x on average, at least, where it is taken as a token

Features = Callable[[Tensor, Tensor], Tensor]  # of the steps and sequences of some rows: (rows, ·), of mean 0


@dataclass(frozen=True)
class InputMemory:
    """How far back the input still predicts the targets, by a linear probe out of sample.

    Attributes:
        lag: the smallest lag whose probe is within `GAIN` of the best R²; None where none explains anything.
        lags: the lags tried: with lag k the probe sees x_t, ..., x_{t-k}.
        r2: their R² out of sample, 1 - squared error / that of the mean; below 0 is worse than the mean.
        tokens: how many different tokens x has; None where x is taken as numbers.
    """

    lag: int | None
    lags: list[int]
    r2: list[float]
    tokens: int | None = None


def targets_by_step(d: Tensor, T: int, lengths: Tensor, batch_first: bool) -> Tensor | None:
    """Targets as (T, B, ...), with NaN or class -1 where there is none; None where they do not fit.

    Args:
        d: (T, B, ...), (B, T, ...), or (B) or (B, 1) with one target a sequence, which is put at its last step.
        lengths: the sequences' numbers of steps, (B).
        batch_first: which layout d has where T = B.
    """
    B, d = len(lengths), d.cpu() if d.is_floating_point() else d.cpu().long()
    missing = torch.nan if d.is_floating_point() else -1
    if d.shape[:2] == (B, T) and (batch_first or B != T):
        d = d.transpose(0, 1)
    if d.shape[:2] == (T, B):
        padding = torch.arange(T, device="cpu")[:, None] >= lengths
        return d.masked_fill(padding.view(T, B, *[1] * (d.dim() - 2)), missing)
    if d.shape not in ((B,), (B, 1)):
        return None
    found = d.new_full((T, *d.shape), missing)
    found[lengths - 1, torch.arange(B, device="cpu")] = d
    return found


def input_memory(x: Tensor, d: Tensor, longest: int) -> InputMemory | str:
    """How far back x helps to predict d.

    Args:
        x: (T, B, I).
        d: (T, B, ...), numbers or class numbers; rows with a missing number (NaN) or a class below 0 are left out.
        longest: the longest lag tried. It is shortened so that `ROWS` rows, or three quarters of all, go so far
            back.

    Returns:
        or, in words, why it cannot be measured and what to do: too few rows, d never changes, or x is not finite.
    """
    B = x.shape[1]
    d = (d if d.is_floating_point() else d.long()).reshape(*x.shape[:2], -1)
    there = (d.isfinite() if d.is_floating_point() else d >= 0).all(-1)
    at = there.flatten().nonzero().flatten()  # step · B + sequence
    if len(at) < LEAST_ROWS:
        return f"d has {len(at)} targets; pass more steps or sequences, with {LEAST_ROWS} targets at least"
    longest = min(longest, int(at[-min(ROWS, 3 * len(at) // 4)]) // B)
    at = at[at >= longest * B]
    at = at[torch.linspace(0, len(at) - 1, min(ROWS, len(at)), device="cpu").round().long()]
    target = d[at // B, at % B]
    if (target == target[0]).all():
        return "d is the same wherever it was looked at; pass steps over which it changes"
    if not d.is_floating_point():
        target = one_hot(target.unique(return_inverse=True)[1]).flatten(1)
    used = there.flip(0).cumsum(0).flip(0) > 0  # up to each sequence's last target: after it may be padding
    if not x[used].isfinite().all():
        return "its input is not finite; look for the module before it that gives such numbers"
    features, tokens = _features(x, used)

    def r2_of(lags: Sequence[int]) -> dict[int, float]:
        products, found = torch.zeros(len(at), len(at), dtype=torch.float64, device="cpu"), {}
        for lag in range(max(lags, default=-1) + 1):
            part = features(at // B - lag, at % B)
            products += part @ part.T
            if lag in lags:
                found[lag] = _r2(products, target.to(torch.float64))
        return found

    r2 = r2_of(_coarse(longest))
    best = max(r2.values())
    if best < FOUND:
        return InputMemory(None, *_columns(r2), tokens)
    upper = min(lag for lag in r2 if r2[lag] >= best - GAIN)
    lower = max((lag for lag in r2 if lag < upper), default=upper - 1)
    r2 |= r2_of(range(lower + 1, upper))
    return InputMemory(min(lag for lag in r2 if r2[lag] >= best - GAIN), *_columns(r2), tokens)


def _coarse(longest: int) -> list[int]:
    """Every lag at first, then ever fewer: 0, 1, 2, ... 8, 10, 12, ... up to the longest."""
    lags, lag = [], 0
    while lag < longest:
        lags.append(lag)
        lag += max(1, lag // 4)
    return [*lags, longest]


def _columns(r2: dict[int, float]) -> tuple[list[int], list[float]]:
    lags = sorted(r2)
    return lags, [r2[lag] for lag in lags]


def _features(x: Tensor, used: Tensor) -> tuple[Features, int | None]:
    """The probe's features of x, and how many tokens it has; their means and units are no part of d.

    Args:
        used: which steps and sequences count, (T, B).
    """
    vectors, which = x[used].unique(dim=0, return_inverse=True)
    if x.shape[-1] > 1 and len(vectors) * REPEATS <= len(which):
        tokens = torch.zeros(used.shape, dtype=torch.long, device="cpu").masked_scatter(used, which)
        shares = which.bincount() / len(which)
        return lambda steps, rows: one_hot(tokens[steps, rows], len(vectors)).double() - shares, len(vectors)
    numbers = x[used].to(torch.float64)
    mean, spread = numbers.mean(0), numbers.std(0)
    scale = torch.where(spread > 0, spread, 1.0)
    return lambda steps, rows: (x[steps, rows] - mean) / scale, None


def _r2(products: Tensor, target: Tensor) -> float:
    """R² out of sample by the best penalty: fitted to the rows before each fold, validated on the fold.

    Args:
        products: of every two rows' features, (rows, rows), which is all that ridge regression needs of them.
    """
    errors = torch.zeros(len(RIDGES), dtype=target.dtype, device="cpu")
    total = torch.zeros((), dtype=target.dtype, device="cpu")
    cuts = torch.linspace(len(target) // 2, len(target), FOLDS + 1, device="cpu").round().long().tolist()
    for first, stop in itertools.pairwise(cuts):
        mean = target[:first].mean(0)
        training, wanted = target[:first] - mean, target[first:stop] - mean
        total += wanted.square().sum()
        penalty = first * torch.eye(first, dtype=target.dtype, device="cpu")
        for place, ridge in enumerate(RIDGES):
            factor = torch.linalg.cholesky(products[:first, :first] + ridge * penalty)
            found = products[first:stop, :first] @ torch.cholesky_solve(training, factor)
            errors[place] += (wanted - found).square().sum()
    return (1 - errors.min() / total).item() if total > 0 else 0.0
