"""States of any form: a tensor, or tuples, lists and dicts of tensors, nested as wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

Tree = Any  # a Tensor, None, or a tuple, NamedTuple, list or dict of trees


def leaves(tree: Tree, what: str = "state") -> list[Tensor]:
    """The tensors of a tree, in order.

    Raises:
        TypeError: it holds something else; the message calls the tree `what`.
    """
    found: list[Tensor] = []
    mapped(found.append, tree, what)
    return found


def mapped(
    function: Callable[[Any], Any], tree: Tree, what: str = "state", kinds: tuple[type, ...] = (Tensor,)
) -> Tree:
    """A tree of the same form, with the function's value for each leaf, of these kinds; None stays None."""
    if isinstance(tree, kinds):
        return function(tree)
    if tree is None:
        return None
    if isinstance(tree, tuple | list):
        branches = [mapped(function, branch, what, kinds) for branch in tree]
        return type(tree)(*branches) if hasattr(tree, "_fields") else type(tree)(branches)
    if isinstance(tree, dict):
        return {key: mapped(function, branch, what, kinds) for key, branch in tree.items()}
    wanted = " or ".join(kind.__name__.lower() for kind in kinds)
    raise TypeError(
        f"{what} holds a {type(tree).__name__}; it takes a {wanted}, or tuples, lists and dicts of them"
    )


def refilled(tree: Tree, new: Iterator[Any]) -> Tree:
    """A tree of the same form with other leaves, in order."""
    return mapped(lambda _: next(new), tree)


def detached(tree: Tree) -> Tree:
    """The same values without their history."""
    return mapped(Tensor.detach, tree)


def cloned(tree: Tree) -> Tree:
    """The same values without their history, in memory of their own."""
    return mapped(lambda leaf: leaf.detach().clone(), tree)


def form(tree: Tree, what: str = "state") -> str:
    """A tree's nesting, shapes and dtypes as text; equal for trees that can replace each other."""
    if isinstance(tree, Tensor):
        dtype = str(tree.dtype).removeprefix("torch.")
        return f"{dtype} {tuple(tree.shape)}"
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {form(branch, what)}" for key, branch in tree.items()) + "}"
    if isinstance(tree, tuple | list):
        return "(" + ", ".join(form(branch, what) for branch in tree) + ")"
    leaves(tree, what)
    return "None"


def check_same_form(before: Tree, after: Tree, who: str) -> None:
    """A state keeps its form from step to step.

    Raises:
        ValueError: it does not.
    """
    if not _same(before, after):
        raise ValueError(
            f"{who} changed the form of its state from {form(before)} to {form(after)}; a state keeps its "
            "nesting, shapes and dtypes from step to step"
        )


def _same(before: Tree, after: Tree) -> bool:
    if isinstance(before, Tensor):
        return isinstance(after, Tensor) and before.shape == after.shape and before.dtype == after.dtype
    if isinstance(before, tuple | list):
        if not isinstance(after, tuple | list) or len(before) != len(after):
            return False
        return all(_same(a, b) for a, b in zip(before, after, strict=True))
    if isinstance(before, dict):
        return (
            isinstance(after, dict)
            and list(before) == list(after)
            and all(_same(before[key], after[key]) for key in before)
        )
    return form(before) == form(after)


def bytes_of(tree: Tree) -> int:
    """The bytes its tensors hold."""
    return sum(leaf.numel() * leaf.element_size() for leaf in leaves(tree))


def stacked_room(tree: Tree, rows: int) -> Tree:
    """Uninitialised memory for so many copies of a tree, one tensor (rows, ...) per leaf."""
    return mapped(lambda leaf: torch.empty((rows, *leaf.shape), dtype=leaf.dtype, device=leaf.device), tree)


def differing(found: Any, like: Any, whole: bool = True) -> str | None:
    """The first place where a saved state does not fit the object's present one; None where all fits.

    Where `like` has None anything fits, and sequences are compared as far as both go.

    Args:
        whole: whether all names of a dict are needed, at the top of the tree; below it those that both have count.
    """
    if isinstance(like, Tensor):
        same = isinstance(found, Tensor) and (found.shape, found.dtype) == (like.shape, like.dtype)
        return None if same else ""
    kinds: tuple[Any, ...] = (dict, list | tuple, bool, int | float, str)
    kind = next((kind for kind in kinds if isinstance(like, kind)), None)
    if like is None or kind is None or not isinstance(found, kind):
        return None if like is None else ""
    pairs: Any = enumerate(zip(found, like, strict=False)) if kind == list | tuple else ()
    if kind is dict:
        if whole and (absent := [name for name in like if name not in found]):
            return str(absent[0])
        pairs = [(name, (found[name], own)) for name, own in like.items() if name in found]
    places = ((name, differing(one, own, whole=False)) for name, (one, own) in pairs)
    return next((f"{name}/{place}".rstrip("/") for name, place in places if place is not None), None)
