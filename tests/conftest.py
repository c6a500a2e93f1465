"""What holds for every test."""

import pytest
import torch

from devices import device, other_device

__all__ = ["device", "other_device"]  # fixtures
collect_ignore = ["emulated.py"]  # it registers its device, once a process


@pytest.fixture(autouse=True)
def seeded():
    """What a test draws without a seed of its own is the same in whatever order tests run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
