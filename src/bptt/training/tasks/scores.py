"""Scores of forecasts beside the baselines, their intervals and coverage, and the rows of forecast.csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from torch import Tensor, nn

from ...files import write_whole
from ...forecast_model import ForecastModel, LinearPath
from ...networks import SequenceModel
from ..options.forecast import ForecastOptions
from ..updates import predictions
from .baselines import persistence
from .intervals import AdaptiveWidth, Intervals, adapted, half_width, in_turn
from .series import Series, SingleSeries, whole_of
from .task import ARV, ARV_OF_SUNSPOTS, Held, Judged

MEAN = "mean"
LINEAR = "its linear part alone"
SHORT = 0.1  # of the coverage asked for: intervals that held so much less are warned of


def judged(parts: Sequence[Series], network: SequenceModel, title: str, path: Path) -> Judged:
    """Forecast every row of one series or many, write the forecasts, and compare with the baselines.

    Args:
        network: the trained network.
        title: the name of the model in the scores.
        path: the file to write.
    """
    model = whole_of(parts, network)
    found = _forecasts(parts, model)
    intervals, widths = _with_intervals(parts, errors_held_out(parts, network, model), found)
    frames = [forecast_rows(*one) for one in zip(parts, found, widths, strict=True)]
    rows = pl.concat(frames)
    write_whole(path, rows.write_csv().encode())
    alone = _forecasts(parts, _Linear(model.path)) if isinstance(model, ForecastModel) else []
    models = []
    for number, part in enumerate(parts):
        linear = {LINEAR: alone[number]} if alone else {}
        models.append({title: found[number]} | linear | part.baselines())
    first, times, errors = parts[0], parts[0].times(), _in_units(parts, found)
    result = Judged(
        scores={name: scores_of(parts, models, name) for name in models[0]},
        rmse=errors["rmse"],
        mae=errors["mae"],
        mase=errors["mase"],
        rows=rows.with_columns(pl.Series("split", np.concatenate([splits_of(part) for part in parts]))),
        outputs={
            _named(part, name, len(parts)): (part.columns[part.outputs[output][0]], part.outputs[output][1])
            for part in parts
            for name, output, _ in part.judged_on
        },
        spans=[(span.name, times[span.first], times[span.stop - 1]) for span in first.spans],
        intervals=intervals,
        covered=_covered(parts, found, widths),
        measure=ARV if first.config.data is not None else ARV_OF_SUNSPOTS,
    )
    verdict = forecast_verdict(result, first.config, shares_of(model))
    return replace(result, scores=result.scores | first.published, verdict=verdict)


def shares_of(model: nn.Module) -> list[float]:
    """How much of the network each forecast takes; empty without a linear part."""
    return model.share.tolist() if isinstance(model, ForecastModel) else []


class _Linear(nn.Module):
    """A linear path as a model."""

    def __init__(self, path: LinearPath) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return self.path(x), None


def _forecasts(parts: Sequence[Series], model: nn.Module) -> list[np.ndarray]:
    return [part.forecasts(predictions(model, part.inputs())) for part in parts]


def _with_intervals(
    parts: Sequence[Series], sizes: list[np.ndarray], found: list[np.ndarray]
) -> tuple[Intervals, list[np.ndarray]]:
    """The intervals by `errors_held_out`, adapted along the rows tested on.

    Returns:
        as the last row leaves them; and half the width of each row's, (N + farthest, K), in the targets' units.
    """
    config = parts[0].config
    widths = [np.empty_like(own) for own in found]
    ends: list[list[AdaptiveWidth]] = [[] for _ in sizes]
    for part, own, width in zip(parts, found, widths, strict=True):
        errors = np.abs(part.truth() - own)
        for output, (place, ahead) in enumerate(part.outputs):
            unit, start = part.scaling.std[place], part.spans[0].first
            width[:start, output] = half_width(sizes[output], config.coverage) * unit
            end = AdaptiveWidth(sizes[output].tolist(), config.coverage, ahead)
            width[start:, output] = adapted(end, errors[start:, output] / unit) * unit
            ends[output].append(end)
    source = "validation" if config.validation else "training"
    return Intervals.of(ends, [len(one) for one in sizes], config.coverage, source), widths


def errors_held_out(parts: Sequence[SingleSeries], network: SequenceModel, model: nn.Module) -> list[np.ndarray]:
    """By output, the absolute errors at the validation steps, standardised; without any, at the training steps.

    Those that are there, of several series in turn.

    Args:
        model: the network, or it beside a linear path with its share; the errors are those beside the path
            that is fitted without the validation rows.
    """
    share, scale = 1, 1
    if isinstance(model, ForecastModel):
        share, scale = (one.double().cpu().numpy() for one in (model.share, model.path.scale))
    pairs = [part.held_out(network) for part in parts]
    errors = [scale * np.abs(share * y - d) for y, d in pairs]
    return [
        in_turn([own[~np.isnan(own)] for own in by_part]) for by_part in zip(*(e.T for e in errors), strict=True)
    ]


def scores_of(parts: Sequence[Series], models: list[dict[str, np.ndarray]], name: str) -> dict[str, float]:
    """A model's average relative variance by output and test span, and the mean where there are several."""
    found = {
        _named(part, on, len(parts)): value
        for part, own in zip(parts, models, strict=True)
        for on, value in part.arv(own[name]).items()
    }
    several = len(parts) > 1 or len(parts[0].outputs) > 1
    return found | ({MEAN: float(np.mean(list(found.values())))} if several else {})


