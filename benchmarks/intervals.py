"""Coverage of prediction intervals, on series whose errors stay alike and on one whose do not.

    python benchmarks/intervals.py      a made series, seeds 0-4, and the sunspots (two minutes)

Each run keeps 30 % of its training rows for validation, from whose errors the intervals are made; `training` are
intervals from the errors on the training rows themselves, as they are without validation.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from bptt.training.data.tables import Table
from bptt.training.loop import Training
from bptt.training.network import network_of
from bptt.training.options.forecast import ForecastOptions, SunspotOptions
from bptt.training.tasks import intervals
from bptt.training.tasks.forecast import Forecast, sunspot_forecast, table_forecast


def made(seed: int) -> Table:
    """2000 rows of an autoregression with a season of 24."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_t(5, 2000)
    values = np.zeros(2000)
    for i in range(1, 2000):
        values[i] = 0.7 * values[i - 1] + np.sin(2 * np.pi * i / 24) + noise[i]
    return Table("made", list(range(2000)), ["y"], values[:, None])


def covered(task: Forecast, config: ForecastOptions) -> dict[str, float]:
    """The part of the test rows that the intervals of a trained run held."""
    model = network_of(config, task)
    Training(model, task.updates(model), config).run()
    with tempfile.TemporaryDirectory() as folder:
        found = task.judge(task.whole(model), "this run", Path(folder) / "forecast.csv").covered
    return {name: held.share for name, held in found.items()}


def main() -> None:
    """Print the coverage asked for and what was held."""
    for coverage in (0.5, 0.8, 0.9):
        for source, validation in (("validation", 0.3), ("training", 0.0)):
            plain = ForecastOptions(coverage=coverage, validation=validation, horizon=(1, 12), epochs=100)
            runs = []
            for seed in range(5):
                config = replace(plain, seed=seed)
                runs.append(list(covered(table_forecast(made(seed), config), config).values()))
            near, far = np.mean(runs, 0)
            print(f"made series, {coverage:.0%} from {source}: {near:.1%} 1 ahead, {far:.1%} 12 ahead", flush=True)
    for source, validation in (("validation", 0.3), ("training", 0.0)):
        config = SunspotOptions(validation=validation)
        held = covered(sunspot_forecast(config), config)
        said = ", ".join(f"{value:.0%} in {name}" for name, value in held.items())
        print(f"sunspots, 90% from {source}: {said}", flush=True)
    rates()


def rates() -> None:
    """Print what intervals held at other rates of adaptation, on the made series 12 rows ahead."""
    for rate in (0.0, 0.005, 0.02, 0.07, 0.2):
        with patch.object(intervals, "RATE", rate):
            config = ForecastOptions(validation=0.3, horizon=12, epochs=20)
            made_held = np.mean(
                [[*covered(table_forecast(made(seed), config), config).values()] for seed in range(3)]
            )
            config = SunspotOptions(validation=0.3)
            held = ", ".join(f"{value:.0%}" for value in covered(sunspot_forecast(config), config).values())
        print(f"90%, adapted by a rate of {rate:g}: made series {made_held:.1%}; sunspots {held}", flush=True)


if __name__ == "__main__":
    main()
