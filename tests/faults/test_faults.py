"""A small run broken at each of its file operations resumes to the same end; `make faults` does more of it."""

import contextlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from bptt.commands.train import train
from bptt.errors import UserError
from bptt.training.options.forecast import ForecastOptions
from disk import FAULTS, Disk, lay_out

CHOICES = {
    "noise": 0.1,
    "target": "0",
    "epochs": 1,
    "snapshot": 0.0,
    "reach": "truncated",
    "k1": 12,
    "hidden": 3,
}


def begun(folder):
    """Train in a folder, or resume the run that is there."""
    if (folder / "seen/config.toml").exists():
        return train(ForecastOptions(resume=folder / "seen"))
    shutil.rmtree(folder / "seen", ignore_errors=True)
    return train(ForecastOptions(data=Path("series.npy"), out=folder / "seen", **CHOICES))


def lasting(folder):
    """The results of a run that do not depend on time."""
    *epochs, last = map(json.loads, (folder / "seen/metrics.jsonl").read_text().splitlines())
    last.pop("seconds")
    names = sorted(path.name for path in folder.rglob("*") if not path.stem.isdigit())
    files = [(folder / "seen" / name).read_bytes() for name in ("model.safetensors", "forecast.csv")]
    return epochs, last, names, files


@pytest.fixture
def whole(tmp_path, monkeypatch, unreported):
    """The run watched to its end, and what it left."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # takes longer than all else
    np.save("series.npy", np.sin(np.arange(30) / 3))
    folder = Path("whole")
    folder.mkdir()
    disk = Disk(folder)
    with disk.watched():
        assert begun(folder) == 0
    assert disk.saw_every_write()
    return disk, lasting(folder)


EACH = pytest.mark.parametrize("each", [6, pytest.param(1, marks=pytest.mark.slow)])


@EACH
def test_cut_off_anywhere_it_resumes_to_the_same_end(whole, each):
    disk, wanted = whole
    for number, (tree, (at, how)) in list(enumerate(disk.crashes.items()))[::each]:
        folder = Path(f"cut-off-{number}")
        folder.mkdir()
        lay_out(tree, folder)
        assert at <= len(disk.operations) or lasting(folder) == wanted, f"{how} after the end"
        assert begun(folder) == 0
        assert lasting(folder) == wanted, f"{how} before operation {at}"


@pytest.mark.parametrize("name", ["ENOSPC", "EIO from then on"])
@EACH
def test_any_failed_operation_is_reported_and_it_resumes_to_the_same_end(whole, name, each):
    disk, wanted = whole
    for at in range(1, len(disk.operations) + 1, each):
        folder = Path(f"failed-{at}")
        folder.mkdir()
        fault = FAULTS[name](at)
        with Disk(folder, fault).watched(), contextlib.suppress(OSError, UserError):
            begun(folder)
            assert not fault.hit, f"{name} at operation {at} was not reported"
        assert begun(folder) == 0
        assert lasting(folder) == wanted, f"{name} at operation {at}"
