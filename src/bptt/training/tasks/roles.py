"""Which columns of the data a run reads, and as what."""

from __future__ import annotations

from ..data.tables import listed
from ..options.base import TrainOptions
from ..options.classify import ClassifyOptions
from ..options.forecast import ForecastOptions
from .task import Task


def roles(task: Task, config: TrainOptions) -> str:
    """The columns by what they are, in a line; empty where the data has none, as a text has none."""
    if not task.columns:
        return ""
    if isinstance(config, ClassifyOptions):
        label = f"label {config.label!r}" if config.label else "labels of the file"
        said = [_counted("input", task.columns), label]
    else:
        assert isinstance(config, ForecastOptions)
        count = max(1, len(config.targets))
        targets, others = task.columns[:count], task.columns[count:]
        said = [_counted("target", targets) + ", whose past is input"]
        said += [_counted("input", others)] if others else []
        said += ["calendar " + ", ".join(task.calendar)] if task.calendar else []
    said += [f"{name} {column!r}" for name in ("time", "series") if (column := getattr(config, name)) is not None]
    return "columns: " + "; ".join(said)


def _counted(word: str, columns: list[str]) -> str:
    return f"{word}{'s' if len(columns) > 1 else ''} {listed(columns)}"
