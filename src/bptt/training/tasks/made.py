"""The task that a run's choices ask for, its data read and checked."""

from __future__ import annotations

from ..config import TrainConfig, task_of
from ..data import read_table
from .classify import classify_task
from .footprint import is_streamed
from .forecast import note_spacing, sunspot_forecast, table_forecast
from .panel import panel
from .streamed import streamed_forecast
from .task import Task
from .text import text_task


def made_task(config: TrainConfig) -> Task:
    """The task, ready to be learned.

    Raises:
        UserError: its data cannot be used.
    """
    return {"forecast": _forecast, "classify": classify_task, "text": text_task}[task_of(config)](config)


def _forecast(config: TrainConfig) -> Task:
    if config.data is None or not config.targets:
        return sunspot_forecast(config)
    if is_streamed(config):
        return streamed_forecast(config)
    if config.series is not None:
        return panel(config)
    table = read_table(config.data, config.targets, config.inputs, config.time, config.missing)
    task = table_forecast(table, config)
    note_spacing([task])
    return task
