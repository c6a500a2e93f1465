"""Many series, learned from some at a time, in an order drawn anew each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..reach.truncated import Walked
from ..trees import Tree
from .updates import Pass, Update, Updates


class Groups:
    """All updates of one group of series, then those of the next: `Updates` of the training loop.

    Args:
        count: how many series there are.
        size: of a group; the last one may be smaller.
        seed: alone with the epoch draws the order.
        group: what is learned from the series of some numbers.
        validate: as `Updates.validation`.
    """

    def __init__(
        self,
        count: int,
        size: int,
        seed: int,
        group: Callable[[list[int]], Updates],
        validate: Callable[[], float | None],
    ) -> None:
        self.count, self.size, self.seed, self.group, self.validation = count, size, seed, group, validate

    def epoch(self, number: int, place: Tree = None) -> Pass:
        return _Grouped(self, number, place)


class _Grouped(Iterator[Update]):
    """A pass over the groups."""

    def __init__(self, source: Groups, epoch: int, place: Tree) -> None:
        self._source, self._epoch = source, epoch
        self._order = np.random.default_rng([source.seed, epoch]).permutation(source.count)
        self._start = 0 if place is None else place["start"]
        self._pass = self._begun(None if place is None else place["within"])

    @property
    def walked(self) -> Walked | None:
        return self._pass.walked

    def __next__(self) -> Update:
        update = next(self._pass, None)  # pyright: ignore[reportArgumentType]
        while update is None:
            if self._start + self._source.size >= self._source.count:
                raise StopIteration
            self._start += self._source.size
            self._pass = self._begun(None)
            update = next(self._pass, None)  # pyright: ignore[reportArgumentType]
        return update

    def _begun(self, place: Tree) -> Pass:
        """The pass over the group that starts here; its noise and dropout are drawn by a number of its own."""
        source, start = self._source, self._start
        group = source.group(self._order[start : start + source.size].tolist())
        return group.epoch(self._epoch * source.count + start, place)

    def state_dict(self) -> Tree:
        return {"start": self._start, "within": self._pass.state_dict()}
