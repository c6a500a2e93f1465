"""Errors of tensors on two devices, which name the tensor that is not where the others are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ..checks import check_device


@contextmanager
def naming_devices(where: str, like: Tensor | None, **given: Any) -> Iterator[None]:
    """If an operation fails since its tensors are on two devices, the error names the one that is not at `like`.

    Args:
        where: what `like` is one of, with its verb.
        like: a tensor on the right device; None where there is no such device.
        given: the arguments, of any form, by name.
    """
    try:
        yield
    except RuntimeError as error:
        if like is not None and "device" in str(error):
            for name, tree in given.items():
                for leaf in tree_leaves(tree):
                    if isinstance(leaf, Tensor):
                        check_device(name, leaf, like, where)
        raise


@contextmanager
def naming_devices_of_loss(criterion: Any, y: Tensor, d: Any) -> Iterator[None]:
    """The same for a loss: d and the criterion's weights are to be where y is."""
    weights: dict[str, Tensor] = {}
    if isinstance(criterion, nn.Module):
        named = (*criterion.named_parameters(), *criterion.named_buffers())
        weights = {f"{name} of this {type(criterion).__name__}": weight for name, weight in named}
    with naming_devices("y is", y, d=d, **weights):
        yield
