"""The tests of the project that run on a device: `pytest -m device`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from .measuring import Clock, Line

ROOT = Path(__file__).parents[2]


def suite(device: torch.device, tiny: bool, clock: Clock) -> Iterator[Line]:
    """The end of pytest's output."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "device", "-p", "no:cacheprovider"]
    command.append("tests/training/test_transfer.py" if tiny else "tests")
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=clock.left())
    except subprocess.TimeoutExpired as late:
        clock.cut = "not all tests"
        shown = (late.stdout or b"").decode(errors="replace").splitlines()[-3:]
        yield Line("\n".join(["$ pytest -q -m device", *shown]), {"finished": False})
        return
    lines = (done.stdout + done.stderr).splitlines()
    shown = lines[-1:] if done.returncode == 0 else lines[-60:]
    yield Line(
        "\n".join(["$ pytest -q -m device", *shown]),
        {"finished": True, "code": done.returncode, "output": shown},
        done.returncode != 0,
    )
