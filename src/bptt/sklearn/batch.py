"""Batches of sequences for the network: dense where they have one length, else packed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from ..reach.walker import Model
from ..trees import Tree, leaves, mapped, refilled


class PackedSteps(NamedTuple):
    """Sequences of several lengths, longest first, as packed: the steps there are, those of one time together."""

    x: Tensor  # (N, I)
    sizes: Tensor  # (T), how many sequences have this step

    def window(self, steps: Tensor) -> PackedSequence:
        """Some steps that follow one another, by their numbers."""
        first, stop = int(steps[0]), int(steps[-1]) + 1
        start, sizes = int(self.sizes[:first].sum()), self.sizes[first:stop]
        return PackedSequence(self.x[start : start + int(sizes.sum())], sizes)


class Batch(NamedTuple):
    """Sequences side by side, time first, with the targets and weights of their steps."""

    x: Tensor  # (T, B, I); where lengths differ (T), the steps' numbers, and `rows` has them
    d: Tensor  # (T, B, ·), the targets; zeros where there is none
    weight: Tensor  # (T, B), of each step's error; 0 where there is no target
    rows: PackedSteps | None = None

    def of(self, dtype: torch.dtype) -> Batch:
        """The same with its numbers in a floating dtype; classes and places stay as they are."""
        return mapped(lambda part: part.to(dtype) if part.is_floating_point() else part, self)

    @property
    def share(self) -> float:
        """The mean weight of a step that has a target."""
        return self.weight.double().sum().item() / max(1, int(self.weight.count_nonzero()))

    def then(self, steps: Batch) -> Batch:
        """These steps of streams and those that follow."""
        x, d, weight = (torch.cat([getattr(part, name) for part in (self, steps)]) for name in self._fields[:3])
        return Batch(x, d, weight)

    def since(self, first: int) -> Batch:
        """The steps from one on."""
        return self._replace(x=self.x[first:], d=self.d[first:], weight=self.weight[first:])

    def walked_by(self, model: Model) -> Model:
        """The model as it walks x, whole or in windows: only over the steps there are."""
        if self.rows is None:
            return model

        def walk(x: Tensor, state: Tree) -> tuple[Tensor, Tree]:
            packed, own = self.packed(x, state)
            y, after = model(packed, own)
            y, ended = (
                pad_packed_sequence(cast(PackedSequence, y))[0],
                self.d.shape[1] - int(packed.batch_sizes[0]),
            )
            if not ended:
                return y, after
            pairs = zip(leaves(after), leaves(state), strict=True)
            after = refilled(after, iter([torch.cat([new, old[:, -ended:]], 1) for new, old in pairs]))
            return nn.functional.pad(y, (0, 0, 0, ended)), after

        return walk

    def packed(self, x: Tensor, state: Tree) -> tuple[Any, Tree]:
        """Steps x as the network reads them, and the state (L, B, ·) of the sequences that have not ended."""
        if self.rows is None:
            return x, state
        packed = self.rows.window(x)
        return packed, mapped(lambda s: s[:, : int(packed.batch_sizes[0])].contiguous(), state)


def batch_of(
    sequences: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    weights: Sequence[np.ndarray] | None = None,
) -> Batch:
    """Sequences (T_i, I) with targets (T_i, ·), or (1, ·) for one at the last step, and weights (T_i), or (1).

    >>> batch = batch_of([np.ones((3, 2)), np.ones((1, 2))], [np.ones((1, 1)), np.ones((1, 1))])
    >>> batch.rows.sizes.tolist(), batch.weight.int().tolist()
    ([2, 1, 1], [[0, 1], [0, 0], [1, 0]])
    """
    if weights is None:
        weights = [np.ones(len(target), sequences[0].dtype) for target in targets]
    lengths, dtype = np.array([len(x) for x in sequences]), sequences[0].dtype
    T, B, ragged = max(map(len, sequences)), len(sequences), len(set(lengths.tolist())) > 1
    order: list[int] = np.argsort(-lengths, kind="stable").tolist() if ragged else list(range(B))
    d, weight = np.zeros((T, B, *targets[0].shape[1:]), targets[0].dtype), np.zeros((T, B), dtype)
    for column, place in enumerate(order):
        steps = slice(len(sequences[place]) - len(targets[place]), len(sequences[place]))
        d[steps, column], weight[steps, column] = targets[place], weights[place]
    d, weight = torch.from_numpy(d), torch.from_numpy(weight)
    if ragged:
        return Batch(torch.arange(T, device="cpu"), d, weight, _rows(sequences, lengths, order))
    return Batch(torch.from_numpy(np.stack(sequences, 1)), d, weight)


def _rows(sequences: Sequence[np.ndarray], lengths: np.ndarray, order: list[int]) -> PackedSteps:
    """The sequences packed, in this order."""
    steps = np.arange(lengths.max())[:, None]
    there = steps < lengths[order]
    starts = np.cumsum(lengths) - lengths  # of each sequence where they stand one after the other
    x = np.concatenate(sequences)[(starts[order] + steps)[there]]
    return PackedSteps(torch.from_numpy(x), torch.from_numpy(there.sum(1)))
