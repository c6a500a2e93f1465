"""Which columns of the data a run reads, and as what."""

from __future__ import annotations

from ..config import TrainConfig
from ..data.tables import listed
from .task import Task


def roles(task: Task, config: TrainConfig) -> str:
    """The columns by what they are, in a line; empty where the data has none, as a text has none."""
    if not task.columns:
        return ""
    if task.loss == "cross_entropy":
        said = [
            _counted("input", task.columns),
            f"label {config.label!r}" if config.label else "labels of the file",
        ]
    else:
        count = max(1, len(config.targets))
        targets, others = task.columns[:count], task.columns[count:]
        said = [_counted("target", targets) + ", whose past is input"]
        said += [_counted("input", others)] if others else []
        said += ["calendar " + ", ".join(task.calendar)] if task.calendar else []
    said += [f"{name} {column!r}" for name in ("time", "series") if (column := getattr(config, name)) is not None]
    return "columns: " + "; ".join(said)


def _counted(word: str, columns: list[str]) -> str:
    return f"{word}{'s' if len(columns) > 1 else ''} {listed(columns)}"
