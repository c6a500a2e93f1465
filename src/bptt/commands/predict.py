"""`bptt predict`: forecast new data with a trained run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from ..training.config import Missing
from ..training.errors import UserError


@dataclass(frozen=True)
class PredictConfig:
    """Forecast with a trained run: one line a row, as CSV with the columns time, target, truth, forecast.

    DATA needs the columns the run was trained on. The last lines are the future: their truth is empty.
    """

    run: Annotated[Path, Positional, arg(metavar="RUN")]
    """Run folder that `bptt train` wrote."""
    data: Annotated[Path, Positional, arg(metavar="DATA")]
    """CSV or Parquet file, rows in the order of time."""
    time: Annotated[
        str | None, arg(metavar="COLUMN", help_behavior_hint="(default: as the run, if DATA has it)")
    ] = None
    """Column of numbers or ISO dates that labels the rows."""
    missing: Missing = "error"
    """What to do with missing values: refuse them, or interpolate between neighbours."""
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: standard output)")] = None
    """CSV file to write; it must not exist."""


def predict(config: PredictConfig) -> int:
    """Forecast every row that can be forecast and write the CSV; returns the exit code.

    Raises:
        UserError: the run, the data or the file to write cannot be used.
    """
    from ..training.data import read_frame, select
    from ..training.run import load_run
    from ..training.tasks.forecast import Forecast, forecast_rows
    from ..training.updates import predict as outputs

    if config.out is not None and config.out.exists():
        raise UserError(f"{config.out} exists already and is not overwritten; pass another --out")
    run = load_run(config.run)
    frame = read_frame(config.data)
    time = config.time or (run.config.time if run.config.time in frame.columns else None)
    target, *inputs = run.columns
    table = select(frame, config.data.name, target, tuple(inputs), time, config.missing)
    lags, horizon = run.config.lags, run.config.horizon
    if len(table.values) < lags:
        raise UserError(
            f"{config.data} has {len(table.values)} rows, but this run needs at least {lags} (its lags)"
        )
    task = Forecast(table, lags, horizon, 0, [], run.scaling, 1.0, {})
    text = forecast_rows(task, task.forecasts(outputs(run.model, task.inputs()))).write_csv()
    if config.out is None:
        sys.stdout.write(text)
        return 0
    try:
        config.out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{config.out} cannot be written: {error.strerror}") from error
    return 0
