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
    """Whether work on a device goes on while Python prepares the next piece, and a number can be read later."""
    return device.type == "cuda"


def to_device(batch: Batch, device: torch.device) -> Batch:
    """A batch on a device; to a GPU it is copied while the work before it goes on.

    The copy leaves from pinned memory, which torch gives to nobody else before the copy has ended, and work on
    the current stream that is queued from now on waits for it.
    """
    source: Any = batch
    if not is_asynchronous(device) or source.data.device.type != "cpu":
        return source.to(device)
    copies, current = _copies(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(copies):
        found: Any = source.pin_memory().to(device, non_blocking=True)
    current.wait_stream(copies)
    for part in found if isinstance(batch, PackedSequence) else (found,):
        if part is not None and part.device.type == "cuda":  # batch sizes stay on the CPU
            part.record_stream(current)
    return found


@cache
def _copies(device: torch.device) -> torch.cuda.Stream:
    """The stream on which batches are copied to a GPU, beside that of the work."""
    return torch.cuda.Stream(device)


def read_later(numbers: Sequence[Tensor | float]) -> Callable[[], list[float]]:
    """Start to copy numbers from their device; the function returned waits for the copy and gives them."""
    tensors = [number for number in numbers if isinstance(number, Tensor)]
    if all(tensor.device.type == "cpu" for tensor in tensors):
        values = [float(number) for number in numbers]
        return lambda: values
    device = tensors[0].device
    wide = torch.float64 if device.type == "cuda" else torch.float32  # others may lack float64
    stacked = torch.stack([tensor.to(wide) for tensor in tensors])
    if is_asynchronous(device):
        copied = stacked.to("cpu", non_blocking=True)
        wait = torch.cuda.current_stream(device).record_event().synchronize
    else:
        copied, wait = stacked.cpu(), lambda: None

    def read() -> list[float]:
        wait()
        found = iter(copied.tolist())
        return [next(found) if isinstance(number, Tensor) else number for number in numbers]

    return read
