"""Scores of forecasts beside the baselines, their intervals and coverage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import nn

from ...files import replacing
from ...forecast_model import ForecastModel
from ..options.forecast import ForecastOptions
from ..transfer import device_of, to_device
from .baselines import Baselines
from .forecast_rows import rows_of
from .forecasting import output_words
from .intervals import AdaptiveWidth, Intervals, half_width, in_turn
from .series import Series, Span, WalkedSteps
from .task import ARV, ARV_OF_SUNSPOTS, Held, Judged, WholeModel

MEAN = "mean"
LINEAR = "its linear part alone"
SHORT = 0.1  # of the coverage asked for: intervals that held so much less are warned of
COUNTED = 10  # true values from which on a share of them says something


def judged(parts: Sequence[Series], whole: WholeModel, title: str, path: Path) -> Judged:
    """Forecast every row of one series or many, write the forecasts, and compare with the baselines.

    Args:
        whole: the model of the run.
        title: the name of the model in the scores.
        path: the file to write.
    """
    model, first, config, sizes = whole.model, parts[0], parts[0].config, errors_held_out(whole)
    scored = [_Scored(part, model, title, sizes) for part in parts]
    with replacing(path) as file:
        is_first = True
        for own in scored:
            for frame in own.frames():
                file.write(frame.write_csv(include_header=is_first).encode())
                is_first = False
    named = [
        (_named(own.series, on, len(parts)), own, place)
        for own in scored
        for place, (on, _, _) in enumerate(own.judged_on)
    ]
    several = len(parts) > 1 or len(first.outputs) > 1
    scores = {}
    for place, model_name in enumerate(scored[0].names):
        found = {name: own.relative_variance(place, on) for name, own, on in named}
        scores[model_name] = found | ({MEAN: float(np.mean(list(found.values())))} if several else {})
    ends = list(zip(*(own.widths for own in scored), strict=True))
    source = "validation" if any(part.has_validation for part in parts) else "training"
    result = Judged(
        scores=scores,
        rmse={name: own.rmse(on) for name, own, on in named},
        mae={name: own.mae(on) for name, own, on in named},
        mase={name: own.mae(on) / unit for name, own, on in named if (unit := own.unit(on)) > 0},
        rows=pl.concat([frame for own in scored for shown in own.shown for frame in shown]),
        outputs={name: own.output(on) for name, own, on in named},
        spans=[(span.name, _time(first, span.first), _time(first, span.stop - 1)) for span in first.spans],
        intervals=Intervals.of(ends, [len(one) for one in sizes], config.coverage, source),
        covered={name: Held(*counts) for name, own, on in named if (counts := own.held[on].tolist())[1]},
        measure=ARV if config.data is not None else ARV_OF_SUNSPOTS,
    )
    verdict = forecast_verdict(result, config, shares_of(model) if source == "validation" else [])
    return replace(result, scores=result.scores | first.published, verdict=verdict)


def shares_of(model: nn.Module) -> list[float]:
    """How much of the network each forecast takes; empty without a linear part."""
    return model.share.tolist() if isinstance(model, ForecastModel) else []


class _JudgedOn(NamedTuple):
    """Rows on which an output is judged."""

    name: str
    output: int
    span: Span


class _Scored:
    """The forecasts of a series and of its baselines piece by piece, and the sums of their errors."""

    def __init__(self, series: Series, model: nn.Module, title: str, sizes: list[np.ndarray]) -> None:
        self.series, self._model, self._baselines = series, model, Baselines(series)
        alone = [LINEAR] if isinstance(model, ForecastModel) else []
        self.names = [title, *alone, *self._baselines.names]
        self.judged_on = _judged_on(series)
        coverage, horizons = series.config.coverage, [ahead for _, ahead in series.outputs]
        self._fixed = [half_width(own, coverage) for own in sizes]
        self.widths = [
            AdaptiveWidth(own.tolist(), coverage, ahead) for own, ahead in zip(sizes, horizons, strict=True)
        ]
        # by model and judged part, and how many there are
        self._squares, self._counts = np.zeros((2, len(self.names), len(self.judged_on)))
        self._absolute = np.zeros(len(self.judged_on))  # of the model alone
        self.held = np.zeros((len(self.judged_on), 2), dtype=int)  # within their intervals, and with one
        self.shown: list[list[pl.DataFrame]] = [[] for _ in horizons]  # by output
        self._units = _changes(series)

    def frames(self) -> Iterator[pl.DataFrame]:
        """The rows of the file, output by output of each piece."""
        for walked in self.series.walked(self._model, self._baselines.before):
            piece = walked.piece
            found, truth = np.stack(self._forecasts(walked)), piece.targets(self.series.outputs)
            for output, (_, ahead) in enumerate(self.series.outputs):
                rows = np.arange(piece.row, piece.row + piece.steps) + ahead
                own = rows >= self.series.first_written
                yield self._frame(output, rows[own], truth[own, output], found[:, own, output])
        for width in self.widths:
            width.settle()

    def _forecasts(self, walked: WalkedSteps) -> list[np.ndarray]:
        """Of each model, (T, K) in the targets' units."""
        outputs = [walked.y]
        if isinstance(self._model, ForecastModel):
            with torch.no_grad():
                outputs.append(self._model.path(to_device(walked.x, device_of(self._model))).to(walked.y.device))
        return [*map(self.series.in_units, outputs), *self._baselines(walked.piece).values()]

    def _frame(self, output: int, rows: np.ndarray, truth: np.ndarray, found: np.ndarray) -> pl.DataFrame:
        """Add up the errors of forecasts (models, N) of some rows, and give the rows of the file."""
        series, (place, _) = self.series, self.series.outputs[output]
        errors, unit, start = np.abs(truth - found), series.scaling.std[place], series.spans[0].first
        width = np.full(len(rows), self._fixed[output] * unit)
        width[rows >= start] = self.widths[output].along(errors[0, rows >= start] / unit) * unit
        for number, (_, own, span) in enumerate(self.judged_on):
            if own == output:
                on = slice(*np.searchsorted(rows, [span.first, span.stop]))
                self._add(number, errors[:, on], width[on])
        frame = rows_of(series, output, rows, truth, found[0], width)
        split = np.searchsorted([start, series.rows], rows, side="right")
        said = pl.Series("split", np.array(["training", "test", "future"])[split], dtype=pl.String)
        self.shown[output].append(frame.with_columns(said).filter(rows >= series.first_shown))
        return frame

    def _add(self, number: int, errors: np.ndarray, width: np.ndarray) -> None:
        for place, own in enumerate(errors):
            self._squares[place, number] += np.nansum(np.square(own))
            self._counts[place, number] += (~np.isnan(own)).sum()
        self._absolute[number] += np.nansum(errors[0])
        there = np.isfinite(width) & ~np.isnan(errors[0])
        self.held[number] += (errors[0] <= width)[there].sum(), there.sum()

    def relative_variance(self, model: int, number: int) -> float:
        """The average relative variance: mean squared error / variance."""
        variance = self.series.variances[self._place(number)]
        return float(self._squares[model, number] / self._counts[model, number]) / variance

    def rmse(self, number: int) -> float:
        return float(np.sqrt(self._squares[0, number] / self._counts[0, number]))

    def mae(self, number: int) -> float:
        return float(self._absolute[number] / self._counts[0, number])

    def unit(self, number: int) -> float:
        """The mean absolute error that MASE divides by."""
        return self._units[self._place(number)]

    def output(self, number: int) -> tuple[str, int]:
        """The target and the horizon."""
        place, ahead = self.series.outputs[self.judged_on[number].output]
        return self.series.columns[place], ahead

    def _place(self, number: int) -> int:
        return self.series.outputs[self.judged_on[number].output][0]


