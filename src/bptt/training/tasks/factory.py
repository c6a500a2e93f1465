"""The task that a run's choices ask for, its data read and checked."""

from __future__ import annotations

from pathlib import Path

from ..config import TrainConfig, task_of
from ..data.sources import is_streamed
from ..data.tables import gaps_kept, read_table
from ..data.text_files import check_file
from .classify import classify_task, test_file
from .forecast import note_spacing, sunspot_forecast, table_forecast
from .panel import panel
from .streamed import streamed_forecast
from .task import Task
from .text import text_task

WANTED = {
    "forecast": "a CSV, Parquet or .npy file",
    "classify": "a .ts, CSV or Parquet file",
    "text": "a file of text",
}


def made_task(config: TrainConfig) -> Task:
    """The task, ready to be learned.

    Raises:
        UserError: its data cannot be used.
    """
    check_there(config)
    return {"forecast": _forecast, "classify": classify_task, "text": text_task}[task_of(config)](config)


def check_there(config: TrainConfig) -> None:
    """The run's data are where it looks for them, each a file.

    Raises:
        UserError: one is not.
    """
    for path in files_of(config):
        check_file(path, WANTED[task_of(config)])


def files_of(config: TrainConfig) -> list[Path]:
    """The files that a run's data are read from; none for those that are embedded."""
    if config.data is None:
        return []
    beside = test_file(config.data) if task_of(config) == "classify" else None
    return [config.data] if beside is None else [config.data, beside]


def _forecast(config: TrainConfig) -> Task:
    if config.data is None or not config.targets:
        return sunspot_forecast(config)
    if is_streamed(config):
        return streamed_forecast(config)
    if config.series is not None:
        return panel(config)
    table = read_table(config.data, config.targets, config.inputs, config.time, gaps_kept(config.missing))
    task = table_forecast(table, config)
    note_spacing([task])
    return task
