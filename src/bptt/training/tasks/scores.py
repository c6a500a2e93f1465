"""Scores of forecasts beside the baselines, their intervals and coverage, and the rows of forecast.csv."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from torch import nn

from ...files import write_whole
from ..updates import predictions
from .intervals import Intervals
from .series import Series
from .task import Judged

MEAN = "mean"


def judged(parts: Sequence[Series], model: nn.Module, title: str, path: Path) -> Judged:
    """Forecast every row of one series or many, write the forecasts, and compare with the baselines."""
    found = [part.forecasts(predictions(model, part.inputs())) for part in parts]
    intervals = calibrated(parts, found)
    frames = [forecast_rows(part, own, intervals) for part, own in zip(parts, found, strict=True)]
    write_whole(path, pl.concat(frames).write_csv().encode())
    models = [{title: own} | part.baselines() for part, own in zip(parts, found, strict=True)]
    first, times = parts[0], parts[0].times()
    return Judged(
        scores={name: scores_of(parts, models, name) for name in models[0]} | first.published,
        rmse=_rmse(parts, found),
        rows=_first_output(frames[0]),
        spans=[(span.name, times[span.first], times[span.stop - 1]) for span in first.spans],
        intervals=intervals,
        covered=_covered(parts, found, intervals),
    )


def calibrated(parts: Sequence[Series], found: list[np.ndarray]) -> Intervals:
    """The intervals by the errors on the validation rows, or on the training rows where there are none."""
    config = parts[0].config
    errors: list[list[np.ndarray]] = [[] for _ in parts[0].outputs]
    for part, own in zip(parts, found, strict=True):
        residuals = part.truth() - own
        begin = part.learned_steps if part.learned_steps < part.train_steps else 0
        for output, (place, ahead) in enumerate(part.outputs):
            first = part.first_step + ahead
            rows = residuals[first + begin : first + part.train_steps, output]
            errors[output].append(rows / part.scaling.std[place])
    source = "validation" if config.validation else "training"
    return Intervals.of([np.concatenate(one) for one in errors], config.coverage, source)


def scores_of(parts: Sequence[Series], models: list[dict[str, np.ndarray]], name: str) -> dict[str, float]:
    """A model's average relative variance by output and test span, and the mean where there are several."""
    found = {
        _named(part, on, len(parts)): value
        for part, own in zip(parts, models, strict=True)
        for on, value in part.arv(own[name]).items()
    }
    several = len(parts) > 1 or len(parts[0].outputs) > 1
    return found | ({MEAN: float(np.mean(list(found.values())))} if several else {})


def forecast_rows(series: Series, found: np.ndarray, intervals: Intervals | None) -> pl.DataFrame:
    """The forecasts of each row that can be forecast, output by output, as `rows_of` has them."""
    times, truth = series.times(), series.truth()
    frames = []
    for output, (place, ahead) in enumerate(series.outputs):
        rows = slice(series.first_step + ahead, len(series.table.values) + ahead)
        width = np.nan
        if intervals is not None:
            width = intervals.widths[output] * series.scaling.std[place]
        own = series.columns[place], times[rows], truth[rows, output], found[rows, output], width
        frames.append(rows_of(*own, ahead if len(series.config.horizons) > 1 else None))
    whole = pl.concat(frames)
    return whole.insert_column(0, pl.lit(series.part).alias("series")) if series.part else whole


def rows_of(
    target: str, times: list[str], truth: np.ndarray, found: np.ndarray, width: float, horizon: int | None
) -> pl.DataFrame:
    """Columns time, target (its name), horizon unless it is None, truth, forecast, lower and upper.

    Unknown values are left empty.
    """
    width = width if np.isfinite(width) else np.nan
    numbers = {"truth": truth, "forecast": found, "lower": found - width, "upper": found + width}
    return pl.DataFrame(
        {
            "time": pl.Series(times, dtype=pl.String),
            "target": pl.Series([target] * len(times), dtype=pl.String),
            **({} if horizon is None else {"horizon": pl.Series([horizon] * len(times), dtype=pl.Int32)}),
            **{name: pl.Series(values).fill_nan(None) for name, values in numbers.items()},
        }
    )


def _named(part: Series, on: str, parts: int) -> str:
    """The name of a score among all of the task."""
    if parts == 1:
        return on
    return f"{part.part}, {on}" if len(part.outputs) > 1 else part.part


def _rmse(parts: Sequence[Series], found: list[np.ndarray]) -> dict[str, float]:
    return {
        _named(part, name, len(parts)): float(
            np.sqrt(np.nanmean(np.square(errors[span.first : span.stop, output])))
        )
        for part, own in zip(parts, found, strict=True)
        for errors in [part.truth() - own]
        for name, output, span in part.judged_on
    }


def _covered(parts: Sequence[Series], found: list[np.ndarray], intervals: Intervals) -> dict[str, float]:
    """The part of the rows tested on whose truth lies within the interval."""
    held = {}
    for part, own in zip(parts, found, strict=True):
        errors = np.abs(part.truth() - own)
        for name, output, span in part.judged_on:
            there = errors[span.first : span.stop, output]
            width = intervals.widths[output] * part.scaling.std[part.outputs[output][0]]
            if np.isfinite(width):
                held[_named(part, name, len(parts))] = float(np.mean(there[~np.isnan(there)] <= width))
    return held


def _first_output(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of the first target and horizon."""
    first = rows.filter(pl.col("target") == rows["target"][0])
    return first.filter(pl.col("horizon") == first["horizon"][0]) if "horizon" in first.columns else first
