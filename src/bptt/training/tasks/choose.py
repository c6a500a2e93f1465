"""Which task a run's choices stand for."""

from __future__ import annotations

from ..config import TrainConfig
from ..data import read_table
from .forecast import sunspot_forecast, table_forecast
from .streamed import is_streamed, streamed_forecast
from .task import Task


def task_of(config: TrainConfig) -> Task:
    """The task a run was or is to be trained on; what is odd about its data is a warning.

    Raises:
        UserError: its data cannot be used.
    """
    if config.data is None or config.target is None:
        return sunspot_forecast(config)
    if is_streamed(config):
        return streamed_forecast(config)
    table = read_table(config.data, config.target, config.inputs, config.time, config.missing)
    return table_forecast(table, config)
