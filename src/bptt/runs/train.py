"""`bptt.train`: the command `bptt train` as a function."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ..errors import UserError
from ..training.config_file import OPTION_NAMES, read_options
from ..training.data.frames import IN_MEMORY, named_frame
from ..training.options.base import TrainOptions
from ..training.options.choosing import check_own, errors_for_python, options_of, task_of
from ..training.toml import made_of
from ..training.workers import ALONE
from .new_data import path_or_table
from .run import Run
from .run_folder import make_run_folder
from .training_run import resume_training, start_training


@errors_for_python()
def train(data: Any = None, *, verbose: bool = False, **options: Any) -> Run:
    """Train a recurrent network in this process, as `bptt train` does, and return the run.

        run = bptt.train(frame, target="co2", time="week", horizon=[1, 26])
        run.predict(frame)  # the forecasts of its rows and of those to come
        run.metrics[-1]  # the scores on the last rows, beside those of the baselines

    Args:
        data: a polars or pandas DataFrame, a dict of columns or a numpy array; or the path of a file, or of a
            run's config.toml. Default the data that come with bptt: the sunspots, or a text with task="text".
        verbose: whether to print the columns, the progress and the scores, as the command does. Default False.
        options: those of `bptt train`, by name: task, target, horizon, cell, epochs and all others that
            `bptt train --help` shows. A list stands for several values. With `out=` the run folder is written that
            the command writes; without it nothing is. `workers` is for the command alone.

    Returns:
        the run, its network on the CPU.

    Raises:
        TypeError: there is no such option, or data is neither a path nor a table.
        UserError: the data or an option cannot be used.
        TrainingDiverged: a loss is not finite.
        KeyboardInterrupt: with a run folder, once all that `resume=` needs is saved.
    """
    data = None if data is None else path_or_table(data)
    table = None if data is None or isinstance(data, Path) else named_frame(data).frame
    config = options_from(data if table is None else Path(IN_MEMORY), options)
    if config.workers is not None:
        raise UserError(
            f"workers={config.workers} starts further processes; only `bptt train --workers` does that"
        )
    console = Console(quiet=not verbose)
    if config.resume is not None:
        trained = resume_training(config, config.resume, ALONE, console, table)
    elif config.out is not None:
        trained = start_training(config, ALONE, console, partial(make_run_folder, config.out), table)
    else:
        _check_unwritten(config)
        trained = start_training(config, ALONE, console, table=table)
    if trained.signal is not None:
        signal.raise_signal(trained.signal)
    return trained.run


def options_from(data: Path | None, given: Mapping[str, Any]) -> TrainOptions:
    """The options with these keywords, the others at the defaults of their task or as a config.toml has them.

    Raises:
        TypeError: a keyword is no option.
        UserError: one is of another task, or its value is not of its type.
    """
    for name in given:
        if name not in OPTION_NAMES:
            near = get_close_matches(name, OPTION_NAMES, 1)
            hint = f"; is {near[0]!r} meant?" if near else ""
            raise TypeError(f"bptt.train has no option {name!r}{hint}")
    choices = {name: _plain(value) for name, value in given.items() if value is not None}
    if isinstance(inputs := choices.get("input"), str | list):
        names = [inputs] if isinstance(inputs, str) else inputs
        choices["input"] = [names] if all(isinstance(name, str) for name in names) else names
    if data is not None and data.suffix.lower() == ".toml":
        began = read_options(data, choices)
    else:
        choices |= {} if data is None else {"data": str(data)}
        began = options_of(task_of(choices), {"data": data})()
    try:
        check_own(choices, began.task)
        chosen = made_of(type(began), choices, "bptt.train")
    except ValueError as error:
        raise UserError(str(error)) from error
    return replace(began, **{name: getattr(chosen, name) for name in choices})


def _plain(value: Any) -> Any:
    """A value as a config.toml holds it: numbers of Python, lists, and paths as text."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple | range | np.ndarray):
        return [_plain(one) for one in value]
    return value


def _check_unwritten(config: TrainOptions) -> None:
    """Refuse options that only say how a run folder is written."""
    for field in fields(config):
        if field.name in ("tensorboard", "snapshot") and getattr(config, field.name) != field.default:
            raise UserError(f"{field.name} is about the run folder, and there is none; pass out= as well")
