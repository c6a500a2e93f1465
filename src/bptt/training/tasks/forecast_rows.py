"""The rows of forecast.csv, and of what `bptt predict` prints."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from torch import nn

from ...files import naming
from .intervals import Intervals
from .row_times import times_of
from .series import Series

HELD = 2**24  # bytes of forecasts that are held in memory; more go to a temporary file


def predicted_rows(series: Series, model: nn.Module, intervals: Intervals | None) -> Iterator[pl.DataFrame]:
    """Every forecast that a model makes of a series, output by output, a piece of the table at a time.

    Args:
        intervals: of the model's run, adapted to the errors of these rows as they come; None for none.

    Raises:
        OSError: the temporary file cannot be written.
    """
    places = []  # of each piece: in the temporary file, its first row, and its steps
    with naming(Path(tempfile.gettempdir())), tempfile.SpooledTemporaryFile(HELD) as kept:
        for piece, _, y in series.walked(model, 0):
            places.append((kept.tell(), piece.row, piece.steps))
            kept.write(np.stack([piece.targets(series.outputs).T, series.in_units(y).T], axis=1).tobytes())
        for output, (place, ahead) in enumerate(series.outputs):
            adaptive = None if intervals is None else intervals.going_on(output, ahead)
            unit = series.scaling.std[place]
            for start, row, steps in places:
                kept.seek(start + output * 2 * steps * 8)
                truth, found = np.frombuffer(kept.read(2 * steps * 8)).reshape(2, steps)
                width = np.full(steps, np.nan)
                if adaptive is not None:
                    width = adaptive.along(np.abs(truth - found) / unit) * unit
                yield rows_of(series, output, np.arange(row, row + steps) + ahead, truth, found, width)


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
