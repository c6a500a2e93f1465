"""The linear part of a forecast: ridge regressions on the lags, averaged by their errors in rolling validation.

A forecast is the last value of its target plus a linear function of the inputs. What is penalised are the weights
of the changes since the rows before, so that a strong penalty leaves persistence, and a level that rises with time
needs no weight of its own. The penalty, and which inputs are read, are not chosen once but weighed: each candidate
counts by exp(-n/2 · (E / E_min - 1)), where E is its mean square error on later steps than those it was fitted to
and n how many independent errors that is the mean of; the average is a linear function again.

All of it follows from sums of products of inputs and targets over stretches of the training steps, so that a table
may be read piece by piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import torch

from ...forecast_model import LinearPath
from ..data.scaling import Moments
from ..data.tables import lagged
from .baselines import carried_on

PENALTIES = 10.0 ** np.arange(-3, 6.5, 0.5)  # in units of one step's products of standardised inputs
FIRST, FOLDS = 0.4, 4  # the steps fitted to before the first validation, and how often it rolls on
SURE, BLOCKS, MOST_BLOCKS = 3.0, 20, 50  # as `share_of` has them
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


class LinearPaths(NamedTuple):
    """The linear part in a forecast model, both with the network's inputs by the steps learned from."""

    learned: LinearPath  # fitted without the validation steps, beside which the network is trained
    final: LinearPath  # fitted to all training steps


@dataclass(frozen=True)
class LinearPart:
    """y = x A + b, and how well it did where validation rolled on.

    Attributes:
        weight: A transposed, (K, I).
        bias: b, (K).
        error: the mean square error on steps later than those fitted to, (K).
    """

    weight: np.ndarray
    bias: np.ndarray
    error: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """y (T, K) of x (T, I)."""
        return x @ self.weight.T + self.bias


def fit_linear(
    products: Products, layout: Inputs, outputs: Sequence[tuple[int, int]], whole: bool = False
) -> LinearPart:
    """The linear part by the products of the training steps.

    Args:
        outputs: the target's column and the horizon of each output.
        whole: whether all inputs are read, and only the penalty is weighed.
    """
    found = []
    basis, spectra = layout.changes(), _Spectra()
    for output, (place, ahead) in enumerate(outputs):
        subsets = [np.arange(layout.size)] if whole else layout.subsets(place)
        change = np.zeros((layout.size + 2, layout.size + 2))  # (1, x, d) to (1, changes, d - the last value)
        change[0, 0] = change[-1, -1] = 1
        change[1:-1, 1:-1] = basis
        change[1 + layout.at(0, place), -1] = -1
        sums = change.T @ products.sums[:, output] @ change
        coefficients, bias, error = _fit_output(sums, subsets, ahead, spectra)
        weight = basis @ coefficients
        weight[layout.at(0, place)] += 1
        found.append((weight, bias, error))
    weight, bias, error = (np.stack(part) for part in zip(*found, strict=True))
    return LinearPart(weight, bias, error)


def _fit_output(
    sums: np.ndarray, subsets: list[np.ndarray], ahead: int, spectra: _Spectra
) -> tuple[np.ndarray, float, float]:
    """Weights (I), bias and rolling error of one output, from its sums (folds, I + 2, I + 2)."""
    before = np.cumsum(sums, axis=0)
    rolled = [fold for fold in range(1, len(sums)) if before[fold - 1, 0, 0] >= LEAST and sums[fold, 0, 0] > 0]
    none = np.zeros(sums.shape[1])  # persistence: the last value, and nothing added
    paths, errors = [none[None]], [[_square_error(sums[fold], none[None]) for fold in rolled]]
    fitted = [[none[None]] * len(rolled)]
    for subset in subsets if before[-1, 0, 0] >= LEAST else []:
        folds = [_ridge(before[fold - 1], subset, spectra) for fold in rolled]
        paths.append(_ridge(before[-1], subset, spectra))
        fitted.append(folds)
        errors.append([_square_error(sums[fold], path) for fold, path in zip(rolled, folds, strict=True)])
    count = sum(sums[fold, 0, 0] for fold in rolled)
    if not rolled:
        coefficients, error = none, sums[:, -1, -1].sum() / max(1.0, before[-1, 0, 0])
    else:
        mean = np.concatenate([np.sum(one, axis=0) for one in errors]) / count
        independent = max(2.0, count / ahead)
        least = mean.min()
        weights = np.exp(-0.5 * independent * (mean - least) / max(least, ROUNDING))
        weights /= weights.sum()
        coefficients = weights @ np.concatenate(paths)
        averaged = [weights @ np.concatenate([one[number] for one in fitted]) for number in range(len(rolled))]
        squares = [_square_error(sums[fold], one[None]) for fold, one in zip(rolled, averaged, strict=True)]
        error = float(np.sum(squares)) / count
    return coefficients[1:-1], float(coefficients[0]), float(error)


def _square_error(sums: np.ndarray, path: np.ndarray) -> np.ndarray:
    """The sums of square errors of candidates (L, I + 2), whose last entry is 0, by the sums of some steps."""
    left = path.copy()
    left[:, -1] = -1
    return np.maximum(np.einsum("li,ij,lj->l", left, sums, left, optimize=True), 0)


def _ridge(sums: np.ndarray, subset: np.ndarray, spectra: _Spectra) -> np.ndarray:
    """The ridge regressions on some inputs for every penalty, (L, I + 2): intercept, weights, and a 0."""
    count, places = sums[0, 0], subset + 1
    mean = sums[0] / count
    cross = sums[places, -1] / count - mean[places] * mean[-1]
    unit, values, vectors = spectra.of(sums[:-1, :-1], places)
    along = vectors.T @ (cross / unit)
    scaled = (along / (np.maximum(values, 0) + PENALTIES[:, None] / count)) @ vectors.T / unit
    path = np.zeros((len(PENALTIES), len(sums)))
    path[:, places] = scaled
    path[:, 0] = mean[-1] - scaled @ mean[places]
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


