"""A long series in a file as windows of parallel streams, read piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...checks import check_sizes
from ...errors import UserError
from .sources import Source, checked_columns, open_source, read_finite
from .streamed_tables import PIECE
from .tables import lagged


class Stream:
    """The windows (x, d) of a long series, made by `stream`; each iteration goes through the series once.

    Attributes:
        steps: T, the steps of each of the B parallel streams.
        position: the step the next window begins with.
    """

    batch_first = False  # x and d are (T, B, ·)

    def __init__(
        self,
        source: Source,
        name: str,
        x: list[str],
        d: list[str],
        aheads: Sequence[int],
        batch: int,
        window: int,
        dtype: Any,
        lags: Sequence[int] = (0,),
    ) -> None:
        self.source, self.name, self.x, self.d = source, name, x, d
        self.aheads, self.batch, self.window, self.dtype, self.lags = aheads, batch, window, dtype, lags
        self.beyond = lags[-1] + max(aheads)  # rows of a step before and after its own
        self.steps = (source.rows - self.beyond) // batch
        self.position = 0
        if self.steps < 1:
            raise UserError(
                f"{name} has {source.rows} row{'' if source.rows == 1 else 's'}; {batch} streams and targets "
                f"{max(aheads)} rows ahead"
                + (f" of {lags[-1] + 1} lags" if lags[-1] else "")
                + f" need at least {batch + self.beyond}"
            )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        columns = list(dict.fromkeys([*self.x, *self.d]))
        of_x, of_d = ([columns.index(name) for name in names] for names in (self.x, self.d))
        rows, beyond = max(self.window, PIECE // self.batch), self.beyond
        held, first = np.empty((0, 0, 0)), 0  # (rows, B, columns), the first one the earliest of step `first`
        while self.position < self.steps:
            start, stop = self.position, min(self.position + self.window, self.steps)
            if not len(held) or start < first or stop + beyond > first + len(held):
                held, first = self._read(start, min(start + rows, self.steps) + beyond, columns), start
            piece = held[start - first : stop - first + beyond]
            steps = stop - start
            x = lagged(piece[: steps + self.lags[-1], :, of_x], self.lags)
            first_d = [self.lags[-1] + ahead for ahead in self.aheads]
            d = np.stack([piece[row : row + steps, :, place] for place in of_d for row in first_d], -1)
            self.position = stop
            yield torch.from_numpy(x).to(self.dtype), torch.from_numpy(d).to(self.dtype)
        self.position = 0

    def _read(self, start: int, stop: int, columns: list[str]) -> np.ndarray:
        """Steps start to stop of each stream, (steps, B, columns), finite."""
        firsts = [stream * self.steps + start for stream in range(self.batch)]
        pieces = [read_finite(self.source, self.name, first, stop - start, columns) for first in firsts]
        return np.stack(pieces, axis=1)

    def state_dict(self) -> dict[str, Any]:
        """The position, with the sizes it belongs to."""
        return {"position": self.position, "rows": self.source.rows, "batch": self.batch, "window": self.window}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved position.

        Raises:
            ValueError: it was saved from another series, batch or window.
        """
        own = self.state_dict()
        if set(state) != set(own):
            raise ValueError(f"the state of a stream has {sorted(own)}, got {sorted(state)}")
        for name in ("rows", "batch", "window"):
            if state[name] != own[name]:
                raise ValueError(f"the state was saved with {name}={state[name]}, but this stream has {own[name]}")
        self.seek(state["position"])

    def seek(self, step: int) -> None:
        """Begin the next window at a step.

        Raises:
            ValueError: there is no such step.
        """
        if not 0 <= step <= self.steps:
            raise ValueError(f"position must lie between 0 and {self.steps}, got {step}")
        self.position = step


def stream(
    path: str | Path,
    columns: str | Sequence[str] | None = None,
    targets: str | Sequence[str] | None = None,
    ahead: int | Sequence[int] = 1,
    batch: int = 1,
    window: int = 20,
    dtype: torch.dtype = torch.float32,
    lags: int = 1,
) -> Stream:
    """A long series as windows for `bptt.truncated`, a few megabytes of it in memory at a time.

        for window in bptt.truncated(model, bptt.stream("series.parquet", "load", batch=8), None, criterion):

    The series is cut into B stretches of T = (rows - max(ahead) - lags + 1) // B steps that are read side by side,
    each in order, so that a state carried from window to window is that of its own stretch. Rows left over are not
    read.

    Args:
        path: a .parquet or .pq file, a .npy file of (rows,) or (rows, columns), whose columns are named "0", "1",
            ..., or else a CSV file (UTF-8, a header, commas).
        columns: of x; default all.
        targets: columns of d. Default those of x.
        ahead: how many rows after that of x the row of d stands; 0 for the same row; several for a column of d
            each, target by target. Default 1: forecast.
        batch: B. Default 1.
        window: steps of a chunk; make it the k1 of `bptt.truncated`. Default 20.
        dtype: of x and d. Default torch.float32.
        lags: how many rows, the present one and those just before it, are x of a step. Default 1.

    Returns:
        a `Stream` of pairs x (window, B, lags·columns), the present row first, and d (window, B, targets), or
        (window, B, targets·len(ahead)); the last pair of a pass may be shorter. Its `state_dict` and
        `load_state_dict` save and restore the position.

    Raises:
        UserError: no such file, column or enough rows; while reading, a number that is not finite, with its row
            and column.
    """
    check_sizes(batch=batch, window=window, lags=lags)
    aheads = [ahead] if isinstance(ahead, int) else list(ahead)
    if not aheads or any(isinstance(one, bool) or not isinstance(one, int) or one < 0 for one in aheads):
        raise ValueError(f"ahead must be an int of at least 0, or several, got {ahead!r}")
    path = Path(path)
    source = open_source(path)
    x = checked_columns(columns, source, path) if columns is not None else list(source.columns)
    d = checked_columns(targets, source, path) if targets is not None else x
    return Stream(source, path.name, x, d, aheads, batch, window, dtype, range(lags))
