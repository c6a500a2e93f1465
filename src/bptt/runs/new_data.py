"""New data for a trained run, read as it read its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
from torch import Tensor

from ..errors import NothingThere, UserError, warn
from ..training.config_file import ConfigFile
from ..training.data.dates import NoDate
from ..training.data.find_spacing import MOST_PAIRS, follows
from ..training.data.frames import IN_MEMORY, is_in_memory, named_frame
from ..training.data.labelled import Labelled, read_long
from ..training.data.scaling import Moments, Scaling
from ..training.data.sources import Source, open_source
from ..training.data.spacing import Fixed
from ..training.data.streamed_series import open_series
from ..training.data.streamed_tables import ROWS, table_memory
from ..training.data.tables import Rows, Selection, gaps_kept, leaving_out, select_series
from ..training.data.timestamps import Clock
from ..training.data.ts_files import read_ts
from ..training.options.classify import ClassifyOptions
from ..training.options.forecast import ForecastOptions
from ..training.options.shared import Missing
from ..training.tasks.forecast import Forecast, note_spacing
from ..training.tasks.pieces import Steps
from ..training.tasks.row_times import check_rows_to_come

MOST_IN_MEMORY = 2**27  # bytes that a file may take; a larger one is read piece by piece


class _CarriedOn(Forecast):
    """New rows in which a missing input repeats the value before it, at the start the column's mean."""

    def inputs_of(self, piece: Steps) -> Tensor:
        piece = piece._replace(last=np.where(np.isnan(piece.last), self.scaling.mean, piece.last))
        filled = [piece.carried(place) for place in range(len(self.columns))]
        return super().inputs_of(piece._replace(values=np.stack(filled, axis=1)))


