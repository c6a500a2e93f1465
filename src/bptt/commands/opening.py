"""A run opened for a command, its network on the device asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..runs.explorer import Explorer, run_explorer
from ..runs.run import Run, load
from ..training.device import device_of_run, move_model
from ..training.options.base import check_device_name
from .streams import complain


def opened(folder: Path, device: str | None, command: str) -> Run:
    """A run with its network on the device that --device names, else where it was trained, else on the CPU.

    Where a GPU is or was in it, a line on standard error says which and why.

    Raises:
        UserError: the run or the device cannot be used.
    """
    check_device_name(device)
    run = load(folder)
    chosen = device_of_run(device, run.device)
    move_model(run.model, chosen.device)
    if {chosen.device.type, run.device} != {"cpu"}:
        complain(command, f"device: {chosen}")
    return run


def explorer_of(run: Run, steps: int | None) -> Explorer:
    """The explorer of an opened run folder.

    Raises:
        UserError: the run's data cannot be used.
    """
    assert run.folder is not None
    explorer = run_explorer(run.folder, run.config, run.task, run.network, steps, None)
    return replace(explorer, lead=explorer.lead + run.network_note.splitlines())
