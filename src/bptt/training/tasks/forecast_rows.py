"""The rows of forecast.csv, and of what `bptt predict` prints."""

from __future__ import annotations

import numpy as np
import polars as pl
from torch import nn

from .intervals import Intervals, adapted
from .row_times import times_of
from .series import Series


def predicted_rows(series: Series, model: nn.Module, intervals: Intervals | None) -> pl.DataFrame:
    """Every forecast that a model makes of a table in memory, output by output.

    Args:
        intervals: of the model's run, adapted to the errors of these rows as they come; None for none.
    """
    ((piece, _, y),) = series.walked(model, 0)
    found, truth, frames = series.in_units(y), piece.targets(series.outputs), []
    for output, (place, ahead) in enumerate(series.outputs):
        rows, width = np.arange(piece.row, piece.row + piece.steps) + ahead, np.full(piece.steps, np.nan)
        if intervals is not None:
            errors, unit = np.abs(truth[:, output] - found[:, output]), series.scaling.std[place]
            width = adapted(intervals.going_on(output, ahead), errors / unit) * unit
        frames.append(rows_of(series, output, rows, truth[:, output], found[:, output], width))
    return pl.concat(frames)


def rows_of(
    series: Series, output: int, rows: np.ndarray, truth: np.ndarray, found: np.ndarray, width: np.ndarray
) -> pl.DataFrame:
    """The forecasts of some rows of an output, (N) each.

    Columns series if there are several, time, target (its name), horizon if there are several, truth, forecast,
    lower and upper; unknown values are left empty.

    Args:
        rows: the numbers of the rows, which follow each other.
        truth, found, width: the true values, the forecasts and half the widths of their intervals.
    """
    place, ahead = series.outputs[output]
    several = len(series.config.horizons) > 1
    width = np.where(np.isfinite(width), width, np.nan)
    numbers = {"truth": truth, "forecast": found, "lower": found - width, "upper": found + width}
    frame = pl.DataFrame(
        {
            "time": pl.Series(times_of(series.table, series.spacing, rows), dtype=pl.String),
            "target": pl.Series([series.columns[place]] * len(rows), dtype=pl.String),
            **({"horizon": pl.Series([ahead] * len(rows), dtype=pl.Int32)} if several else {}),
            **{name: pl.Series(values).fill_nan(None) for name, values in numbers.items()},
        }
    )
    return frame.insert_column(0, pl.lit(series.part).alias("series")) if series.part else frame
