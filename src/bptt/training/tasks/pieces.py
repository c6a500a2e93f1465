"""The rows of a series in pieces: so many steps that follow each other, with the rows around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ..data.gaps import carried_on, last_values
from ..data.tables import Rows


class Steps(NamedTuple):
    """Steps of a series that follow each other, and the rows around them."""

    row: int  # that the first of them stands at
    steps: int  # T
    before: int  # how many rows precede them
    values: np.ndarray  # (before + T + farthest, C), these and those ahead too; NaN beyond the end
    last: np.ndarray  # (C), each column's last value before them, where the first of them is missing; else any

    def without(self, steps: int) -> Steps:
        """Without the first steps."""
        return Steps(self.row + steps, self.steps - steps, self.before + steps, self.values, self.last)

    def begun_by(self, first: np.ndarray) -> Steps:
        """With a column's first value, of (C), as its last one where it has none before."""
        return self._replace(last=np.where(np.isnan(self.last), first, self.last))

    def past(self, place: int) -> np.ndarray:
        """A column up to the row of the last step, (before + T)."""
        return self.values[: self.before + self.steps, place]

    def carried(self, place: int) -> np.ndarray:
        """The same with each gap filled by the last value before it."""
        return carried_on(np.concatenate([self.last[[place]], self.past(place)]))[1:]

    def last_before(self, row: int) -> np.ndarray:
        """Each column's last value before a row of these, (C)."""
        rows = np.concatenate([self.last[None], self.values[: row - self.row + self.before]])
        return np.array([carried_on(column)[-1] for column in rows.T])

    def targets(self, outputs: Sequence[tuple[int, int]]) -> np.ndarray:
        """The true values of each output, (T, K)."""
        starts = [(place, self.before + ahead) for place, ahead in outputs]
        return np.stack([self.values[start : start + self.steps, place] for place, start in starts], axis=1)


def pieces_of(table: Rows, first: int, stop: int, before: int, farthest: int) -> Iterator[Steps]:
    """The steps at rows first to stop, by piece.

    Args:
        before: how many rows lead each piece; all that there are where they are fewer.
        farthest: how many rows follow its last step.
    """
    piece = None
    for row in range(first, stop, table.piece):
        steps, lead = min(table.piece, stop - row), min(before, row)
        values = table.read(row - lead, lead + min(steps + farthest, len(table) - row))
        last = values[0]
        if np.isnan(last).any():
            if piece is None:
                last = last_values(table.read, len(table.columns), row - lead, table.piece)
            else:
                last = piece.last_before(row - lead)
        beyond = np.full((lead + steps + farthest - len(values), len(table.columns)), np.nan)
        piece = Steps(row, steps, lead, np.concatenate([values, beyond]), last)
        yield piece
