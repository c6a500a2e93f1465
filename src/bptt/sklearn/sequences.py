"""Sequences as scikit-learn's users have them, checked, and side by side as a network walks them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.utils.validation import check_array, column_or_1d
from torch import Tensor


class Batch(NamedTuple):
    """Sequences side by side, time first, zeros after the end of the shorter ones."""

    x: Tensor  # (T, B, I)
    d: Tensor  # (T, B, ·), what is desired; zeros where nothing is
    desired: Tensor  # (T, B), booleans: where something is

    def of(self, dtype: torch.dtype) -> Batch:
        """The same with its numbers in a floating dtype; classes stay as they are."""
        d = self.d.to(dtype) if self.d.is_floating_point() else self.d
        return Batch(self.x.to(dtype), d, self.desired)


class Sequences(NamedTuple):
    """Sequences one by one."""

    each: list[np.ndarray]  # (T_i, I), all float64 or all float32
    ragged: bool  # whether they came in a list, so that what belongs to their steps comes in one as well


class Targets(NamedTuple):
    """What is desired of each sequence."""

    each: list[np.ndarray]  # (T_i, ...) one a step, or (1, ...) one a sequence
    per_step: bool


def numbers(values: Any, name: str, **choices: Any) -> np.ndarray:
    """An array of finite float64 or float32, as `sklearn.utils.check_array` makes it."""
    return check_array(values, **{"dtype": [np.float64, np.float32], "input_name": name, **choices})


def read_sequences(X: Any, who: str) -> Sequences:
    """X as one array a sequence.

    Args:
        X: (N, T, I); (N, T) for one feature a step; or a list of N arrays (T_i, I).
        who: the estimator's name.

    Raises:
        ValueError, TypeError: X is none of these, or holds what is not finite or no number.
    """
    if isinstance(X, list | tuple) and X and all(np.ndim(x) == 2 for x in X):
        read = [_checked(x, f"X[{place}]", who) for place, x in enumerate(X)]
        widths = [x.shape[1] for x in read]
        if len(set(widths)) > 1:
            other = next(place for place, width in enumerate(widths) if width != widths[0])
            raise ValueError(
                f"X[0] has {widths[0]} features a step and X[{other}] has {widths[other]}; all sequences need the "
                "same features"
            )
        wide = np.result_type(*read)
        return Sequences([x.astype(wide, copy=False) for x in read], ragged=True)
    x = numbers(X, "X", allow_nd=True, estimator=who)
    if x.ndim > 3:
        raise ValueError(
            f"X has {x.ndim} dimensions {x.shape}; {who} takes (n_samples, n_steps, n_features), (n_samples, "
            "n_steps), or a list of (n_steps, n_features)"
        )
    if 0 in x.shape:
        raise ValueError(f"X is {x.shape}: every sequence needs a step, and every step a feature")
    return Sequences(list(x[..., None] if x.ndim == 2 else x), ragged=False)


def _checked(x: Any, name: str, who: str) -> np.ndarray:
    try:
        return numbers(x, name, estimator=who)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def read_targets(y: Any, sequences: Sequences, checked: Callable[[Any], np.ndarray], outputs: bool) -> Targets:
    """y as one array a sequence.

    Args:
        y: (N,) one a sequence; (N, T) one a step; or a list of N arrays (T_i,) where X is a list.
        sequences: what it belongs to.
        checked: an array of y, checked and converted.
        outputs: whether a step may have several, one more axis.

    Raises:
        ValueError, TypeError: y is missing, has another length, or another form.
    """
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    lengths = [len(x) for x in sequences.each]
    if isinstance(y, list | tuple) and y and all(np.ndim(target) >= 1 for target in y) and sequences.ragged:
        each = [checked(target) for target in y]
        per_step = True
    else:
        whole = checked(y)
        column = whole.ndim == 2 and whole.shape[1] == 1 and set(lengths) != {1}
        whole = column_or_1d(whole, warn=True) if column else whole
        per_step = whole.ndim > 1
        each = list(whole) if per_step else list(whole[:, None])
    if len(each) != len(lengths):
        raise ValueError(
            f"X has {len(lengths)} sequences and y has {len(each)} targets; each sequence needs its own"
        )
    for place, (target, length) in enumerate(zip(each, lengths, strict=True)):
        if per_step and (len(target) != length or target.ndim > 1 + outputs):
            raise ValueError(
                f"the target of sequence {place} is {target.shape}, but the sequence has {length} steps; y takes "
                f"one target a sequence, (n_samples,), or one a step, "
                f"(n_samples, n_steps{'[, n_outputs]' * outputs})"
            )
    return Targets(each, per_step)


def side_by_side(sequences: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> Batch:
    """Sequences (T_i, I) with targets (T_i, ·), or (1, ·) for one at the last step.

    >>> batch = side_by_side([np.ones((3, 2)), np.ones((1, 2))], [np.ones((1, 1)), np.ones((1, 1))])
    >>> tuple(batch.x.shape), batch.desired.int().tolist()
    ((3, 2, 2), [[0, 1], [0, 0], [1, 0]])
    """
    T, N = max(map(len, sequences)), len(sequences)
    x = torch.from_numpy(np.zeros((T, N, sequences[0].shape[1]), sequences[0].dtype))
    d = torch.from_numpy(np.zeros((T, N, *targets[0].shape[1:]), targets[0].dtype))
    desired = torch.zeros(T, N, dtype=torch.bool)
    for place, (sequence, target) in enumerate(zip(sequences, targets, strict=True)):
        steps = slice(len(sequence) - len(target), len(sequence))
        x[: len(sequence), place] = torch.tensor(sequence)
        d[steps, place] = torch.tensor(target)
        desired[steps, place] = True
    return Batch(x, d, desired)
