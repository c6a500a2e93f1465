"""The linear part beside the network: what the network reads and learns, and how much of it a forecast takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from ...forecast_model import LinearPath
from .ridge import Inputs, LinearPart, Products, fit_linear

SURE, BLOCKS, MOST_BLOCKS = 3.0, 20, 50  # as `share_of` has them


class LinearPaths(NamedTuple):
    """The linear part in a forecast model, both with the network's inputs by the training steps."""

    learned: LinearPath  # fitted without the validation steps, beside which the network is trained
    final: LinearPath  # fitted to all training steps


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
    by_learned, by_all = (fit_linear(products, layout, outputs, seasons) for products in (learned, whole))
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
    path = LinearPath(part.weight.shape[1], len(part.weight), len(reading), "cpu", torch.float32)
    values = {"weight": part.weight, "bias": part.bias, "reading": reading, "offset": offset, "scale": scale}
    for name, value in values.items():
        getattr(path, name).copy_(torch.from_numpy(np.asarray(value)))
    return path


def rows_spanned(times: Sequence[np.ndarray]) -> int:
    """How many rows of one series the steps of several are worth, (n) of each, as increasing numbers.

    Series that run side by side count once: where some of them share no times, more steps between two times tell
    no more of what moves them all. They are worth no less than the longest of them alone.

    >>> rows_spanned([np.arange(0, 20, 2), np.arange(1, 21, 2)]), rows_spanned([np.arange(10), np.arange(10, 20)])
    (11, 20)
    >>> rows_spanned([np.arange(240), np.arange(0, 240, 24)])  # hours and days
    240
    """
    stop = max(int(own[-1]) for own in times) + 1
    present, running = np.zeros((2, stop))
    for own in times:
        present[own] += 1
        running[own[0] : own[-1] + 1] += 1
    spanned = float((present[running > 0] / running[running > 0]).sum())
    return max(round(spanned), *map(len, times))


def share_of(
    y: np.ndarray, left: np.ndarray, ahead: int, at: np.ndarray | None = None, most: int | None = None
) -> float:
    """How much of a network's output a forecast takes: the least squares share, or 0 where it may not help.

    It helps where the square error that it saves on the validation steps is more than `SURE` standard errors above
    0, over at least `BLOCKS` blocks of steps whose errors may be taken as independent, `ahead` in each. Of many
    series those at one time are in one block, since what moves one of them may move all.

    Args:
        y: the network's outputs at the validation steps, (N).
        left: what the linear part leaves there, in the same unit; NaN where it is not known.
        ahead: the horizon.
        at: the time of each, (N), as numbers that increase with it. Default in order.
        most: how many rows of one series they are worth at most. Default as many as there are times.
    """
    there = ~np.isnan(left)
    y, left = y[there], left[there]
    at = np.arange(len(y)) if at is None else at[there]
    sizes = np.unique(at, return_counts=True)[1]  # of steps at one time
    count = min(len(sizes) // ahead, (len(sizes) if most is None else most) // ahead, MOST_BLOCKS)
    if count < BLOCKS or not y.any():
        return 0.0
    share = float(np.clip(y @ left / (y @ y), 0, 1))
    saved = np.square(left) - np.square(left - share * y)
    ends = np.cumsum([some.sum() for some in np.array_split(sizes, count)])[:-1]
    blocks = np.array([block.mean() for block in np.split(saved[np.argsort(at, kind="stable")], ends)])
    return share if blocks.mean() > SURE * blocks.std(ddof=1) / np.sqrt(count) else 0.0
