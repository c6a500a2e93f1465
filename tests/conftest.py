"""What holds for every test."""

import os

import hypothesis
import pytest
import torch

from bptt.runs import training_run
from devices import OTHER, device, other_device
from support import leave_out_reports

__all__ = ["device", "other_device"]  # fixtures
collect_ignore = ["emulated.py"]  # it registers its device, once a process

for name in ("COLUMNS", "LINES"):  # pytest-xdist sets them, and commands wrap what they print to them
    os.environ.pop(name, None)

hypothesis.settings.register_profile("any speed", deadline=None)  # others may use the machine too
hypothesis.settings.load_profile("any speed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that run on another device than the CPU: `pytest -m device` runs these alone."""
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if "other_device" in getattr(item, "fixturenames", ()) or parameters.get("device") == OTHER:
            item.add_marker("device")


@pytest.fixture(autouse=True)
def seeded():
    """What a test draws without a seed of its own is the same in whatever order tests run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def undiagnosed(monkeypatch):
    """`bptt train` without the diagnosis at its end, which takes longer than a small training."""
    monkeypatch.setattr(training_run, "diagnosis_of", lambda *run, **choices: None)


@pytest.fixture
def unreported(monkeypatch):
    """`bptt train` without the diagnosis and the page at its end."""
    leave_out_reports(monkeypatch)