def forecast_rows(series: Series, found: np.ndarray, widths: np.ndarray) -> pl.DataFrame:
    """The forecasts of each row that can be forecast, output by output, as `rows_of` has them.

    Args:
        found, widths: forecasts and half their intervals' widths by target row, (N + farthest, K), in the targets'
            units.
    """
    times, truth = series.times(), series.truth()
    frames = []
    for output, (place, ahead) in enumerate(series.outputs):
        rows = slice(series.first_step + ahead, len(series.table.values) + ahead)
        own = series.columns[place], times[rows], truth[rows, output], found[rows, output], widths[rows, output]
        frames.append(rows_of(*own, ahead if len(series.config.horizons) > 1 else None))
    whole = pl.concat(frames)
    return whole.insert_column(0, pl.lit(series.part).alias("series")) if series.part else whole


def splits_of(series: Series) -> np.ndarray:
    """Of each row that `forecast_rows` has: training, test, or future, which is after the table's end."""
    rows = len(series.table.values)
    split = np.repeat(
        ["training", "test", "future"], np.diff([0, series.spans[0].first, rows, rows + series.farthest])
    )
    return np.concatenate([split[series.first_step + ahead : rows + ahead] for _, ahead in series.outputs])


def rows_of(
    target: str, times: list[str], truth: np.ndarray, found: np.ndarray, width: np.ndarray, horizon: int | None
) -> pl.DataFrame:
    """Columns time, target (its name), horizon unless it is None, truth, forecast, lower and upper.

    Unknown values are left empty.
    """
    width = np.where(np.isfinite(width), width, np.nan)
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


def _in_units(parts: Sequence[Series], found: list[np.ndarray]) -> dict[str, dict[str, float]]:
    """RMSE, MAE and MASE by span.

    MASE is the mean absolute error over that of seasonal persistence one season ahead, or of persistence, in the
    training rows: Hyndman & Koehler (2006), "Another look at measures of forecast accuracy".
    """
    errors: dict[str, dict[str, float]] = {"rmse": {}, "mae": {}, "mase": {}}
    for part, own in zip(parts, found, strict=True):
        left = part.truth() - own
        season = part.seasons[0] if part.seasons else 1
        for name, output, span in part.judged_on:
            rows, named = left[span.first : span.stop, output], _named(part, name, len(parts))
            known = part.table.values[: part.train_rows, part.outputs[output][0]]
            repeated = np.abs(known - persistence(known, season, season)[: len(known)])
            there = ~np.isnan(repeated)
            unit = repeated[there].mean() if there.any() else 0.0
            errors["rmse"][named] = float(np.sqrt(np.nanmean(np.square(rows))))
            errors["mae"][named] = float(np.nanmean(np.abs(rows)))
            if unit > 0:
                errors["mase"][named] = errors["mae"][named] / float(unit)
    return errors


def forecast_verdict(judged: Judged, config: ForecastOptions, shares: list[float]) -> str:
    """The average relative variance beside the best baseline's, in words, and what to do where it is worse.

    Args:
        judged: the scores by model, the trained one first, and how often the intervals held.
        config: of the run.
        shares: as `shares_of` has them.
    """
    (_, own), *others = judged.scores.items()
    baselines = {name: by_span for name, by_span in others if name != LINEAR and by_span.keys() == own.keys()}
    ours, by_name = mean_of_spans(own), {name: mean_of_spans(by_span) for name, by_span in baselines.items()}
    name, best = min(by_name.items(), key=lambda one: one[1])
    difference = f"{abs(ours / best - 1):.0%}" if best else ""
    beside = f"average relative variance {ours:.3g} beside {best:.3g} of {name}"
    if ours == best or difference == "0%":
        said = [f"As good as the best baseline: {beside}."]
    elif ours < best:
        said = [f"Better than every baseline: {beside}, {difference} less."]
    else:
        advice = "more inputs or other --lags" if config.linear else "--linear"
        more = f", {difference} more" if difference else ""
        said = [f"Worse than a baseline: {beside}{more}. Use that, or try {advice} (untried)."]
    if shares and config.validation:
        taken = sum(share > 0 for share in shares)
        part = f"takes part in {taken} of {len(shares)} forecasts" if taken else "is left out"
        said.append(f"The network {part}, by what validation shows beside the linear part.")
    if judged.covered and (held := min(one.share for one in judged.covered.values())) < config.coverage - SHORT:
        said.append(
            f"The intervals held only {held:.0%}, where {100 * config.coverage:.4g}% were asked for: the test "
            "rows are unlike those before."
        )
    return " ".join(said)


def mean_of_spans(by_span: Mapping[str, float]) -> float:
    """A model's score in all test spans together."""
    return by_span[MEAN] if MEAN in by_span else float(np.mean(list(by_span.values())))


def _covered(parts: Sequence[Series], found: list[np.ndarray], widths: list[np.ndarray]) -> dict[str, Held]:
    """How many rows tested on have an interval, and how many of their true values it held."""
    held = {}
    for part, own, width in zip(parts, found, widths, strict=True):
        errors = np.abs(part.truth() - own)
        for name, output, span in part.judged_on:
            rows = slice(span.first, span.stop), output
            there = np.isfinite(width[rows]) & ~np.isnan(errors[rows])
            if there.any():
                within = (errors <= width)[rows][there]
                held[_named(part, name, len(parts))] = Held(int(within.sum()), len(within))
    return held
