"""A check whether later rows leave the range of the training rows, where a network can only extrapolate."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...printable import shortened

FAR = 0.05  # of a column's range: values closer to it are not reported


def beyond(
    learned: np.ndarray, later: Iterable[np.ndarray], columns: list[str], rows: str = "later rows"
) -> str | None:
    """A sentence on the column that leaves its range furthest; None where none does by more than `FAR` of it.

    Args:
        learned: the training rows, (N, C); NaN is left out.
        later: the rows after them, (M, C), in pieces.
        columns: the names of the columns.
        rows: the later rows in words.
    """
    least, most = _extremes(learned)
    farthest, outside, count = np.zeros((2, len(columns))), np.zeros(len(columns), dtype=int), 0
    for piece in later:
        low, high = _extremes(piece)
        farthest = np.maximum(farthest, [least - low, high - most])
        outside += ((piece < least) | (piece > most)).sum(0)
        count += len(piece)
    span = np.where(most > least, most - least, 1.0)
    parts = np.where(np.isfinite(farthest), farthest, 0.0) / span
    side, place = np.unravel_index(int(parts.argmax()), parts.shape)
    if not parts[side, place] > FAR:
        return None
    which, edge = ("below its least", least[place]) if side == 0 else ("above its largest", most[place])
    column = repr(shortened(columns[place]))
    return (
        f"The inputs leave the range trained on: {column} lies outside it in {outside[place]} of {count} "
        f"{rows} ({outside[place] / count:.0%}), by up to {farthest[side, place]:.3g} {which} training value, "
        f"{edge:.4g}, which is {parts[side, place]:.0%} of that range. A network extrapolates poorly there, "
        "where a linear part (--linear, the default) goes on: learn from more rows, if there are."
    )


def _extremes(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest value of each column; where there is none, inf and -inf."""
    rows = rows.astype(float)
    there = ~np.isnan(rows)
    return rows.min(0, initial=np.inf, where=there), rows.max(0, initial=-np.inf, where=there)
