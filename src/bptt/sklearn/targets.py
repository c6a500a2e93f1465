"""Targets y and their weights as scikit-learn's users have them, checked."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import column_or_1d

from .arrays import check_numbers, parts_of
from .samples import Samples

CHOICES = ("auto", "sequence", "step")


class Targets(NamedTuple):
    """The targets of each sequence, and their weights."""

    each: list[np.ndarray]  # (T_i, ...) one a step, or (1, ...) one a sequence
    per_step: bool
    several: bool  # whether y has an axis of outputs
    weights: list[np.ndarray]  # (T_i), or (1), at least 0

    def times(self, factors: list[np.ndarray]) -> Targets:
        """The same, each weight multiplied."""
        return self._replace(weights=[w * factor for w, factor in zip(self.weights, factors, strict=True)])


def read_targets(
    y: Any,
    sequences: Samples,
    checked: Callable[[Any, str], np.ndarray],
    outputs: bool,
    choice: str = "auto",
    sample_weight: Any = None,
) -> Targets:
    """y as one array a sequence.

    Args:
        y: (N,) one a sequence, (N, k) several; (N, T) one a step, (N, T, k) several; or a list of N arrays (T_i,)
            or (T_i, k).
        sequences: those of X.
        checked: an array of y, by its name, checked and converted.
        outputs: whether there may be several; else (N, 1) is read as (N,).
        choice: whether y has a target for each "sequence" or "step"; "auto" decides by its shape.
        sample_weight: (N,) of each sequence; None for the same.

    Raises:
        ValueError, TypeError: y is missing, has another length or form, or a form that can be read in two ways.
    """
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    parts = parts_of(y, "y")
    if parts is None:
        whole = checked(y, "y")
        each = [whole[place] for place in range(len(whole))]
    else:
        each = [checked(part, f"y[{place}]") for place, part in enumerate(parts)]
    if len(each) != len(sequences.each):
        raise ValueError(
            f"X has {len(sequences.each)} sequences and y has {len(each)} targets; each sequence needs its own"
        )
    per_step = _is_per_step(each, [len(x) for x in sequences.each], outputs, choice)
    several = len(np.shape(each[0])) == 1 + per_step
    if not per_step and several and not outputs:
        column_or_1d(np.stack(each), warn=True)
        each, several = [part[0] for part in each], False
    if not per_step:
        each = [np.asarray(part)[None] for part in each]
    weights = read_weights(sample_weight, len(each))
    return Targets(each, per_step, several, [np.full(len(part), w) for part, w in zip(each, weights, strict=True)])


def _is_per_step(each: list[np.ndarray], lengths: list[int], outputs: bool, choice: str) -> bool:
    """Whether each array of y has a target a step, or else is one sequence's."""
    shapes = [np.shape(part) for part in each]
    off = [
        place
        for place, (shape, length) in enumerate(zip(shapes, lengths, strict=True))
        if shape[:1] != (length,) or len(shape) > 1 + outputs
    ]
    of_step, first = not off, shapes[0]
    of_sequence = set(shapes) == {()} or (
        set(shapes) == {first} and len(first) == 1 and (outputs or first == (1,))
    )
    if choice == "auto" and of_step and of_sequence:
        raise ValueError(
            f"each sequence has {lengths[0]} steps and its target is {first}, which may be a target for each step "
            "or several for the sequence; pass targets='step' or targets='sequence'"
        )
    if (of_step and choice != "sequence") or (of_sequence and choice != "step"):
        return of_step and choice != "sequence"
    place = off[0] if off else 0
    whole, a_step = (" or (n_samples, n_outputs)", "[, n_outputs]") if outputs else ("", "")
    raise ValueError(
        f"the target of sequence {place} is {shapes[place]}, but the sequence has {lengths[place]} steps"
        f"{'' if choice == 'auto' else f' and targets={choice!r}'}; y takes one target a sequence, (n_samples,)"
        f"{whole}, or one a step, (n_samples, n_steps{a_step})"
    )


def read_weights(sample_weight: Any, count: int) -> np.ndarray:
    """Weights (count,), at least 0; a single number, or None, for the same.

    Raises:
        ValueError, TypeError: they are of another shape, negative, not finite, or all 0.
    """
    if sample_weight is None:
        return np.ones(count)
    if isinstance(sample_weight, Real):
        sample_weight = np.full(count, sample_weight)
    weights = check_numbers(sample_weight, "sample_weight", (), ensure_2d=False, allow_nd=True).astype(np.float64)
    if weights.shape != (count,):
        raise ValueError(f"sample_weight is {weights.shape}, but ({count},) is needed, one for each sample")
    if (weights < 0).any():
        place = int(np.argmax(weights < 0))
        raise ValueError(f"sample_weight[{place}] is {weights[place]:g}; weights must be at least 0")
    if not weights.any():
        raise ValueError("sample_weight is zero for every sample, which leaves nothing to train on")
    return weights


def normalised(weights: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Which sequences weigh something, and the weights over their mean; all exactly 1 where they are equal."""
    all_weights = np.concatenate(weights)
    there = all_weights[all_weights > 0]
    if not len(there):
        raise ValueError("the weights of all targets are 0, which leaves nothing to train on")
    mean = there[0] if (there == there[0]).all() else there.mean()
    return np.flatnonzero([w.any() for w in weights]), [w / mean for w in weights]
