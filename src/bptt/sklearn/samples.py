"""Sequences X as scikit-learn's users have them, checked."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import validate_data

from .arrays import check_numbers, parts_of

FORMS = "(n_samples, n_steps, n_features), (n_samples, n_steps), or a list of (n_steps, n_features)"


ANY = {"allow_nd": True, "ensure_2d": False, "ensure_min_samples": 0, "ensure_min_features": 0}  # checked here


class Samples(NamedTuple):
    """The sequences of X."""

    each: list[np.ndarray]  # (T_i, I), all float64 or all float32
    ragged: bool  # whether X is a list, so that predictions for steps are one too
    named: Any = None  # the frame that names the columns, if there is one


def samples_for(estimator: Any, X: Any, fresh: bool) -> Samples:
    """X as an estimator's sequences, with the column names of `fit` unless this is a new fit."""
    sequences = read_samples(X, type(estimator).__name__)
    validate_data(estimator, sequences.named, reset=fresh, skip_check_array=True, ensure_2d=False)
    return sequences


def read_samples(X: Any, who: str) -> Samples:
    """X as one array a sequence.

    Args:
        X: (N, T, I); (N, T) for one feature a step; or a list of N arrays or frames (T_i, I), or (T_i) for one.
        who: the estimator's name.

    Raises:
        ValueError, TypeError: X is none of these, or holds a value that is not a finite number.
    """
    parts = parts_of(X, "X")
    if parts is None:
        return Samples(_dense(X, who), ragged=False, named=X)
    dims = [np.ndim(part) for part in parts]
    for place, dim in enumerate(dims):
        if dim not in (1, 2) or dim != dims[0]:
            beside = f" and X[0] has {dims[0]}" if dim != dims[0] else ""
            raise ValueError(
                f"X[{place}] has {dim} dimensions{beside}; pass each sequence of a list as (n_steps, n_features), "
                "x.reshape(-1, 1) for one feature"
            )
    read = [_alone(part, f"X[{place}]", who) for place, part in enumerate(parts)]
    widths = [x.shape[1] for x in read]
    if len(set(widths)) > 1:
        other = next(place for place, width in enumerate(widths) if width != widths[0])
        raise ValueError(
            f"X[0] has {widths[0]} features a step and X[{other}] has {widths[other]}; all sequences need the "
            "same features"
        )
    _check_columns(parts)
    wide = np.result_type(*read)
    return Samples([x.astype(wide, copy=False) for x in read], ragged=True, named=parts[0])


def _dense(X: Any, who: str) -> list[np.ndarray]:
    x = check_numbers(X, "X", ("", "step", "feature"), **ANY)
    if len(x) == 0:
        raise ValueError(f"X is {x.shape}: it has no sequences, and {who} needs at least one")
    if x.ndim == 1:
        raise ValueError(
            f"X has one dimension {x.shape}; {who} takes {FORMS}. Reshape your data: X.reshape(1, -1) is one "
            "sequence, X.reshape(-1, 1) are sequences of one step"
        )
    if x.ndim > 3:
        raise ValueError(f"X has {x.ndim} dimensions {x.shape}; {who} takes {FORMS}")
    if 0 in x.shape:
        least = f" Found array with 0 feature(s) (shape={x.shape}) while a minimum of 1 is required."
        raise ValueError(f"X is {x.shape}: every sequence needs a step, and every step a feature.{least}")
    return list(x[..., None] if x.ndim == 2 else x)


def _alone(part: Any, name: str, who: str) -> np.ndarray:
    """One sequence of a list, (T_i, I)."""
    x = check_numbers(part, name, ("step", "feature"), **ANY)
    if 0 in x.shape:
        raise ValueError(
            f"{name} is {x.shape}: every sequence needs a step, and every step a feature; leave it out"
        )
    return x[:, None] if x.ndim == 1 else x


def _check_columns(parts: list[Any]) -> None:
    """Frames have the same columns in the same order."""
    named = [(place, list(part.columns)) for place, part in enumerate(parts) if hasattr(part, "columns")]
    for place, columns in named:
        if columns != named[0][1]:
            raise ValueError(
                f"X[{named[0][0]}] has the columns {named[0][1]} and X[{place}] has {columns}; all sequences need "
                "the same columns in the same order"
            )