def path_or_table(data: Any) -> Any:
    """A `Path`, or the table in memory as it is.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(data, str | os.PathLike):
        return Path(data)
    if is_in_memory(data):
        return data
    raise TypeError(
        "data must be the path of a file, a polars or pandas DataFrame, a dict of columns or a numpy array, got "
        f"{type(data).__name__}"
    )


def check_missing(missing: str | None) -> None:
    """Refuse a treatment of missing values that there is not."""
    choices = get_args(Missing)
    if missing is not None and missing not in choices:
        raise UserError(f"missing must be one of {', '.join(map(repr, choices))}, got {missing!r}")


def new_series(run: ConfigFile, data: Any, time: str | None, missing: Missing | None) -> list[Forecast]:
    """The series of a table, read and scaled as a run's own; every row may be forecast, none is for training.

    A series that the run has not seen is scaled by its own rows; one with too few is left out, with a warning.

    Args:
        run: the content of a trained run's config.toml.
        data: a path or a table in memory, as `named_frame` takes it, with the run's columns.
        time: the column that labels the rows; None is the run's own, if the table has it.
        missing: what to do with missing values; None is as the run was trained.
            "interpolate" fills inputs from the rows before alone.

    Raises:
        UserError: it is no forecasting run, the table cannot be read, a column is missing, or no series has as
            many rows as the run's lags.
    """
    config = run.config
    if not isinstance(config, ForecastOptions):
        raise UserError(f"this run was trained with --task {config.task} and makes no forecasts")
    missing = treatment_of(config, missing)
    is_large = isinstance(data, Path) and data.is_file() and table_memory(data) > MOST_IN_MEMORY
    found = open_source(data) if is_large else named_frame(data, run.columns).frame
    name = data.name if isinstance(data, Path) else IN_MEMORY
    time = time or (config.time if config.time in found.columns else None)
    if run.calendar and time is None:
        raise UserError(f"{name} has no column {config.time!r}, whose dates this run reads; pass --time COLUMN")
    targets = max(1, len(config.targets))
    columns = tuple(run.columns[:targets]), tuple(run.columns[targets:])
    kind = _CarriedOn if missing == "interpolate" else Forecast
    selection = Selection(*columns, time, gaps_kept(missing), config.series, run.clock)
    tables = _tables(found, name, selection)
    series = []
    for part, table in tables.items():
        with leaving_out(f"series {part!r} is left out") if len(tables) > 1 else nullcontext():
            series.append(_new_series(run, part, table, time, kind))
    if not series:
        raise UserError(
            f"{name} has no series with as many rows as this run needs for its {run.lags[-1] + 1} lags"
        )
    note_spacing(series)
    return series


def _tables(found: Source | pl.DataFrame, name: str, selection: Selection) -> Mapping[str, Rows]:
    """A table for each series, in memory in the same pieces as on disk, so that both round alike."""
    if isinstance(found, pl.DataFrame):
        return {part: replace(own, walked=ROWS) for part, own in select_series(found, name, selection).items()}
    return open_series(found, name, selection)


def treatment_of(config: ForecastOptions, missing: Missing | None) -> Missing:
    """How missing values of new rows are treated: as asked, by default as in training.

    Raises:
        UserError: they are to be masked, and the run was not trained so.
    """
    if missing == "mask" and config.missing != "mask":
        raise UserError("--missing mask needs a run that was trained with it; fill them or interpolate")
    return missing or config.missing


def _new_series(run: ConfigFile, name: str, table: Rows, time: str | None, kind: type[Forecast]) -> Forecast:
    """One series of the table as a task of a kind; its name is "" where there is only one.

    Raises:
        NothingThere: it has too few rows, or a column without any value.
    """
    config = run.forecast_options
    known = Fixed("1", dated=False) if time is None else run.spacings.get(name)
    unknown = run.calendar and known is None and run.lags[-1] == 0
    needed, why = (2, "two dates") if unknown else (run.lags[-1] + 1, "its lags")
    rows = len(table)
    if rows < needed:
        raise NothingThere(f"{table.name} has {_rows(rows)}, but this run needs at least {needed} ({why})")
    moments = table.moments(0, rows)
    for column, count in zip(table.columns, moments.count, strict=True):
        if not count:
            raise NothingThere(f"{table.name}: column {column!r} has no values at all")
    scaling = run.scaling if config.series is None else run.series.get(name)
    scaling = scaling or Scaling.of_moments(moments, table.columns, table.name)
    scaling.check(moments, table.columns, table.name)
    recent = table.timestamps_at(max(0, rows - MOST_PAIRS), min(rows, MOST_PAIRS)).moments
    own = known if known is not None and follows(known, recent) else table.spacing()
    if run.calendar:
        _check_date(table, run.clock)
        if known is not None and known.usual and own != known:
            warn(
                f"{table.name}: the rows are spaced {own}, and this run was trained on rows {known}, by which "
                "its calendar counts"
            )
    ahead = known or own
    read = run.lags, len(run.lags), [], 1, table
    check_rows_to_come(table, [own, ahead] if run.calendar else [own], max(config.horizons))
    in_time = {"spacing": own, "ahead": ahead, "calendar": run.calendar, "calendar_clock": run.clock}
    return kind(config, 0, scaling, *read, part=name, **in_time)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _check_date(table: Rows, clock: Clock) -> None:
    """Refuse times that cannot be read in the time zone of the training set; all of a table are alike."""
    first = table.timestamps_at(0, 1)
    try:
        clock.local(first.moments[0], first.texts[0])
    except NoDate as error:
        raise UserError(f"{table.name}: {error}") from error


def new_sequences(run: ConfigFile, data: Any, time: str | None, missing: Missing) -> Labelled:
    """The sequences of a file or a table, read as a classifier's own; their labels may be missing.

    Args:
        run: the content of a trained run's config.toml.
        data: the path of a .ts file; or a table in long format, a path or in memory as `named_frame` takes it,
            where the run was trained on one.
        time: the column that orders a table's rows; None is the run's own, if the file has it.
        missing: what to do with missing values.

    Raises:
        UserError: the file cannot be read, or has other columns.
    """
    config, columns = run.config, run.columns
    assert isinstance(config, ClassifyOptions)
    if isinstance(data, Path) and data.suffix.lower() == ".ts":
        found = read_ts(data, missing)
        if len(found.columns) != len(columns):
            raise UserError(
                f"{data} has {len(found.columns)} dimensions, but this run was trained on {len(columns)}"
            )
    elif config.series is None:
        name = data if isinstance(data, Path) else IN_MEMORY
        raise UserError(f"{name} is no .ts file, as this run was trained on")
    else:
        frame, name = named_frame(data, columns)
        label, own = (column if column in frame.columns else None for column in (config.label, config.time))
        found = read_long(frame, name, config.series, label, tuple(columns), time or own, missing)
    run.scaling.check(Moments.of(np.concatenate(found.sequences)), columns, found.name)
    return replace(found, columns=columns, classes=run.labels)
