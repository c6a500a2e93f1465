"""The task that a run's choices ask for, its data read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from ...errors import UserError
from ...files import digest_of
from ..data.columns import listed
from ..data.find_spacing import rows_skipped
from ..data.frames import IN_MEMORY, digest_of_column
from ..data.sources import open_source
from ..data.streamed_series import open_series
from ..data.streamed_tables import is_streamed
from ..data.tables import Rows, Table, read_frame, select_series, selection_of
from ..data.text_files import check_file
from ..options.base import TrainOptions
from ..options.classify import ClassifyOptions
from ..options.forecast import ForecastOptions
from ..options.text import TextOptions
from .forecast import Forecast, note_spacing, sunspot_forecast, table_forecast
from .panel import Panel, panel
from .sequence_splits import classify_task, test_file
from .task import Task
from .text import text_task

WANTED = {
    "forecast": "a CSV, Parquet or .npy file",
    "classify": "a .ts, CSV or Parquet file",
    "text": "a file of text",
}


def made_task(config: TrainOptions, table: pl.DataFrame | None = None) -> Task:
    """The task that the options ask for, of a file or of a table in memory.

    Raises:
        UserError: its data cannot be used.
    """
    if table is None:
        check_there(config)
    if isinstance(config, TextOptions):
        return text_task(config)
    if isinstance(config, ClassifyOptions):
        return classify_task(config, table)
    assert isinstance(config, ForecastOptions)
    return _forecast(config, table)


def check_there(config: TrainOptions, run: Path | None = None) -> None:
    """Refuse data files that are missing; `run` is the folder of a run that has read them."""
    if config.data == Path(IN_MEMORY):
        raise UserError(
            "the data were a table in memory, which no run folder keeps; in Python, bptt.train(table, ...) takes "
            "it again, and bptt.train(table, resume=...) continues"
        )
    for path in files_of(config):
        moved = "" if run is None else f"; start where {run} was made, or put the file back"
        check_file(path, WANTED[config.task], moved)


def digests_of(config: TrainOptions) -> dict[str, str]:
    """The SHA-256 of each file that the data are read from, by its path."""
    return {str(path): digest_of(path) for path in files_of(config)}


def digests_of_table(table: pl.DataFrame, config: TrainOptions) -> dict[str, str]:
    """The SHA-256 of each column of a table in memory that may be read, as CSV has it."""
    named = [getattr(config, name, None) for name in ("time", "series", "label")]
    named += [*getattr(config, "targets", ()), *getattr(config, "inputs", ())]
    every = isinstance(config, ClassifyOptions) and not config.inputs
    return {
        f"column {column.name!r} of {IN_MEMORY}": digest_of_column(column)
        for column in table
        if every or column.name in named
    }


def files_of(config: TrainOptions) -> list[Path]:
    """The files that a run's data are read from; none for those that are embedded."""
    if config.data is None:
        return []
    beside = test_file(config.data) if config.task == "classify" else None
    return [config.data] if beside is None else [config.data, beside]


def _forecast(config: ForecastOptions, table: pl.DataFrame | None) -> Task:
    if config.data is None or not config.targets:
        return sunspot_forecast(config)
    is_large = table is None and is_streamed(config)
    if is_large:
        tables = open_series(open_source(config.data), config.data.name, selection_of(config))
    else:
        frame = read_frame(config.data) if table is None else table
        tables = select_series(frame, config.data.name, selection_of(config))
    return _table_forecast(tables[""], config) if config.series is None else panel(config, tables)


def _table_forecast(table: Rows, config: ForecastOptions) -> Forecast:
    task = table_forecast(table, config)
    note_spacing([task])
    return task


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


def split_of(task: Task) -> str:
    """Which rows of a single table are trained, validated and tested on, its season and lags, in a line."""
    if not isinstance(task, Forecast):
        return ""
    rows, last = task.train_rows, task.rows - 1
    first, end, tested, stop = (task.table.timestamps_at(row, 1).texts[0] for row in (0, rows - 1, rows, last))
    held = task.train_steps - task.learned_steps
    validated = f", its last {held} steps for validation" if held else ""
    season = f"season {' and '.join(map(str, task.seasons))}" if task.seasons else "no season found"
    return (
        f"rows: training {first} to {end} ({rows}{validated}), test {tested} to {stop} ({task.rows - rows}); "
        f"{season}; read at lags {_ranges(task.lags)}"
    )


def gaps_of(task: Task) -> str:
    """How many rows the times of tables in memory skip, in a line; empty where they skip none."""
    parts = [task] if isinstance(task, Forecast) else task.parts if isinstance(task, Panel) else []
    missing, first = 0, ""
    for part in parts:
        if isinstance(part.table, Table):
            times = part.table.timestamps
            for row, count in rows_skipped(part.spacing, times.moments):
                among = f" of series {part.part!r}" if part.part else ""
                missing, first = missing + count, first or f"{times.texts[row]}{among}"
    if not missing:
        return ""
    skipped = "1 row" if missing == 1 else f"{missing} rows"
    return (
        f"gaps: the times skip {skipped}, first after {first}; lags and horizons count rows, not time. "
        "Rows with empty cells there, and --missing mask, keep the time"
    )


def _ranges(numbers: Sequence[int]) -> str:
    """Rising numbers in words, such as 0-13, 47-49."""
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))


def _counted(word: str, columns: list[str]) -> str:
    return f"{word}{'s' if len(columns) > 1 else ''} {listed(columns)}"
