"""Prediction intervals: split conformal errors on rows outside the training set, adapted as later ones come.

Lei, G'Sell, Rinaldo, Tibshirani & Wasserman (2018), "Distribution-free predictive inference for regression",
algorithm 2: of n absolute errors the ⌈(n + 1)·coverage⌉-th smallest is half the interval's width. It contains the
true value that often if later errors are like these. In a series that changes they are not, so that the coverage
aimed at is corrected after each row by whether its interval held: adaptive conformal inference, Gibbs & Candès
(2021), "Adaptive conformal inference under distribution shift".
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

# of a correction one step ahead: γ of Gibbs & Candès; less by the square root of the horizon;
# `python benchmarks/intervals.py` compares it with others
RATE = 0.07
RECENT = 500  # errors that a width is taken from, the last ones; more where the coverage needs more


class AdaptiveWidth:
    """Half the width of the next interval, by the errors so far.

    Args:
        sizes: the absolute errors so far (n), in the order of time.
        coverage: how often intervals should contain the true value.
        ahead: the horizon: an interval adapts to the errors up to so many rows before its own, and the slower.
        missed: how often the next one is meant to miss it. Default 1 - coverage, as without any correction.
    """

    def __init__(
        self, sizes: Sequence[float], coverage: float, ahead: int = 1, missed: float | None = None
    ) -> None:
        self.ahead, self._rate = ahead, RATE / math.sqrt(ahead)
        self.coverage, self.missed = coverage, 1 - coverage if missed is None else missed
        self._fewest = fewest(coverage)
        self.recent = deque(sizes, kept(coverage))
        self._waiting: deque[float] = deque()  # errors of rows whose true values are not known yet
        self._sorted = sorted(self.recent)
        self.width = self._now()

    def add(self, size: float) -> None:
        """Take the absolute error of a row whose true value is known by now; NaN is passed over."""
        if math.isnan(size):
            return
        if math.isfinite(self.width):
            self.missed += self._rate * ((1 - self.coverage) - (size > self.width))
        if len(self.recent) == self.recent.maxlen:
            del self._sorted[bisect_left(self._sorted, self.recent[0])]
        self.recent.append(size)
        insort(self._sorted, size)
        self.width = self._now()

    def along(self, sizes: np.ndarray) -> np.ndarray:
        """Half the width of the interval of each row, (m); a series may be given in pieces, and `settle` ends it.

        Args:
            sizes: the rows' absolute errors, (m), NaN where not known.
        """
        widths = np.empty(len(sizes))
        for row, size in enumerate(sizes.tolist()):
            if len(self._waiting) == self.ahead:
                self.add(self._waiting.popleft())
            widths[row] = self.width
            self._waiting.append(size)
        return widths

    def settle(self) -> None:
        """Take the last rows' errors too."""
        while self._waiting:
            self.add(self._waiting.popleft())

    def _now(self) -> float:
        if len(self._sorted) < self._fewest:
            return math.inf
        place = math.ceil((len(self._sorted) + 1) * (1 - self.missed) - 1e-9)
        over = max(0, place - len(self._sorted)) / len(self._sorted)  # beyond the largest error so far
        return self._sorted[min(max(place, 1), len(self._sorted)) - 1] * (1 + over)


@dataclass(frozen=True)
class Intervals:
    """How far the intervals reach to both sides of a forecast."""

    coverage: float  # how often they should contain the true value
    # half of each output's interval, in standard deviations of its target; inf where there are too few errors
    # for such a coverage
    widths: list[float]
    errors: int  # how many each is taken from, the fewest of all outputs
    source: Literal["validation", "training"]  # the rows of these errors
    # of each output the share of intervals meant to miss, and the last absolute errors, from which they go on
    missed: list[float] = field(default_factory=list)
    recent: list[list[float]] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        ends: Sequence[Sequence[AdaptiveWidth]],
        errors: Sequence[int],
        coverage: float,
        source: Literal["validation", "training"],
    ) -> Intervals:
        """By where each output's widths end, one of each series, and how many errors they began with."""
        missed = [float(np.mean([end.missed for end in own])) for own in ends]
        recent = [_recent(own)[-kept(coverage) :].tolist() for own in ends]
        pairs = zip(recent, missed, strict=True)
        widths = [AdaptiveWidth(sizes, coverage, missed=level).width for sizes, level in pairs]
        return cls(coverage, widths, min(errors), source, missed, recent)

    def going_on(self, output: int, ahead: int) -> AdaptiveWidth:
        """An output's width, of this horizon, after the last row of the training and test set."""
        return AdaptiveWidth(self.recent[output], self.coverage, ahead, self.missed[output])

    @property
    def note(self) -> str:
        """Where their width comes from, in words."""
        share = f"{100 * self.coverage:.4g}%"
        if self.errors < (needed := fewest(self.coverage)):
            said = f"{share} intervals need at least {needed} errors, and there are {self.errors or 'no'}"
            absent = any(map(math.isinf, self.widths))
            rest = "so there are none" if absent else "so they begin with the first errors of the test set"
            return f"{said} {self.source} errors, {rest}."
        said = f"The {share} intervals come from {self.errors} {self.source} errors"
        if self.source == "training":
            return f"{said} and are too narrow; --validation 0.2 gives honest ones."
        return f"{said}."


def fewest(coverage: float) -> int:
    """How many errors an interval of this coverage needs.

    >>> fewest(0.9), fewest(0.999)
    (9, 999)
    """
    return math.ceil(coverage / (1 - coverage) * (1 - 1e-9))


def kept(coverage: float) -> int:
    """How many errors a width is taken from at most."""
    return max(RECENT, fewest(coverage))


def _recent(ends: Sequence[AdaptiveWidth]) -> np.ndarray:
    """The last errors of all series; of one alone where no series has enough, since all began with the same."""
    if any(math.isfinite(end.width) for end in ends):
        return in_turn([end.recent for end in ends])
    return np.array(max((end.recent for end in ends), key=len), dtype=float)


def in_turn(sizes: Sequence[Sequence[float] | np.ndarray]) -> np.ndarray:
    """The errors of several series as one sequence, so that the last ones of it are the last ones of each.

    >>> in_turn([[1, 2, 3], [10]])
    array([ 1.,  2.,  3., 10.])
    """
    left = np.concatenate([np.arange(len(own), 0, -1) for own in sizes])  # how many follow in its series
    return np.concatenate([np.asarray(own, dtype=float) for own in sizes])[np.argsort(-left, kind="stable")]


def half_width(sizes: np.ndarray, coverage: float) -> float:
    """The conformal quantile of absolute errors (n); inf where n is too small for it.

    >>> half_width(np.arange(1.0, 10.0), 0.9), half_width(np.arange(1.0, 9.0), 0.9)
    (9.0, inf)
    """
    if len(sizes) < fewest(coverage):
        return math.inf
    place = math.ceil((len(sizes) + 1) * coverage - 1e-9)  # 0.7 times 10 is a little above 7 in floating point
    return float(np.sort(sizes)[place - 1])
