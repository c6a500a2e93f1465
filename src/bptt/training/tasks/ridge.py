"""The linear part of a forecast: ridge regressions on the lags, averaged by their errors in rolling validation.

Each regression predicts the change from a simple forecast: the last value, the value a season before the one to
forecast, or the last value plus the change between the same rows a season ago. A strong penalty leaves that simple
forecast, and a level that rises with time needs no weight of its own. The penalty, the inputs read, the simple
forecast and how fast earlier steps are forgotten are not chosen once but weighed: each candidate counts by
exp(-n/2 · (E / E_min - 1)), where E is its mean square error on later steps than those it was fitted to and n how
many independent errors that is the mean of; the average is a linear function again. Errors are divided by a power
of persistence's mean square error in the same fold, so that no restless fold decides alone.

All of it follows from sums of products of inputs and targets over stretches of the training steps, so that a table
may be read piece by piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from typing import NamedTuple

import numpy as np

PENALTIES = 10.0 ** np.arange(-3, 6.5, 0.5)  # in units of one step's products of standardised inputs
FIRST, FOLDS = 0.4, 4  # the steps fitted to before the first validation, and how often it rolls on
# `python benchmarks/forecasts.py --choose` compares these three with others.
FORGETTING = (1.0, 0.5)  # how much a stretch of steps counts beside the one after it
RELATIVE = 0.75  # the power of persistence's error in a fold, by which errors there are divided
LEAST_UNIT = 1e-3  # of the largest of these errors: a lower one counts as so large
ROUNDING = 1e-14  # of a square error: that of standardised values in single precision
LEAST = 5  # steps that a regression is fitted to


@dataclass(frozen=True)
class Inputs:
    """The layout of the inputs x (T, I): at each lag the columns and their marks of missing values; a calendar.

    Attributes:
        columns: how many columns a row has, C.
        lags: which rows are read, 0 the present one; the first of them.
        marks: whether further C inputs at each lag mark missing values.
        calendar: how many inputs follow at the end.
        dense: how many of the lags, the first ones, follow each other.
    """

    columns: int
    lags: Sequence[int]
    marks: bool
    calendar: int
    dense: int

    @property
    def size(self) -> int:
        """I."""
        return self.columns * (2 if self.marks else 1) * len(self.lags) + self.calendar

    def at(self, lag: int, column: int) -> int:
        """The place of a column at the lag of this number."""
        return lag * self.columns * (2 if self.marks else 1) + column

    def changes(self) -> np.ndarray:
        """A matrix (I, I): x times it has, for every earlier lag, the change since then."""
        basis = np.eye(self.size)
        for lag in range(1, len(self.lags)):
            for column in range(self.columns):
                basis[:, self.at(lag, column)] *= -1
                basis[self.at(0, column), self.at(lag, column)] = 1
        return basis

    def anchors(self, target: int, ahead: int, seasons: Sequence[int]) -> list[np.ndarray]:
        """The weights (I) of simple forecasts of a target: persistence, and with a season further ones.

        These are the value whole seasons before the row to forecast; and the last value plus the change from the
        row whole seasons before the present one to that value.
        """

        def value(lag: int) -> np.ndarray:
            weights = np.zeros(self.size)
            weights[self.at(list(self.lags).index(lag), target)] = 1
            return weights

        found = [value(0)]
        for season in seasons[:1]:
            whole = -(-ahead // season) * season
            due = whole - ahead
            if due > 0 and due in self.lags:
                found.append(value(due))
                if whole in self.lags:
                    found.append(value(0) + value(due) - value(whole))
        return found

    def subsets(self, target: int) -> list[np.ndarray]:
        """The inputs that candidates read, by their places.

        Few lags or all, this target's own or those of all columns; each with the calendar and without.
        """
        count, width = len(self.lags), self.columns * (2 if self.marks else 1)
        place = np.arange(self.size - self.calendar)
        lag, column = place // width, place % width % self.columns
        kept = [lag < min(2, count), lag < self.dense, lag < count, column == target]
        later = np.arange(self.size - self.calendar, self.size)
        found = [np.concatenate([place[one], end]) for one in kept for end in (later[:0], later)]
        return list({tuple(one): one for one in found}.values())


class Products:
    """Sums of the products of (1, x, d) over stretches of steps: all that least squares needs.

    Args:
        inputs: I.
        outputs: K.

    Attributes:
        sums: by stretch, (FOLDS + 1, K, I + 2, I + 2): the first steps, and those that validation rolls over.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        self.sums = np.zeros((FOLDS + 1, outputs, inputs + 2, inputs + 2))

    def add(self, x: np.ndarray, d: np.ndarray, first: int, steps: int) -> None:
        """Add steps of a series; later ones than its training steps, and targets that are NaN, count for nothing.

        Args:
            x, d: (T, I) and (T, K).
            first: the number of the first of them.
            steps: how many training steps the series has, over which validation rolls.
        """
        x = np.concatenate([np.ones((len(x), 1)), x], axis=1)
        ends = [round(steps * (FIRST + (1 - FIRST) * fold / FOLDS)) for fold in range(FOLDS + 1)]
        for fold, (start, stop) in enumerate(zip([0, *ends], ends, strict=False)):
            own = slice(max(0, start - first), max(0, min(stop - first, len(x))))
            if own.start >= own.stop:
                continue
            for output, targets in enumerate(d[own].T):
                there = ~np.isnan(targets)
                rows = np.concatenate([x[own][there], targets[there, None]], axis=1)
                self.sums[fold, output] += rows.T @ rows


