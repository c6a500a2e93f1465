"""Variants of the forecast recipe, scored by rolling validation within the training rows of public series.

`python benchmarks/forecasts.py --choose` prints the table. Each variant is fitted to the first 60, 70, 80 and 90 %
of a series' training rows and forecasts the 10 % after them; the test rows take no part. The network is trained
on the first 80 % and judged on the last 20 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from public_series import PublicSeries
from square_errors import errors_of_baseline, errors_of_model, square_errors
from torch import Tensor, nn

from bptt.forecast_model import ForecastModel
from bptt.training.data.tables import Selection, Table, select
from bptt.training.loop import Training
from bptt.training.network import network_of
from bptt.training.options.forecast import ForecastOptions
from bptt.training.tasks import forecast, linear_part, ridge, seasons
from bptt.training.tasks.forecast import Forecast
from bptt.training.tasks.linear_part import LinearPaths
from bptt.training.tasks.ridge import Inputs
from bptt.training.tasks.seasons import lags_of
from bptt.training.tasks.whole_model import whole_of

CUTS = (0.6, 0.7, 0.8, 0.9, 1.0)  # of the training rows
NETWORK_CUTS = (0.8, 1.0)
fit_output = ridge.fit_output
_sure = partial(patch.object, linear_part, "SURE")


def _weighed(power: float) -> AbstractContextManager[object]:
    """Candidates by exp(-power · n/2 · (E / E_min - 1))."""

    def fit(sums: np.ndarray, candidates: list, ahead: int, spectra: object) -> tuple:
        return fit_output(sums, candidates, ahead / power, spectra)  # pyright: ignore

    return patch.object(ridge, "fit_output", fit)


def _twice(found: Sequence[int], horizons: Sequence[int], train_rows: int) -> tuple[list[int], int]:
    """As `lags_of`, with all lags of two short seasons."""
    lags, dense = lags_of(found, horizons, train_rows)
    short = [one for one in found if one <= seasons.DENSE and seasons.REPEATED * one <= train_rows]
    dense = max(dense, min(2 * max(short) + 1, train_rows // seasons.PER_LAG)) if short else dense
    return sorted({*lags, *range(dense)}), dense


_anchors = Inputs.anchors


def _last_value(layout: Inputs, target: int, ahead: int, seasons: Sequence[int]) -> list[np.ndarray]:
    """As `Inputs.anchors` without seasons."""
    return _anchors(layout, target, ahead, ())


LINEAR: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "as it is": nullcontext,
    "all lags of a season up to 60 rows": partial(patch.object, seasons, "DENSE", 60),
    "all lags of two seasons": partial(patch.object, seasons, "lags_of", _twice),
    "averaged by exp(-n/8 ...)": partial(_weighed, 0.25),
    "averaged by exp(-2n ...)": partial(_weighed, 4),
    "the best candidate alone": partial(_weighed, 1e9),
    "from the last value alone": partial(patch.object, Inputs, "anchors", _last_value),
    "nothing forgotten": partial(patch.object, ridge, "FORGETTING", (1.0,)),
    "errors of folds as they are": partial(patch.object, ridge, "RELATIVE", 0.0),
    "errors of folds over those of persistence": partial(patch.object, ridge, "RELATIVE", 1.0),
    "errors of quiet folds as they are": partial(patch.object, ridge, "LEAST_UNIT", 0.0),
    "errors of folds over a tenth of the largest": partial(patch.object, ridge, "LEAST_UNIT", 0.1),
    "levels penalised, not changes": partial(patch.object, Inputs, "changes", lambda self: np.eye(self.size)),
}
RULES: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "never": partial(_sure, np.inf),
    "where it saves anything": partial(_sure, 0.0),
    "where it saves 2 standard errors": partial(_sure, 2.0),
    "where it saves 3 standard errors (as it is)": partial(_sure, 3.0),
}
SEEDS = 3
WAYS = {
    "": (1, False),
    "; 2 seeds": (2, False),
    "; 3 seeds": (3, False),
    "; refit": (1, True),
    "; 3, refit": (3, True),
}
NETWORK = [(rule, way) for rule in RULES for way in (WAYS if rule != "never" else [""])]


def _tasks(public: PublicSeries, cuts: Sequence[float]) -> list[Forecast]:
    """The training rows cut at each place but the last, to be tested up to the next."""
    frame = public.frame()
    names = [name for name in frame.columns if name != "t"]
    table = select(frame, "a series", Selection(("y",), tuple(names[1:]), "t"))
    rows = len(table.values) - max(1, round(len(table.values) * ForecastOptions.test))
    found = []
    for start, stop in pairwise(round(rows * cut) for cut in cuts):
        part = Table(table.name, table.times[:stop], table.columns, table.values[:stop])
        config = ForecastOptions(target="y", time="t", horizon=public.horizons, test=1 - start / stop)
        found.append(forecast.table_forecast(part, config))
    return found


def _tested(task: Forecast, errors: np.ndarray) -> np.ndarray:
    """The sums of square errors over the rows tested on, (K)."""
    return errors[task.train_rows :].sum(0)


def _of_persistence(task: Forecast) -> np.ndarray:
    return _tested(task, errors_of_baseline(task, "persistence"))


def _of_linear_part(task: Forecast) -> np.ndarray:
    assert task.paths is not None
    ((row, x, _),) = task.examples(task.first_step, task.rows)
    return _tested(task, square_errors(task, task.in_units(task.paths.final(x)), row))


def _linear(public: PublicSeries, variant: AbstractContextManager[object]) -> np.ndarray:
    """MSE / that of persistence by horizon, of the linear part."""
    with variant:
        tasks = _tasks(public, CUTS)
    return np.sum([_of_linear_part(task) for task in tasks], 0) / np.sum(
        [_of_persistence(task) for task in tasks], 0
    )


class _Mean(nn.Module):
    """The mean of networks' outputs."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor, states: Any = None) -> tuple[Tensor, Any]:
        states = states or [None] * len(self.networks)
        pairs = [network(x, state) for network, state in zip(self.networks, states, strict=True)]
        return torch.stack([y for y, _ in pairs]).mean(0), [state for _, state in pairs]


