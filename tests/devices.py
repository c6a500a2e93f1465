"""The devices that tests run on: the CPU, and a GPU, or an emulated one where there is none."""

import pytest
import torch

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