@dataclass(frozen=True)
class LinearPart:
    """y = x A + b."""

    weight: np.ndarray  # A transposed, (K, I)
    bias: np.ndarray  # b, (K)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """y (T, K) of x (T, I)."""
        return x @ self.weight.T + self.bias


def fit_linear(
    products: Products,
    layout: Inputs,
    outputs: Sequence[tuple[int, int]],
    seasons: Sequence[int] = (),
    weighs_all: bool = True,
) -> LinearPart:
    """The linear part by the products of the training steps.

    Args:
        outputs: the target's column and the horizon of each output.
        seasons: in rows.
        weighs_all: False for a ridge regression on all inputs, of which only the penalty is weighed.
    """
    found = []
    basis, spectra = layout.changes(), _Spectra()
    change = np.eye(layout.size + 2)  # (1, x, d) to (1, changes, d)
    change[1:-1, 1:-1] = basis
    for output, (place, ahead) in enumerate(outputs):
        anchors = layout.anchors(place, ahead, seasons)
        subsets = layout.subsets(place) if weighs_all else [np.arange(layout.size)]
        candidates = [
            _Candidate(basis @ anchor, subset, forgetting)
            for anchor in anchors
            for subset in subsets
            for forgetting in (FORGETTING if weighs_all else FORGETTING[:1])
        ]
        sums = change.T @ products.sums[:, output] @ change
        coefficients, bias = fit_output(sums, candidates, ahead, spectra)
        found.append((basis @ coefficients, bias))
    return LinearPart(*(np.stack(part) for part in zip(*found, strict=True)))


class _Candidate(NamedTuple):
    """Ridge regressions with every penalty."""

    anchor: np.ndarray  # the weights of the simple forecast (I), of values and changes
    places: np.ndarray  # of the inputs read
    forgetting: float  # as in FORGETTING