def _trained(task: Forecast) -> tuple[nn.Module, nn.Module]:
    """The network of a task, and one trained for as many updates on all rows."""
    network = network_of(task.config, task)
    best = Training(network, task.updates(network), task.config).run().best
    assert task.paths is not None
    paths = LinearPaths(task.paths.final, task.paths.final)
    whole = replace(task, config=replace(task.config, validation=0.0), paths=paths)
    refit = network_of(whole.config, whole)
    training = Training(refit, whole.updates(refit), whole.config)
    training.run(should_stop=lambda: len(training.epochs) >= best)
    return network, refit


def _networks(public: PublicSeries) -> list[np.ndarray]:
    """The same of the whole model, for each rule that takes the network or not, and each way to train it."""
    (task,) = _tasks(public, NETWORK_CUTS)
    assert task.paths is not None
    seeds = [replace(task, config=replace(task.config, seed=seed)) for seed in range(SEEDS)]
    networks, refits = zip(*map(_trained, seeds), strict=True)
    found = []
    for rule, way in NETWORK:
        count, is_refit = WAYS[way]
        mean: Any = _Mean(networks[:count])
        final: Any = _Mean(refits[:count]) if is_refit else mean
        with RULES[rule]():
            share = whole_of([task], mean).model.share
        model = ForecastModel(task.paths.final, final)
        model.share.copy_(torch.as_tensor(share))
        found.append(_tested(task, errors_of_model(task, model)) / _of_persistence(task))
    return found


def _print(title: str, names: Sequence[str], ratios: np.ndarray) -> None:
    """A line for each variant; ratios (variants, series and horizons)."""
    print(f"{title:<56}{'geom. mean':>12}{'worst':>8}{'above 1.1':>11}{'better / worse':>16}", flush=True)
    ours = ratios[[name.endswith(("as it is", "(as it is)")) for name in names].index(True)]
    for name, own in zip(names, ratios, strict=True):
        sides = f"{(own < 0.99 * ours).sum()} / {(own > 1.01 * ours).sum()}"
        mean = np.exp(np.log(own).mean())
        print(f"{name:<56}{mean:12.4f}{own.max():8.2f}{(own > 1.1).sum():11}{sides:>16}", flush=True)


def choose(series: dict[str, PublicSeries]) -> None:
    """Print the tables: each variant's ratios, and on how many it is 1 % better or worse than what is done."""
    table = [[_linear(public, variant()) for public in series.values()] for variant in LINEAR.values()]
    _print("linear part", list(LINEAR), np.array(table).reshape(len(LINEAR), -1))
    networks = np.stack([np.stack(_networks(public)) for public in series.values()], axis=1)
    _print("network beside it", ["".join(pair) for pair in NETWORK], networks.reshape(len(NETWORK), -1))
