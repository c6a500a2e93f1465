"""Forecasts for the page: the last rows of every series, target and horizon, and the errors by horizon."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from ..printable import distinct, shown
from ..training.tasks.task import Judged

MOST_TRACKS = 24  # series and targets that are drawn
MOST_NUMBERS = 150_000  # in all of them: about 1.2 MB of the page


@dataclass(frozen=True)
class Ahead:
    """The forecasts of one horizon, row by row of a track."""

    ahead: int
    forecast: list[float | None]
    width: list[float | None]  # half of the interval


@dataclass(frozen=True)
class Track:
    """One target of one series, with its forecasts."""

    name: str  # of series and target, as far as they differ
    unit: str  # the target's column
    decimals: int  # to which its values are rounded
    time: list[str]
    truth: list[float | None]
    tested: int  # the first row of the test set
    future: int  # the first row after the table's end
    horizons: list[Ahead]


@dataclass(frozen=True)
class HorizonErrors:
    """The errors of one target and horizon in the test set, means over all series."""

    target: str
    ahead: int
    arv: dict[str, float]  # average relative variance by model, the trained one first
    rmse: float | None
    mae: float | None
    mase: float | None
    held: float | None  # the share of true values within the intervals


@dataclass(frozen=True)
class ForecastReport:
    """Everything the page shows of a forecast."""

    tracks: list[Track]
    left_out: int  # tracks that are not drawn
    first_row: int  # earlier rows are not drawn; 0 where all are
    coverage: float  # that the intervals promise
    errors: list[HorizonErrors]


def forecast_report(judged: Judged, coverage: float) -> ForecastReport | None:
    """The forecasts of a run; None where it forecasts nothing."""
    rows = judged.rows
    if rows is None or rows.is_empty():
        return None
    keys = [name for name in ("series", "target") if name in rows.columns]
    found = rows.partition_by(keys, maintain_order=True)
    names = distinct([", ".join(frame.row(0, named=True)[key] for key in _varying(rows, keys)) for frame in found])
    drawn = found[:MOST_TRACKS]
    numbers = 4 + 2 * (rows["horizon"].n_unique() if "horizon" in rows.columns else 1)
    most = max(60, MOST_NUMBERS // (len(drawn) * numbers))
    tracks = [_track(frame, name) for frame, name in zip(drawn, names.values(), strict=False)]
    first_row = max(0, max(len(track.time) for track in tracks) - most)
    return ForecastReport(
        [_shortened(track, most) for track in tracks],
        len(found) - len(drawn),
        first_row,
        coverage,
        _errors(judged),
    )


def _varying(rows: pl.DataFrame, keys: list[str]) -> list[str]:
    """The keys with several values; the last one where none has."""
    return [key for key in keys if rows[key].n_unique() > 1] or keys[-1:]


def _track(frame: pl.DataFrame, name: str) -> Track:
    by_horizon = frame.partition_by("horizon", maintain_order=True) if "horizon" in frame.columns else [frame]
    farthest = by_horizon[-1]
    ahead = [own["horizon"][0] if "horizon" in own.columns else _ahead_of(own) for own in by_horizon]
    rows = max(len(own) + ahead[-1] - h for own, h in zip(by_horizon, ahead, strict=True))
    time, split = [""] * rows, ["training"] * rows
    truth: list[float | None] = [None] * rows
    horizons = []
    decimals = _decimals(farthest)
    for own, h in zip(by_horizon, ahead, strict=True):
        stop = rows - ahead[-1] + h  # every horizon ends that many rows after the table
        here = slice(stop - len(own), stop)
        time[here], split[here] = own["time"].to_list(), own["split"].to_list()
        truth[here] = own["truth"].round(decimals).to_list()
        forecast, width = np.full((2, rows), np.nan)
        forecast[here] = own["forecast"].to_numpy()
        width[here] = ((own["upper"] - own["lower"]) / 2).to_numpy()
        horizons.append(Ahead(h, _plain(forecast, decimals), _plain(width, decimals)))
    count = {part: split.count(part) for part in ("training", "test")}
    tested, future = count["training"], count["training"] + count["test"]
    return Track(name, shown(frame["target"][0]), decimals, time, truth, tested, future, horizons)


def _ahead_of(frame: pl.DataFrame) -> int:
    """The only horizon, which is how many rows are forecast beyond the table."""
    return int((frame["split"] == "future").sum())


def _decimals(frame: pl.DataFrame) -> int:
    """Decimals that show three digits of the typical error."""
    errors = (frame["forecast"] - frame["truth"]).drop_nulls().to_numpy()
    size = float(np.sqrt(np.square(errors).mean())) if len(errors) else 0.0
    return min(12, max(0, 2 - math.floor(math.log10(size)))) if 0 < size < math.inf else 3


def _plain(values: np.ndarray, decimals: int) -> list[float | None]:
    return pl.Series(values).fill_nan(None).round(decimals).to_list()


def _shortened(track: Track, most: int) -> Track:
    """Its last rows."""
    cut = max(0, len(track.time) - most)
    horizons = [Ahead(own.ahead, own.forecast[cut:], own.width[cut:]) for own in track.horizons]
    return Track(
        track.name,
        track.unit,
        track.decimals,
        track.time[cut:],
        track.truth[cut:],
        max(0, track.tested - cut),
        max(0, track.future - cut),
        horizons,
    )


def _errors(judged: Judged) -> list[HorizonErrors]:
    """By target and horizon; where there are several series or test spans, their means."""
    found, held = [], {name: own.share for name, own in judged.covered.items()}
    for target, ahead in dict.fromkeys(judged.outputs.values()):
        spans = [name for name, output in judged.outputs.items() if output == (target, ahead)]
        arv = {model: _mean(by_span, spans) for model, by_span in judged.scores.items()}
        found.append(
            HorizonErrors(
                shown(target),
                ahead,
                {model: value for model, value in arv.items() if value is not None},
                *(_mean(by_span, spans) for by_span in (judged.rmse, judged.mae, judged.mase, held)),
            )
        )
    return found


def _mean(by_span: dict[str, float], spans: list[str]) -> float | None:
    """The mean of all spans; None where one is missing."""
    return float(np.mean([by_span[name] for name in spans])) if all(name in by_span for name in spans) else None