def ridge(values: np.ndarray, horizon: int, train_rows: int, rows: int) -> np.ndarray:
    """The forecasts of a ridge regression on the last rows of a target, its penalties weighed, (N + horizon).

    Args:
        values: the target by row, (N), NaN where missing.
        horizon: how many rows ahead.
        train_rows: how many of them it is fitted to, the first ones.
        rows: how many it reads.
    """
    moments = Moments.of(values[:train_rows, None])
    scaled = (values - moments.mean[0]) / moments.unit[0]
    x = lagged(carried_on(scaled)[:, None], rows)
    steps = train_rows - rows + 1 - horizon
    products = Products(rows, 1)
    products.add(x[:steps], scaled[rows - 1 + horizon :][:steps, None], 0, steps)
    found = np.full(len(values) + horizon, np.nan)
    found[rows - 1 + horizon :] = fit_ridge(products, rows, horizon)(x)[:, 0]
    return found * moments.unit[0] + moments.mean[0]


def fit_ridge(products: Products, rows: int, horizon: int) -> LinearPart:
    """A ridge regression on the last rows of a target, its penalties weighed."""
    return fit_linear(products, Inputs(1, range(rows), False, 0, rows), [(0, horizon)], whole=True)


def least_squares(products: Products) -> LinearPart:
    """The linear regression on all training steps, without a penalty, of one output."""
    sums = products.sums[:, 0].sum(0)
    bias, *weight = np.linalg.lstsq(sums[:-1, :-1], sums[:-1, -1], rcond=None)[0]
    return LinearPart(np.array([weight]), np.array([bias]), np.array([np.nan]))


def linear_paths(
    learned: Products, whole: Products, layout: Inputs, outputs: Sequence[tuple[int, int]], seasons: Sequence[int]
) -> LinearPaths:
    """The linear part as training and forecasts use it.

    The network reads, standardised: each column's value and its change since the two rows before, each target's
    change since a season ago, the change that the linear part forecasts, marks and calendar.

    Args:
        learned: of the training steps without those for validation.
        whole: of all training steps.
        seasons: in rows.
    """
    by_learned, by_all = (fit_linear(products, layout, outputs) for products in (learned, whole))
    changes, plain = layout.changes(), np.eye(layout.size)
    read = [
        changes[:, layout.at(lag, column)]
        for lag in range(len(layout.lags[:3]))
        for column in range(layout.columns)
    ]
    targets = sorted({place for place, _ in outputs})
    ago = [lag for lag, rows in enumerate(layout.lags) if lag > 2 and rows in seasons]
    read += [changes[:, layout.at(lag, place)] for lag in ago for place in targets]
    read += [row - plain[layout.at(0, place)] for row, (place, _) in zip(by_learned.weight, outputs, strict=True)]
    if layout.marks:
        read += [plain[layout.columns + column] for column in range(layout.columns)]
    read += [plain[layout.size - 1 - place] for place in range(layout.calendar)]
    sums = learned.sums.sum((0, 1))[:-1, :-1]
    mean = sums[0, 1:] / max(1.0, sums[0, 0])
    spread = sums[1:, 1:] / max(1.0, sums[0, 0]) - np.outer(mean, mean)
    reading = np.stack(read)
    unit = np.sqrt(np.maximum(np.einsum("ri,ij,rj->r", reading, spread, reading), 0))
    reading = reading / np.where(unit > 1e-9, unit, 1)[:, None]
    scale = []
    for output, (weight, bias) in enumerate(zip(by_learned.weight, by_learned.bias, strict=True)):
        own = learned.sums[:, output].sum(0)
        left = np.concatenate([[bias], weight, [-1]])
        scale.append(np.sqrt(max(left @ own @ left, 0) / max(1.0, own[0, 0])))
    read_by = reading, -reading @ mean, np.where(np.array(scale) > 1e-9, scale, 1)
    return LinearPaths(*(_path(part, *read_by) for part in (by_learned, by_all)))


def _path(part: LinearPart, reading: np.ndarray, offset: np.ndarray, scale: np.ndarray) -> LinearPath:
    path = LinearPath(part.weight.shape[1], len(part.weight), len(reading))
    values = {"weight": part.weight, "bias": part.bias, "reading": reading, "offset": offset, "scale": scale}
    for name, value in values.items():
        getattr(path, name).copy_(torch.from_numpy(np.asarray(value)))
    return path


def share_of(y: np.ndarray, left: np.ndarray, ahead: int) -> float:
    """How much of a network's output a forecast takes: the least squares share, or 0 where it may not help.

    It helps where the square error that it saves on the validation steps is more than `SURE` standard errors above
    0, over at least `BLOCKS` blocks of steps whose errors may be taken as independent, `ahead` in each.

    Args:
        y: the network's outputs at the validation steps, (N).
        left: what the linear part leaves there, in the same unit; NaN where it is not known.
        ahead: the horizon.
    """
    there = ~np.isnan(left)
    y, left = y[there], left[there]
    count = min(len(y) // ahead, MOST_BLOCKS)
    if count < BLOCKS or not y.any():
        return 0.0
    share = float(np.clip(y @ left / (y @ y), 0, 1))
    saved = np.square(left) - np.square(left - share * y)
    blocks = np.array([block.mean() for block in np.array_split(saved, count)])
    return share if blocks.mean() > SURE * blocks.std(ddof=1) / np.sqrt(count) else 0.0
