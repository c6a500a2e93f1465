"""Copies of the host's data on a model's device, made while the device does other work."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..trees import Tree, leaves, mapped


def begin_copy(tree: Tree, device: torch.device, dtype: torch.dtype | None = None) -> Callable[[], Tree]:
    """Begin to copy tensors of the host, and return what hands the copies over.

    On a device with streams they go through pinned memory on a stream of their own. torch gives a pinned block to
    another tensor only when the copy from it has ended, and the stream that is current at the handing over waits
    for the copies. A tensor over a read-only memory map ends the process when it is written to, so that all is
    copied on a CPU too.

    Args:
        tree: the tensors.
        device: where to.
        dtype: of the copies of floating numbers. Default theirs.
    """

    def dtype_of(leaf: Tensor) -> torch.dtype | None:
        return dtype if leaf.is_floating_point() else None

    if not is_asynchronous(device):
        copies = mapped(lambda leaf: leaf.to(device, dtype_of(leaf), copy=True), tree)
        return lambda: copies

    backend, side = torch.get_device_module(device), _side_stream(device)
    with backend.stream(side):
        copies = mapped(
            lambda leaf: leaf.to(dtype=dtype_of(leaf)).pin_memory().to(device, non_blocking=True), tree
        )

    def hand_over() -> Tree:
        stream = backend.current_stream(device)
        stream.wait_stream(side)
        for copy in leaves(copies):
            copy.record_stream(stream)  # its memory is free again only when this stream has used it
        return copies

    return hand_over


def is_asynchronous(device: torch.device) -> bool:
    """Whether a device works while Python prepares what comes next, with streams that order its work."""
    return device.type not in ("cpu", "meta") and hasattr(torch.get_device_module(device), "Stream")


@cache
def _side_stream(device: torch.device) -> Any:
    return torch.get_device_module(device).Stream(device=device)
