"""The devices that tests run on: the CPU, and a GPU, or an emulated one where there is none."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

ACCELERATOR = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None

if ACCELERATOR is None:
    import emulated  # registers its device

    OTHER = emulated.NAME
else:
    OTHER = ACCELERATOR.type

DEVICES = ["cpu", OTHER]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    """The test runs once on each device."""
    return torch.device(request.param)


@pytest.fixture
def other_device() -> torch.device:
    """A device that is not the CPU."""
    return torch.device(OTHER)


class Waits(TorchDispatchMode):
    """Counts how often Python waits for a device that is not the CPU: for a number of it, or for a copy."""

    count = 0

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if op is torch.ops.aten._local_scalar_dense.default:
            self.count += args[0].device.type != "cpu"
        if op is torch.ops.aten._to_copy.default and not kwargs.get("non_blocking"):
            self.count += torch.device(kwargs.get("device") or args[0].device).type != args[0].device.type
        return op(*args, **kwargs)
