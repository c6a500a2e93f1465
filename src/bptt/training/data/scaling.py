"""Columns brought to mean 0 and standard deviation 1, as they are over the rows learned from, and back."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from ...errors import UserError

ROUNDINGS = 8  # units in the last place of the largest value, within which values are the same
LEAST = 1e-100  # a difference that is none: its square, divided by the number of rows, would be 0 in float64
FARTHEST = 1e15  # deviations from the mean: squares of them, and sums of these, are finite in float32


@dataclass(frozen=True)
class Moments:
    """What the values of each column come to, (C) each, missing values left out.

    Attributes:
        count: how many there are.
        mean, variance: of them; 0 where there is none.
        low, high: the least and the largest.
        precision: the spacing of floating-point numbers at 1, in the dtype they came in.
    """

    count: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    low: np.ndarray
    high: np.ndarray
    precision: float

    @classmethod
    def of(cls, values: np.ndarray) -> Moments:
        """Of rows (N, C), NaN where a value is missing."""
        precision = float(np.finfo(values.dtype).eps) if values.dtype.kind == "f" else np.finfo(float).eps
        values = values.astype(np.float64, copy=False)
        there = ~np.isnan(values)
        count = there.sum(0)
        mean = np.where(there, values, 0).sum(0) / np.maximum(count, 1)
        mean = mean + np.where(there, values - mean, 0).sum(0) / np.maximum(count, 1)  # what the sum rounded off
        variance = np.square(np.where(there, values - mean, 0)).sum(0) / np.maximum(count, 1)
        low = np.where(there, values, np.inf).min(0, initial=np.inf)
        high = np.where(there, values, -np.inf).max(0, initial=-np.inf)
        return cls(count, mean, variance, low, high, precision)

    def joined(self, other: Moments) -> Moments:
        """Of the rows of both.

        Source: Chan, Golub & LeVeque (1979), "Updating formulae and a pairwise algorithm for computing sample
        variances".
        """
        count = np.maximum(self.count + other.count, 1)
        share, apart = other.count / count, other.mean - self.mean
        within = self.variance * (1 - share) + other.variance * share
        return Moments(
            self.count + other.count,
            self.mean + apart * share,
            within + np.square(apart) * share * (1 - share),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            max(self.precision, other.precision),
        )

    @property
    def is_constant(self) -> np.ndarray:
        """Where the least and the largest value are the same, but for rounding; and where there is none."""
        size = np.maximum(np.abs(self.low), np.abs(self.high))
        spread = np.where(self.count > 0, self.high - self.low, 0)
        return spread <= np.where(self.count > 0, np.maximum(ROUNDINGS * self.precision * size, LEAST), 0)

    @property
    def unit(self) -> np.ndarray:
        """The standard deviation, 1 where a column is constant."""
        return np.where(self.is_constant, 1.0, np.sqrt(self.variance))


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation of each column over the training rows; 1 for that of a constant column."""

    mean: list[float]
    std: list[float]

    @classmethod
    def of(cls, values: np.ndarray, columns: list[str], name: str = "") -> Scaling:
        """Fit to rows (N, C), NaN left out; a constant column is left at its scale, with a warning.

        Args:
            name: where they came from, for the warning.
        """
        return cls.of_moments(Moments.of(values), columns, name)

    @classmethod
    def of_moments(cls, moments: Moments, columns: list[str], name: str = "") -> Scaling:
        """The same of rows that are no more in memory."""
        for column, is_constant in zip(columns, moments.is_constant, strict=True):
            if is_constant:
                where = f"{name}: " if name else ""
                warnings.warn(f"{where}column {column!r} is constant over the training rows", stacklevel=3)
        return cls(moments.mean.tolist(), moments.unit.tolist())

    def check(self, found: Moments, columns: list[str], name: str) -> None:
        """No value lies farther from the mean than float32, which networks compute in, can square.

        Args:
            found: of all rows that are to be read.
            columns: their names.
            name: where they came from, for the error.

        Raises:
            UserError: one does; it names the column and the value.
        """
        for bound in (found.low, found.high):
            with np.errstate(invalid="ignore"):  # of a column without values
                far = np.abs(self.apply(bound)) > FARTHEST
            far &= np.isfinite(bound)
            if far.any():
                place = int(far.argmax())
                raise UserError(
                    f"{name}: column {columns[place]!r} holds {bound[place]:g}, more than {FARTHEST:g} standard "
                    f"deviations ({self.std[place]:g}) from the mean of the training rows, {self.mean[place]:g}; "
                    "correct the value, or leave it missing"
                )

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Rows (N, C) standardised."""
        return (values - self.mean) / self.std

    def undo_target(self, values: np.ndarray, place: int = 0) -> np.ndarray:
        """A target, the first column or another, back in its own unit."""
        return values * self.std[place] + self.mean[place]


def as_input(rows: np.ndarray, missing: str) -> np.ndarray:
    """Standardised rows (..., C) as a network reads them.

    Where missing values are masked they are 0, and after the columns stands a 1 for each of them, (..., 2·C).
    """
    return np.concatenate([np.nan_to_num(rows), np.isnan(rows)], axis=-1) if missing == "mask" else rows