def _judged_on(series: Series) -> list[_JudgedOn]:
    """The judged parts of a series.

    A name has the target where there are several, the horizon where there are, and the span where there are or
    where nothing else is to be said.
    """
    found = []
    for output, said in enumerate(output_words(series.columns, series.outputs)):
        for span in series.spans:
            own = [*said, span.name] if len(series.spans) > 1 or not said else said
            found.append(_JudgedOn(", ".join(own), output, span))
    return found


def _changes(series: Series) -> list[float]:
    """By target, the mean absolute error in the training rows of persistence, or over a season where there is one.

    The unit of MASE: Hyndman & Koehler (2006), "Another look at measures of forecast accuracy".
    """
    back, targets = series.seasons[0] if series.seasons else 1, range(len(series.variances))
    total, count = np.zeros((2, len(targets)))
    for piece in series.begun_pieces(back, series.train_rows, back):
        for place in targets:
            past = piece.past(place)
            changes = np.abs(past[back:] - piece.carried(place)[:-back])
            there = ~np.isnan(changes)
            total[place] += changes[there].sum()
            count[place] += there.sum()
    return (total / np.maximum(count, 1)).tolist()


def _time(series: Series, row: int) -> str:
    return series.table.timestamps_at(max(row, series.first_shown), 1).texts[0]


def errors_held_out(whole: WholeModel) -> list[np.ndarray]:
    """By output, the absolute errors at the validation steps, standardised; without any, at the training steps.

    Those that are there, of several series in turn; beside a linear path, those beside the one that is fitted
    without the validation rows.
    """
    share, scale, model = 1, 1, whole.model
    if isinstance(model, ForecastModel):
        share, scale = (one.double().cpu().numpy() for one in (model.share, model.path.scale))
    errors = [scale * np.abs(share * y - d) for y, d in whole.held_out]
    return [
        in_turn([own[~np.isnan(own)] for own in by_part]) for by_part in zip(*(e.T for e in errors), strict=True)
    ]


def _named(part: Series, on: str, parts: int) -> str:
    """The name of a score among all of the task."""
    if parts == 1:
        return on
    return f"{part.part}, {on}" if len(part.outputs) > 1 else part.part


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
        why = "it lowers the linear part's error" if taken else "it does not clearly lower the linear part's error"
        said.append(f"The network {part}: on the validation rows {why}.")
    enough = [one.share for one in judged.covered.values() if one.rows >= COUNTED]
    if enough and (held := min(enough)) < config.coverage - SHORT:
        said.append(
            f"The intervals held only {held:.0%}, where {100 * config.coverage:.4g}% were asked for: the test "
            "rows are unlike those before."
        )
    return " ".join(said)


def mean_of_spans(by_span: Mapping[str, float]) -> float:
    """A model's score in all test spans together."""
    return by_span[MEAN] if MEAN in by_span else float(np.mean(list(by_span.values())))
