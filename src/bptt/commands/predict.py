"""`bptt predict`: forecast or classify new data with a trained run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from ..training.config import Missing
from ..training.errors import UserError

if TYPE_CHECKING:
    import polars as pl

    from ..training.snapshot import Run


@dataclass(frozen=True)
class PredictConfig:
    """Forecast or classify with a trained run, as CSV; DATA needs the columns the run was trained on.

    A forecast has a line for each row: time, target, truth, forecast; the last ones are the future, their truth
    empty. A classification has one for each sequence: series, truth (empty where DATA has no labels), predicted,
    and the probability of each class.
    """

    run: Annotated[Path, Positional, arg(metavar="RUN")]
    """Run folder that `bptt train` wrote."""
    data: Annotated[Path, Positional, arg(metavar="DATA")]
    """CSV or Parquet file, rows in the order of time; to classify, as the run was trained on, or a .ts file."""
    time: Annotated[
        str | None, arg(metavar="COLUMN", help_behavior_hint="(default: as the run, if DATA has it)")
    ] = None
    """Column of numbers or ISO dates that labels the rows."""
    missing: Missing = "error"
    """What to do with missing values: refuse them, or interpolate between neighbours."""
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: standard output)")] = None
    """CSV file to write; it must not exist."""


def predict(config: PredictConfig) -> int:
    """Predict all that can be predicted and write the CSV; returns the exit code.

    Raises:
        UserError: the run, the data or the file to write cannot be used.
    """
    from ..training.config import task_of
    from ..training.snapshot import load_run

    if config.out is not None and config.out.exists():
        raise UserError(f"{config.out} exists already and is not overwritten; pass another --out")
    run = load_run(config.run)
    task = task_of(run.config)
    if task == "text":
        raise UserError(f"{config.run} was trained on text; let it write with: bptt sample {config.run}")
    text = (_classes if task == "classify" else _forecast)(run, config).write_csv()
    if config.out is None:
        sys.stdout.write(text)
        return 0
    try:
        config.out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{config.out} cannot be written: {error.strerror}") from error
    return 0


def _forecast(run: Run, config: PredictConfig) -> pl.DataFrame:
    """The forecast of each row."""
    from ..training.data import read_frame, select
    from ..training.tasks.forecast import Forecast, forecast_rows
    from ..training.updates import predict as outputs

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
    return forecast_rows(task, task.forecasts(outputs(run.model, task.inputs())))


def _classes(run: Run, config: PredictConfig) -> pl.DataFrame:
    """The class of each sequence, and the probability of every one."""
    from ..training.minibatches import logits_of
    from ..training.tasks.classify import inputs_of, prediction_rows, read_new

    data = read_new(config.data, run.config, run.columns, run.labels, config.time, config.missing)
    return prediction_rows(data, logits_of(run.model, inputs_of(data, run.scaling), run.config).softmax(-1))
