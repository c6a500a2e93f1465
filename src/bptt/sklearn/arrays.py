"""Checks of numbers as users pass them: arrays, frames, tensors, and lists of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_array

from ..training.data.table_cells import LARGEST

WANTED = "an array of numbers, or a list of arrays"


def check_numbers(values: Any, name: str, axes: tuple[str, ...] = (), **choices: Any) -> np.ndarray:
    """A contiguous array of finite float64 or float32, as `sklearn.utils.check_array` makes it.

    Args:
        values: arrays of any layout, byte order and numeric type, frames, tensors, nested lists.
        name: their name in errors.
        axes: names of the axes, counted from 1 in errors; "" is shown as an index.
        choices: those of `check_array`.

    Raises:
        ValueError, TypeError: they hold text, dates, gaps, NaN, infinity or numbers beyond 1e100, or are no
            array; by name and place.
    """
    values = as_array_like(values, name)
    try:
        found = check_array(
            values,
            **{"dtype": [np.float64, np.float32], "input_name": name, "ensure_all_finite": False, **choices},
        )
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name}: {error}") from error
    _check_finite(found, name, axes)
    if found.dtype == np.float64 and (large := np.abs(found) > LARGEST).any():
        raise ValueError(
            f"{name} holds {found[large][0]:g}, beyond 1e100, too large to be trained on; use a larger unit"
        )
    return np.ascontiguousarray(found)


def as_array_like(values: Any, name: str) -> Any:
    """The values as an array can be made of them.

    Raises:
        ValueError, TypeError: they are None or no array, hold text or dates, or are ragged.
    """
    if values is None:
        raise ValueError(f"{name} is None; pass {WANTED}")
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = values.float() if values.dtype == torch.bfloat16 else values
    is_array = any(hasattr(values, has) for has in ("__array__", "shape"))
    if not (is_array or isinstance(values, Sequence)) or isinstance(values, str | bytes):
        raise TypeError(f"{name} must be {WANTED}, got {type(values).__name__}")
    if getattr(values, "ndim", 1) == 0:
        raise TypeError(f"{name} must be {WANTED}, got a single number")
    if isinstance(values, list | tuple):
        values = _joined(values, name)
    if np.ma.is_masked(values):
        raise ValueError(f"{name} has {np.ma.count_masked(values)} masked values; fill or drop them")
    kinds = {getattr(dtype, "kind", None) for dtype in _dtypes(values)}
    if kinds & {"U", "S"}:
        raise ValueError(f"{name} holds text; pass numbers")
    if "c" in kinds:
        raise ValueError(
            f"{name} is complex. Complex data not supported; pass real and imaginary parts side by side"
        )
    if kinds & {"M", "m"}:
        raise ValueError(f"{name} holds dates or times; pass numbers, such as days since a first date")
    return values


def _dtypes(values: Any) -> list[Any]:
    """The numpy types that values have, of each column where they are a frame."""
    if hasattr(values, "columns") and hasattr(values, "dtypes"):
        return [np.asarray(values[column][:1]).dtype for column in values.columns]
    return [values.dtype] if hasattr(values, "dtype") else []


def _joined(values: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} is ragged, its rows have different lengths: {error}") from error


def _check_finite(found: np.ndarray, name: str, axes: tuple[str, ...]) -> None:
    wrong = ~np.isfinite(found)
    if not wrong.any():
        return
    place = tuple(np.argwhere(wrong)[0])
    what = "NaN" if np.isnan(found[place]) else "infinity (inf)"
    named = list(zip((*axes, "", "", ""), place, strict=False))
    index = "".join(f"[{number}]" for axis, number in named if not axis)
    where = ", ".join(f"{axis} {number + 1}" for axis, number in named if axis)
    raise ValueError(
        f"{name}{index} has {what}{' at ' * bool(where)}{where} ({int(wrong.sum())} such values in all); fill "
        "them in, or leave them out"
    )


def parts_of(values: Any, name: str) -> list[Any] | None:
    """The arrays of a list, tuple or object array of them; None where it is one array, if perhaps as nested lists.

    Raises:
        ValueError: one of them is ragged.
    """
    if isinstance(values, np.ndarray) and values.dtype == object and values.ndim == 1:
        values = list(values)
    if not isinstance(values, list | tuple):
        return None
    shapes = [_shape_of(part, f"{name}[{place}]") for place, part in enumerate(values)]
    nested = all(isinstance(part, list | tuple) for part in values)
    if any(shapes) and not (nested and len(set(shapes)) == 1):
        return list(values)
    return None


def _shape_of(part: Any, name: str) -> tuple[int, ...]:
    if isinstance(part, str | bytes) or part is None:
        return ()
    try:
        return tuple(np.shape(part))
    except ValueError as error:
        raise ValueError(
            f"{name} is a list whose rows have different lengths; every step needs the same features"
        ) from error
