"""The sunspot recipe: how it scores on the test years, and on the years it was chosen by.

    python benchmarks/sunspots.py test      seeds 0-4 on 1921-1955, 1956-1979 and 1980-2008 (half a minute)
    python benchmarks/sunspots.py choose    recipes beside each other inside 1700-1920 (about ten minutes)

`choose` never sees a year after 1920: the record is cut there, every recipe learns from its start and forecasts
the years that follow, from five origins; its score is its relative variance over that of a linear AR(9) learned
from the same years, averaged over the origins, median over three seeds.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import replace

import numpy as np
from square_errors import errors_of_baseline, errors_of_model

from bptt.training.data.scaling import Scaling
from bptt.training.data.tables import Table, sunspots
from bptt.training.loop import Training
from bptt.training.network import build
from bptt.training.options.forecast import ForecastOptions, SunspotOptions
from bptt.training.tasks.forecast import SUNSPOT_VARIANCE, Forecast, Span, sunspot_forecast
from bptt.training.tasks.seasons import lookback_of

ORIGINS = ((1776, 1800), (1840, 1880), (1860, 1900), (1880, 1920), (1900, 1920))

RECIPES = {
    "default": {},
    "leak 1 (plain units)": {"leak": 1.0},
    "leak 0.5": {"leak": 0.5},
    "lags 1": {"lags": 1},
    "lags 3": {"lags": 3},
    "hidden 6": {"hidden": 6},
    "init 1 (torch's)": {"init": 1.0},
    "noise 0.1": {"noise": 0.1},
    "epochs 600": {"epochs": 600},
}


def arv(task: Forecast) -> dict[str, float]:
    """Train by the recipe and return the average relative variance on the task's spans."""
    model = build(task.config, task.read_size)
    Training(model, task.updates(model), task.config).run()
    return relative_variances(task, errors_of_model(task, model))


def relative_variances(task: Forecast, squares: np.ndarray) -> dict[str, float]:
    """Of square errors by row (N, 1), on the task's spans."""
    return {
        span.name: float(np.nanmean(squares[span.first : span.stop]) / SUNSPOT_VARIANCE) for span in task.spans
    }


def origin(last_learned: int, last_tested: int, config: ForecastOptions) -> Forecast:
    """The record cut after `last_tested`, trained on up to `last_learned`."""
    whole = sunspots()
    learned, rows = last_learned - 1700 + 1, last_tested - 1700 + 1
    table = Table(whole.name, whole.times[:rows], whole.columns, whole.values[:rows])
    span = Span(f"{last_learned + 1}-{last_tested}", learned, rows)
    scaling = Scaling.of(table.values[:learned], table.columns)
    lookback = lookback_of([], learned, config)
    return Forecast(config, learned, scaling, *lookback, table, spans=[span], variances=[SUNSPOT_VARIANCE])


def score(config: ForecastOptions) -> float:
    """Mean over the origins of the recipe's ARV over AR(9)'s."""
    ratios = []
    for first, last in ORIGINS:
        task = origin(first, last, config)
        linear = errors_of_baseline(task, f"linear AR({task.order})")
        ratios += [arv(task)[span] / wanted for span, wanted in relative_variances(task, linear).items()]
    return statistics.mean(ratios)


def test() -> None:
    """Print the test scores of seeds 0-4, their median and their range."""
    runs = [arv(sunspot_forecast(SunspotOptions(seed=seed))) for seed in range(5)]
    print("seed       " + "  ".join(f"{span:>11}" for span in runs[0]))
    for seed, run in enumerate(runs):
        print(f"{seed:<11}" + "  ".join(f"{value:>11.3f}" for value in run.values()))
    medians = (statistics.median(run[span] for run in runs) for span in runs[0])
    print("median     " + "  ".join(f"{median:>11.3f}" for median in medians))


def choose() -> None:
    """Print the score of each recipe on years up to 1920."""
    print("score: ARV / ARV of AR(9), mean of five origins, three seeds")
    for name, choices in RECIPES.items():
        scores = sorted(score(replace(SunspotOptions(), seed=seed, **choices)) for seed in (10, 11, 12))
        print(f"{name:<22} {scores[1]:.3f}   ({scores[0]:.3f} to {scores[-1]:.3f})", flush=True)


if __name__ == "__main__":
    commands = {"test": test, "choose": choose}
    if sys.argv[1:2] == [] or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]]()
