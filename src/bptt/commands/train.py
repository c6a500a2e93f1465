"""`bptt train`: from a table to a run folder."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from ..errors import UserError
from ..files import make_folder
from ..runs.journal import owned
from ..runs.preparing import prepared, print_line
from ..runs.run_folder import make_run_folder, overwriting, unmade
from ..runs.training_run import checked_run, resume_training, start_training
from ..training.device import named_device
from ..training.options.base import TrainOptions, check_device_name
from ..training.workers import Workers, workers
from .launch import launch, launch_id, restarted
from .streams import warnings_printed

RUNS = Path("runs")


def train(config: TrainOptions) -> int:
    """Train by this process, or by several; returns the exit code, 128 plus the signal that stopped it.

    Raises:
        UserError: before anything is written, for data or options that cannot be used.
        TrainingDiverged: with the last finite weights saved.
    """
    if config.workers is not None:
        return _launched(replace(config, workers=None), config.workers)
    with workers() as team:
        console = Console(quiet=team.rank > 0)
        with warnings_printed(partial(print_line, console)):
            if config.resume is not None:
                trained = resume_training(config, config.resume, team, console, owner=launch_id())
            elif (begun := _begun(config, team)) is not None:
                own = type(config)(resume=begun, device=config.device)
                trained = resume_training(own, begun, team, console, owner=launch_id())
            else:
                trained = start_training(config, team, console, partial(_new_folder, config), owner=launch_id())
    return 0 if trained.signal is None else 128 + trained.signal


def _launched(config: TrainOptions, size: int) -> int:
    """The same by several processes, once it is sure that none of them will refuse."""
    chosen = config if config.resume is None else checked_run(config, config.resume).config
    team = Workers(0, size)
    replace(chosen, workers=size).check()
    check_device_name(config.device)
    if (device := config.device or chosen.device) not in (None, "auto"):
        named_device(device, team)
    with warnings_printed(lambda line: None):
        # its workers use the GPUs, choose the options left open and print the warnings
        prepared(chosen, team, Console(quiet=True), device="cpu", tries=False)
    if config.out is not None and os.path.lexists(config.out):
        raise overwriting(config.out)
    return launch(size, ["train", *config.arguments()])


def _begun(config: TrainOptions, team: Workers) -> Path | None:
    """The folder of the run that these workers were at before they were started again."""
    if not restarted():
        return None
    places = [config.out] if config.out is not None else sorted(RUNS.glob("*"))
    begun = [place for place in places if (place / "config.toml").exists()]
    return team.by_first(lambda: owned(begun, launch_id()))


def _new_folder(config: TrainOptions) -> Path:
    """Make the run folder: the one asked for, which must be new, or the next free name in runs/."""
    if config.out is not None:
        begun = restarted() and not (config.out / "config.toml").exists()  # by workers that ended right there
        return make_run_folder(config.out, exist_ok=begun)
    embedded = {"forecast": "sunspots", "text": "moby-dick"}
    stem = embedded[config.task] if config.data is None else re.sub(r"[^\w.-]+", "-", config.data.stem)
    try:
        for number in range(1, 1_000_000):
            folder = RUNS / f"{stem}-{config.cell}-{number:03d}"
            with contextlib.suppress(FileExistsError):
                make_folder(folder)
                return folder
    except OSError as error:
        raise unmade(error) from error
    raise UserError("runs/ holds a million runs of this name; pass --out FOLDER")
