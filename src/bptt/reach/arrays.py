"""Arrays, memory maps and tensors as users bring them, as trees of tensors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..trees import Tree, leaves, mapped


def as_tensors(tree: Any, name: str) -> Tree:
    """A tree of tensors: those it holds, and tensors over the memory of the arrays it holds.

    Raises:
        TypeError: it holds something else, or what has no axis of steps.
        ValueError: a tensor of it was made under torch.inference_mode().
    """

    def tensor(leaf: Any) -> Tensor:
        leaf = _over(leaf, name) if isinstance(leaf, np.ndarray) else leaf
        if leaf.layout != torch.strided or leaf.is_nested:
            raise TypeError(f"{name} holds a nested or sparse tensor; pass a dense one, padded where it must be")
        if leaf.is_inference():
            raise ValueError(
                f"{name} was made under torch.inference_mode(), and gradients cannot go through it: pass "
                f"{name}.clone()"
            )
        return leaf

    if isinstance(tree, PackedSequence):
        raise TypeError(
            f"{name} is packed, so its steps cannot be cut; pad it by torch.nn.utils.rnn.pad_packed_sequence "
            "and let the criterion leave the padding out"
        )
    if hasattr(tree, "__array__") and not isinstance(tree, Tensor | np.ndarray):
        raise TypeError(f"{name} is a {type(tree).__name__}; pass it as an array or tensor, numpy.asarray({name})")
    return mapped(tensor, tree, name, (Tensor, np.ndarray))


def _over(array: np.ndarray, name: str) -> Tensor:
    """A tensor over an array's memory, which is only read from."""
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost; fill it: {name}.filled(...)")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(array)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} is an array of {array.dtype} with strides {array.strides}, which torch cannot read: {error}"
        ) from error


def check_desired(d: Tree) -> None:
    """d is not computed from what requires gradients: its history could be walked back only once.

    Raises:
        ValueError: it is.
    """
    if any(leaf.grad_fn is not None for leaf in leaves(d, "d")):
        raise ValueError(
            "d was computed from what requires gradients, and its history would be walked once for each piece: "
            "pass d.detach()"
        )


def holds_arrays(tree: Any) -> bool:
    """Whether any part of it is an array."""
    found: list[bool] = []
    mapped(lambda leaf: found.append(isinstance(leaf, np.ndarray)), tree, "x", (Tensor, np.ndarray))
    return any(found)