def fit_output(
    sums: np.ndarray, candidates: list[_Candidate], ahead: int, spectra: _Spectra
) -> tuple[np.ndarray, float]:
    """Weights (I) and bias of one output, from its sums (folds, I + 2, I + 2).

    The first candidate's simple forecast is persistence.
    """
    counts = sums[:, 0, 0]
    before = np.cumsum(counts)
    rolled = [fold for fold in range(1, len(sums)) if before[fold - 1] >= LEAST and counts[fold] > 0]
    simple = np.stack([np.concatenate([[0], one.anchor, [0]]) for one in candidates])
    simple = np.unique(simple, axis=0)
    paths = [[simple] * (len(rolled) + 1)]  # of each fold, fitted to the steps before it; then of all steps
    for candidate in candidates if before[-1] >= LEAST else []:
        known = _forgotten(sums, candidate.forgetting)
        paths.append([_ridge(known[fold - 1], candidate, spectra) for fold in [*rolled, len(sums)]])
    by_fold = [np.concatenate(own) for own in zip(*paths, strict=True)]
    if not rolled:
        return candidates[0].anchor, 0.0
    errors = np.stack([_square_error(sums[fold], own) for fold, own in zip(rolled, by_fold, strict=False)])
    persistence = np.concatenate([[0], candidates[0].anchor, [0]])[None]
    units = np.array([_square_error(sums[fold], persistence)[0] / counts[fold] for fold in rolled])
    units = np.maximum(units, max(ROUNDING, LEAST_UNIT * units.max())) ** RELATIVE
    mean = (errors / units[:, None]).sum(0) / counts[rolled].sum()
    independent, least = max(2.0, counts[rolled].sum() / ahead), mean.min()
    weights = np.exp(-0.5 * independent * (mean - least) / max(least, ROUNDING))
    weights /= weights.sum()
    final = weights @ by_fold[-1]
    return final[1:-1], float(final[0])


def _forgotten(sums: np.ndarray, forgetting: float) -> list[np.ndarray]:
    """The sums over the stretches up to each, in which earlier ones count less."""
    return list(accumulate(sums, lambda earlier, own: forgetting * earlier + own))


def _square_error(sums: np.ndarray, path: np.ndarray) -> np.ndarray:
    """The sums of square errors of candidates (L, I + 2), whose last entry is 0, by the sums of some steps."""
    left = path.copy()
    left[:, -1] = -1
    return np.maximum(np.einsum("li,ij,lj->l", left, sums, left, optimize=True), 0)


def _ridge(sums: np.ndarray, candidate: _Candidate, spectra: _Spectra) -> np.ndarray:
    """The candidate's ridge regressions for every penalty, (L, I + 2): intercept, weights, and a 0."""
    count, places = sums[0, 0], candidate.places + 1
    mean = sums[0] / count
    left = np.concatenate([[0], -candidate.anchor, [1]])  # of (1, x, d), for what the simple forecast leaves
    cross = sums[places] @ left / count - mean[places] * (mean @ left)
    unit, values, vectors = spectra.of(sums[:-1, :-1], places)
    along = vectors.T @ (cross / unit)
    path = np.tile(-left, (len(PENALTIES), 1))
    path[:, -1] = 0
    path[:, places] += (along / (np.maximum(values, 0) + PENALTIES[:, None] / count)) @ vectors.T / unit
    path[:, 0] = mean[-1] - path[:, 1:-1] @ mean[1:-1]
    return path


class _Spectra:
    """The eigenvectors of correlations of inputs, once for all outputs that are fitted to the same steps."""

    def __init__(self) -> None:
        self._found: dict[tuple[bytes, bytes], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def of(self, sums: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Deviations of the inputs at some places, inf for those that never change; eigenvalues and eigenvectors.

        Args:
            sums: of the products of (1, x), (I + 1, I + 1).
            places: in them.
        """
        key = blake2b(sums.tobytes()).digest(), places.tobytes()
        if key not in self._found:
            count, mean = sums[0, 0], sums[0] / sums[0, 0]
            inner = sums[np.ix_(places, places)] / count - np.outer(mean[places], mean[places])
            unit = np.sqrt(np.maximum(np.diag(inner), 0))
            unit = np.where(unit > 1e-9, unit, np.inf)  # an input that never changes gets no weight
            values, vectors = np.linalg.eigh(inner / np.outer(unit, unit))
            self._found[key] = unit, values, vectors
        return self._found[key]


def fit_ridge(products: Products, rows: int, horizon: int) -> LinearPart:
    """A ridge regression on the last rows of a target, its penalties weighed."""
    return fit_linear(products, Inputs(1, range(rows), False, 0, rows), [(0, horizon)], weighs_all=False)
