"""The memory that the data need: how far back the input still helps to predict the targets.

A linear answer: ridge regression of d_t on x_t, x_{t-1}, ... x_{t-lag}, fitted to earlier rows and judged on
later ones, over and over (Hyndman & Athanasopoulos, "Forecasting", section 5.10). A dependence that only a
nonlinear function of the past would show is not measured.
"""

from __future__ import annotations

import itertools
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


@dataclass(frozen=True)
class InputMemory:
    """How far back the input still predicts the targets, by a linear model out of sample.

    Attributes:
        lag: the smallest lag whose model is within `GAIN` of the best R²; None where none explains anything.
        lags: the lags tried: with lag k the model sees x_t, ..., x_{t-k}.
        r2: their R² out of sample, 1 - squared error / that of the mean; below 0 is worse than the mean.
    """

    lag: int | None
    lags: list[int]
    r2: list[float]


def input_memory(x: Tensor, d: Tensor, longest: int) -> InputMemory | None:
    """How far back x helps to predict d.

    Args:
        x: (T, B, I).
        d: (T, B, O), rows with a missing number (NaN) left out, or class numbers (T, B).
        longest: the longest lag tried, shortened to T / 4.

    Returns:
        None where there are too few rows, or d never changes.
    """
    d = d.to(torch.float64) if d.is_floating_point() else one_hot(d.long()).to(torch.float64)
    d = d.reshape(*d.shape[:2], -1)
    T, B = x.shape[:2]
    longest = min(longest, T // 4)
    at = torch.linspace(longest * B, T * B - 1, min(ROWS, (T - longest) * B)).round().long()
    there = d[at // B, at % B].isfinite().all(-1)
    at = at[there]
    target = d[at // B, at % B]
    if len(at) < LEAST_ROWS or (target == target[0]).all():
        return None
    scaled = _standardised(x.to(torch.float64))

    def r2_of(lag: int) -> float:
        features = torch.cat([scaled[at // B - k, at % B] for k in range(lag + 1)], -1)
        return _r2(features, target)

    r2 = {lag: r2_of(lag) for lag in _coarse(longest)}
    best = max(r2.values())
    if best < FOUND:
        return InputMemory(None, *_columns(r2))
    enough = best - GAIN
    upper = min(lag for lag in r2 if r2[lag] >= enough)
    lower = max((lag for lag in r2 if lag < upper), default=upper - 1)
    r2 |= {lag: r2_of(lag) for lag in range(lower + 1, upper)}
    return InputMemory(min(lag for lag in r2 if r2[lag] >= enough), *_columns(r2))


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


def _standardised(x: Tensor) -> Tensor:
    """x with mean 0 and variance 1 by feature: their unit only, no part of d, and so taken from all rows."""
    spread = x.flatten(0, 1).std(0)
    return (x - x.flatten(0, 1).mean(0)) / torch.where(spread > 0, spread, 1.0)


def _r2(features: Tensor, target: Tensor) -> float:
    """R² out of sample by the best penalty: fitted to the rows before each fold, validated on the fold."""
    if features.shape[1] > len(features):  # ridge sees products of rows only: fewer columns with the same ones
        features = torch.linalg.qr(features.T).R.T
    errors = torch.zeros(len(RIDGES), dtype=features.dtype)
    total = torch.zeros((), dtype=features.dtype)
    cuts = torch.linspace(len(target) // 2, len(target), FOLDS + 1).round().long().tolist()
    for first, stop in itertools.pairwise(cuts):
        training, validation = features[:first], features[first:stop]
        mean = target[:first].mean(0)
        wanted = target[first:stop] - mean
        total += wanted.square().sum()
        squares, products = training.T @ training, training.T @ (target[:first] - mean)
        penalty = torch.eye(len(squares), dtype=features.dtype) * first
        for place, ridge in enumerate(RIDGES):
            factor = torch.linalg.cholesky(squares + ridge * penalty)
            errors[place] += (wanted - validation @ torch.cholesky_solve(products, factor)).square().sum()
    return (1 - errors.min() / total).item() if total > 0 else 0.0
