"""Columns brought to mean 0 and standard deviation 1, as they are over the rows learned from, and back."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation of each column over the training rows."""

    mean: list[float]
    std: list[float]

    @classmethod
    def of(cls, values: np.ndarray, columns: list[str]) -> Scaling:
        """Fit to rows (N, C), NaN left out; a constant column is left at its scale, with a warning."""
        if np.isnan(values).any():
            return cls.of_moments(np.nanmean(values, 0), np.nanstd(values, 0), columns)
        return cls.of_moments(values.mean(0), values.std(0), columns)

    @classmethod
    def of_moments(cls, mean: np.ndarray, std: np.ndarray, columns: list[str]) -> Scaling:
        """Of each column's mean and standard deviation (C)."""
        for column, spread in zip(columns, std, strict=True):
            if spread == 0:
                warnings.warn(f"column {column!r} is constant over the training rows", stacklevel=3)
        return cls(mean.tolist(), np.where(std == 0, 1.0, std).tolist())

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
