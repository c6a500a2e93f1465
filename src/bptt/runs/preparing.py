"""The preparation of a training: options and data are checked, and the network made; nothing is written yet."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import polars as pl
from rich.console import Console

from ..errors import UserError
from ..networks import SequenceModel
from ..printable import message
from ..reach.byte_sizes import parse_bytes
from ..report.tensorboard import check_installed
from ..terminal import fitted
from ..training.config_file import ConfigFile, config_of
from ..training.data.columns import listed
from ..training.data.sources import open_source
from ..training.device import ChosenDevice, device_of_run, move_model, named_device, suitable_device
from ..training.loop import Training
from ..training.network import network_of
from ..training.options.base import TrainOptions
from ..training.options.forecast import TABLES, ForecastOptions
from ..training.tasks.classify import Classify
from ..training.tasks.cross_validation import choose_options
from ..training.tasks.factory import check_there, digests_of, digests_of_table, gaps_of, made_task, roles, split_of
from ..training.tasks.forecast import Forecast
from ..training.tasks.panel import Panel
from ..training.tasks.task import Task
from ..training.tasks.text import TextTask
from ..training.updates import of_option
from ..training.workers import Workers
from .gradient_monitor import GradientMonitor
from .run_folder import check_same_files

RESUMED = ", and --resume continues with the data it began with; put the file back as it was, or begin a new run"


@dataclass
class Work:
    """A training under way."""

    config: TrainOptions
    task: Task
    model: SequenceModel
    training: Training
    monitor: GradientMonitor
    device: ChosenDevice
    digests: dict[str, str]  # SHA-256 of each file that was read, by its path
    by_lag: list[float] = field(default_factory=list)  # mean gradient norm by lag of the last layer, at the start
    seconds: float = 0.0  # spent on training so far
    warned: bool = False  # of the gradient, while it trained

    def described(self) -> ConfigFile:
        """The content of the run's config.toml."""
        return config_of(self.config, self.task, self.digests, str(self.device.device))

    def look(self) -> list[float]:
        """The mean gradient norm by lag of the last layer, now."""
        return self.monitor.now()[f"l{self.config.layers - 1}"]


def prepared(
    config: TrainOptions,
    team: Workers,
    console: Console,
    begun: tuple[Path, ConfigFile] | None = None,
    device: str | None = None,
    table: pl.DataFrame | None = None,
    tries: bool = True,
) -> Work:
    """Check the options and the data, and make the task, the network and its training; nothing is written.

    Args:
        begun: the folder of the run to resume, and the content of its config.toml.
        device: to train on, by name; None for that of the options.
        table: the data, where they are in memory.
        tries: whether cross-validation chooses what the options of a new run leave open.

    Raises:
        UserError: the options or the data cannot be used.
    """
    try:
        _check_no_run(config)
        if table is None:
            check_there(config, None if begun is None else begun[0])
        _check_target(config, table)
        config.check()
        chosen = _device(device or config.device, team, begun)
        digests = digests_of(config) if table is None else digests_of_table(table, config)
        if begun is not None:
            check_same_files(begun[1], digests, f"{begun[0]} was begun", RESUMED)
        return _built(config, team, console, digests, chosen, table, tries=tries and begun is None)
    except UserError as error:
        if begun is None:
            raise
        raise UserError(f"{begun[0]} cannot be resumed: {error}") from error


def _check_no_run(config: TrainOptions) -> None:
    """Refuse the folder of a run as DATA."""
    path = config.data
    if path is not None and (path / "config.toml").exists():
        raise UserError(
            f"{path} is a folder; `bptt train {path}/config.toml` trains again, `bptt train --resume {path}` "
            "continues this run"
        )


def _check_target(config: TrainOptions, table: pl.DataFrame | None) -> None:
    """Where no column is named to forecast, name those of the table."""
    path = config.data
    if not isinstance(config, ForecastOptions) or config.targets or path is None:
        return
    if table is not None or path.suffix.lower() in TABLES:
        columns = open_source(path).columns if table is None else table.columns
        raise UserError(
            f"--target COLUMN is needed with {path}: the column to forecast; its columns are {listed(columns)}"
        )


def _device(name: str | None, team: Workers, begun: tuple[Path, ConfigFile] | None) -> ChosenDevice | None:
    """The device that is named, or that a run was trained on; None where the network's size decides."""
    if begun is not None:
        return device_of_run(name, begun[1].device, team)
    return None if name in (None, "auto") else named_device(name, team)


def _built(
    config: TrainOptions,
    team: Workers,
    console: Console,
    digests: dict[str, str],
    device: ChosenDevice | None,
    table: pl.DataFrame | None,
    tries: bool,
) -> Work:
    _check_memory(config)
    if config.tensorboard:
        check_installed()
    task = _task(config, console, table)

    def device_for(model: SequenceModel) -> ChosenDevice:
        return device or suitable_device(model, config.batch or max(1, len(task.series)), team)

    if isinstance(task, Classify) and tries:
        chosen = choose_options(task, lambda model: device_for(model).device, partial(print_line, console))
        config = team.by_first(lambda: chosen)
        task = replace(task, config=config)
    model = network_of(config, task)
    device = device_for(model)
    print_line(console, f"device: {device}")
    if device.device.type == "cuda":  # cuDNN's recurrent layers are deterministic with it
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    move_model(model, device.device)
    monitor = GradientMonitor(model, task, config.epochs)
    sampler = partial(task.sample_after, model) if isinstance(task, TextTask) else lambda number: None
    training = Training(model, task.updates(model, team), config, team, monitor.after, sampler)
    return Work(config, task, model, training, monitor, device, digests)


def _task(config: TrainOptions, console: Console, table: pl.DataFrame | None) -> Task:
    """The task, its data checked."""
    task = made_task(config, table)
    if isinstance(task, Forecast | Panel) and not task.in_memory:
        print_line(console, f"{task.name} has {task.rows:,} rows and is read piece by piece")
    for line in (roles(task, config), split_of(task), gaps_of(task)):
        if line:
            print_line(console, line)
    return task


def _check_memory(config: TrainOptions) -> None:
    """--memory is a number of bytes."""
    try:
        if isinstance(config, ForecastOptions) and config.memory is not None:
            parse_bytes(config.memory)
    except ValueError as error:
        raise of_option(error) from error


def print_line(console: Console, line: str) -> None:
    """A line of prose, wrapped where it goes to a terminal."""
    text = fitted(message(line.rstrip("\n"))) + "\n" * line.endswith("\n")
    console.print(text, markup=False, highlight=False, soft_wrap=True)
