"""Prediction intervals by split conformal residuals: as wide as the errors on rows outside the training set.

Lei, G'Sell, Rinaldo, Tibshirani & Wasserman (2018), "Distribution-free predictive inference for regression",
algorithm 2: of n absolute errors the ⌈(n + 1)·coverage⌉-th smallest is half the interval's width. It contains the
true value that often if later errors are like these; in a series that changes they are larger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Intervals:
    """How far the intervals reach to both sides of a forecast."""

    coverage: float  # how often they should contain the true value
    # half of each output's interval, in standard deviations of its target; inf where there are too few errors
    # for such a coverage
    widths: list[float]
    errors: int  # how many each is taken from, the fewest of all outputs
    source: Literal["validation", "training"]  # the rows of these errors

    @classmethod
    def of(cls, errors: list[np.ndarray], coverage: float, source: Literal["validation", "training"]) -> Intervals:
        """From each output's errors, standardised; NaN is left out."""
        sizes = [np.abs(one[~np.isnan(one)]) for one in errors]
        widths = [half_width(size, coverage) for size in sizes]
        return cls(coverage, widths, min(len(size) for size in sizes), source)

    @property
    def note(self) -> str:
        """Where their width comes from, in words."""
        said = f"The {self.coverage:.0%} intervals come from {self.errors} {self.source} errors"
        if any(map(math.isinf, self.widths)):
            needed = math.ceil(self.coverage / (1 - self.coverage) - 1e-9)
            return f"{said}: too few, at least {needed} are needed, so there are no intervals."
        if self.source == "training":
            return f"{said} and are too narrow; --validation 0.2 gives honest ones."
        return f"{said}."


def half_width(sizes: np.ndarray, coverage: float) -> float:
    """The conformal quantile of absolute errors (n); inf where n is too small for it.

    >>> half_width(np.arange(1.0, 10.0), 0.9), half_width(np.arange(1.0, 9.0), 0.9)
    (9.0, inf)
    """
    place = math.ceil((len(sizes) + 1) * coverage - 1e-9)  # 0.7 times 10 is a little above 7 in floating point
    return float(np.sort(sizes)[place - 1]) if place <= len(sizes) else math.inf
