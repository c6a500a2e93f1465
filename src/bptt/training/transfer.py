"""Batches copied to a model's device and numbers copied back, without waiting where the device allows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

CPU = torch.device("cpu")

Batch = TypeVar("Batch", Tensor, PackedSequence)


def device_of(model: nn.Module) -> torch.device:
    """The device of a model's weights."""
    return next(model.parameters()).device


def is_asynchronous(device: torch.device) -> bool:
    """Whether a device works while Python prepares what comes next, with streams that order its work."""
    return device.type != "cpu" and hasattr(torch.get_device_module(device), "Stream")


def to_device(batch: Batch, device: torch.device) -> Batch:
    """A batch on a device; to a GPU it is copied while the work before it goes on.

    The copy leaves from pinned memory, which torch gives to nobody else before the copy has ended, and work on
    the current stream that is queued from now on waits for it.
    """
    source: Any = batch
    if not is_asynchronous(device) or source.data.device.type != "cpu":
        return source.to(device)
    module, copies = torch.get_device_module(device), _copies(device)
    current = module.current_stream(device)
    with module.stream(copies):
        found: Any = source.pin_memory().to(device, non_blocking=True)
    current.wait_stream(copies)
    for part in found if isinstance(batch, PackedSequence) else (found,):
        if part is not None and part.device.type == device.type:  # batch sizes stay on the CPU
            part.record_stream(current)
    return found


@cache
def _copies(device: torch.device) -> Any:
    """The stream on which batches are copied to a GPU, beside that of the work."""
    return torch.get_device_module(device).Stream(device)


def read_later(numbers: Sequence[Tensor | float]) -> Callable[[], list[float]]:
    """Start to copy numbers from their device; the function returned waits for the copy and gives them."""
    tensors = [number for number in numbers if isinstance(number, Tensor)]
    if all(tensor.device.type == "cpu" for tensor in tensors):
        values = [float(number) for number in numbers]
        return lambda: values
    device = tensors[0].device
    wide = torch.float32 if device.type == "mps" else torch.float64  # which Apple's GPUs lack
    stacked, event = torch.stack([tensor.to(wide) for tensor in tensors]), None
    if is_asynchronous(device):
        module = torch.get_device_module(device)
        with module.device(device):
            event, copied = module.Event(), torch.empty(len(tensors), dtype=wide).pin_memory()
            copied.copy_(stacked, non_blocking=True)
            event.record(module.current_stream(device))
    else:
        copied = stacked.cpu()

    def read() -> list[float]:
        if event is not None:
            event.synchronize()
        found = iter(copied.tolist())
        return [next(found) if isinstance(number, Tensor) else number for number in numbers]

    return read
