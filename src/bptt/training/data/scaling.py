"""Columns standardised by their mean and standard deviation over the training rows, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import UserError, warn

ROUNDINGS = 8  # units in the last place of the largest value: values within them are the same
LEAST = 1e-100  # a smaller difference counts as none: its square could be 0 in float64
FARTHEST = 1e15  # deviations from the mean: squares of them, and sums of these, are finite in float32


@dataclass(frozen=True)
class Moments:
    """Count, mean, variance and range of each column, (C) each, missing values left out."""

    count: np.ndarray  # of values
    # 0 where there is no value
    mean: np.ndarray
    variance: np.ndarray
    # the least and the largest value
    low: np.ndarray
    high: np.ndarray
    precision: float  # the machine epsilon of the values' dtype

    @classmethod
    def of(cls, values: np.ndarray) -> Moments:
        """Of rows (N, C), NaN where a value is missing."""
        precision = float(np.finfo(values.dtype).eps) if values.dtype.kind == "f" else np.finfo(float).eps
        values = values.astype(np.float64, copy=False)
        there = ~np.isnan(values)
        count = there.sum(0)
        mean = np.where(there, values, 0).sum(0) / np.maximum(count, 1)
        mean = mean + np.where(there, values - mean, 0).sum(0) / np.maximum(count, 1)  # what the sum rounded
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

    def of_columns(self, places: slice) -> Moments:
        """Of some columns alone."""
        by_column = self.count, self.mean, self.variance, self.low, self.high
        return Moments(*(own[places] for own in by_column), precision=self.precision)

    @property
    def is_constant(self) -> np.ndarray:
        """Which columns have one value only, but for rounding, or none."""
        size = np.maximum(np.abs(self.low), np.abs(self.high))
        spread = np.where(self.count > 0, self.high - self.low, 0)
        return spread <= np.where(self.count > 0, np.maximum(ROUNDINGS * self.precision * size, LEAST), 0)

    @property
    def unit(self) -> np.ndarray:
        """The standard deviation, 1 where a column is constant."""
        return np.where(self.is_constant, 1.0, np.sqrt(self.variance))

    @property
    def scaling(self) -> Scaling:
        """The scaling by these rows."""
        return Scaling(self.mean.tolist(), self.unit.tolist())


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation of each column over the training rows; a constant column has deviation 1."""

    mean: list[float]
    std: list[float]

    @classmethod
    def of(cls, values: np.ndarray, columns: list[str], name: str = "") -> Scaling:
        """Fit to rows (N, C), NaN left out; a constant column keeps its scale, with a warning that names it."""
        return cls.of_moments(Moments.of(values), columns, name)

    @classmethod
    def of_moments(cls, moments: Moments, columns: list[str], name: str = "") -> Scaling:
        """The same from the moments of rows that need not be in memory."""
        for column, is_constant in zip(columns, moments.is_constant, strict=True):
            if is_constant:
                where = f"{name}: " if name else ""
                warn(f"{where}column {column!r} is constant over the training rows")
        return moments.scaling

    def check(self, found: Moments, columns: list[str], name: str) -> None:
        """Refuse values so far from the mean that float32, in which networks compute, cannot square them."""
        for bound in (found.low, found.high):
            with np.errstate(invalid="ignore"):  # a column without values
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
        """Values of a target, the column at `place`, back in its own unit."""
        return values * self.std[place] + self.mean[place]


def as_input(rows: np.ndarray, missing: str) -> np.ndarray:
    """Standardised rows (..., C) as a network reads them.

    With missing="mask" missing values are 0, and further columns hold a 1 for each of them, (..., 2·C).
    """
    return np.concatenate([np.nan_to_num(rows), np.isnan(rows)], axis=-1) if missing == "mask" else rows
