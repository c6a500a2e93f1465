"""Batches copied to a model's device and numbers copied back, without waiting where the device allows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from ..reach.transfer import begin_copy, is_asynchronous

CPU = torch.device("cpu")
PINNED = 2**28  # bytes up to which a batch is copied through pinned memory, which the system cannot move


def device_of(model: nn.Module) -> torch.device:
    """The device of a model's weights."""
    return next(chain(model.parameters(), model.buffers())).device


def to_device(batch: Tensor, device: torch.device) -> Tensor:
    """A batch on a device; to a GPU it is copied while the work before it goes on."""
    if batch.device.type != "cpu" or device.type == "cpu" or batch.nbytes > PINNED:
        return batch.to(device)
    return begin_copy(batch, device)()


def read_later(numbers: Sequence[Tensor | float]) -> Callable[[], list[float]]:
    """Start to copy numbers from their device; the function returned waits for the copy and gives them."""
    tensors = [number for number in numbers if isinstance(number, Tensor)]
    device = tensors[0].device if tensors else CPU
    if device.type == "cpu":
        values = [float(number) for number in numbers]
        return lambda: values
    wide = torch.float32 if device.type == "mps" else torch.float64  # which Apple's GPUs lack
    stacked, event = torch.stack([tensor.to(wide) for tensor in tensors]), None
    if is_asynchronous(device):
        module = torch.get_device_module(device)
        with module.device(device):
            event, copied = module.Event(), torch.empty(len(tensors), dtype=wide, device="cpu").pin_memory()
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
