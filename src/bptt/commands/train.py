"""`bptt train`: from a table to a run folder."""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..insight.contributions import gradient_by_lag
from ..networks import SequenceModel
from ..report.run import RunReport, run_page
from ..report.tables import score_table
from ..training.config import TrainConfig, check
from ..training.data import read_table
from ..training.errors import TrainingDiverged, UserError
from ..training.fit import Epoch, Fitted, build, fit, predict
from ..training.snapshot import save_config, save_model
from ..training.tasks import (
    Forecast,
    autoregression,
    forecast_rows,
    persistence,
    sunspot_forecast,
    table_forecast,
)
from .interruption import Interruption


def train(config: TrainConfig) -> int:
    """Check, train, judge and write the run folder; returns the exit code.

    Raises:
        UserError: before anything is written, for data or options that cannot be used.
        TrainingDiverged: with the last finite weights saved.
    """
    check(config)
    task = _task(config)
    console = Console()
    folder = _new_folder(config)
    save_config(folder, config, task)
    model = build(config, len(task.table.columns) * task.lags)
    x, d = task.inputs(), task.targets()
    known = len(d)
    lags_before = gradient_by_lag(model, x[:known], d)
    started = time.perf_counter()
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as metrics, Interruption() as interruption:
        try:
            fitted = _fit(model, task, config, console, metrics, interruption)
        except TrainingDiverged:
            save_model(folder, model)
            raise
        save_model(folder, model)
        seconds = time.perf_counter() - started
        lags = {"start": lags_before, "end": gradient_by_lag(model, x[:known], d)}
        found = task.forecasts(predict(model, x))
        scores = _scores(task, config, found)
        forecast_rows(task, found).write_csv(folder / "forecast.csv")
        by_lag = {when: _top_layer(norms) for when, norms in lags.items()}
        last = {
            "event": "test",
            "arv": task.arv(found),
            "rmse": {name: math.sqrt(arv * task.variance) for name, arv in task.arv(found).items()},
            "baselines": dict(list(scores.items())[1:]),
            "epochs": len(fitted.epochs),
            "best_epoch": fitted.best,
            "interrupted": fitted.interrupted,
            "seconds": round(seconds, 3),
            "gradient_by_lag": by_lag,
        }
        metrics.write(json.dumps(last) + "\n")
    page = run_page(_report(folder.name, task, config, fitted, found, scores, by_lag))
    (folder / "report.html").write_text(page, encoding="utf-8")
    _say_results(console, task, config, fitted, scores, folder, seconds)
    return interruption.exit_code


def _task(config: TrainConfig) -> Forecast:
    if config.data is None or config.target is None:
        return sunspot_forecast(config)
    table = read_table(config.data, config.target, config.inputs, config.time, config.missing)
    return table_forecast(table, config)


def _new_folder(config: TrainConfig) -> Path:
    """Make the run folder: the one asked for, which must be new, or the next free name in runs/."""
    try:
        if config.out is not None:
            config.out.mkdir(parents=True)
            return config.out
        stem = "sunspots" if config.data is None else re.sub(r"[^\w.-]+", "-", config.data.stem)
        for number in range(1, 1_000_000):
            folder = Path("runs") / f"{stem}-{config.cell}-{number:03d}"
            if not folder.exists():
                folder.mkdir(parents=True)
                return folder
        raise UserError("runs/ holds a million runs of this name; pass --out FOLDER")
    except FileExistsError as error:
        raise UserError(f"{config.out} exists already and is not overwritten; pass another --out") from error
    except OSError as error:
        raise UserError(f"the run folder {error.filename} cannot be made: {error.strerror}; pass --out") from error


def _fit(
    model: SequenceModel,
    task: Forecast,
    config: TrainConfig,
    console: Console,
    metrics: IO[str],
    interruption: Interruption,
) -> Fitted:
    """Train with a progress bar, a line of metrics for each epoch, and an ear for Ctrl-C."""
    parameters = sum(p.numel() for p in model.parameters())
    console.print(
        f"{config.cell} network, {config.hidden} units, {parameters} weights; "
        f"{task.train_steps} training steps of {task.table.columns[0]}, full BPTT",
        markup=False,
        highlight=False,
    )
    columns = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[losses]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task("epochs", total=config.epochs, losses="")

        def on_epoch(epoch: Epoch) -> None:
            metrics.write(json.dumps({"event": "epoch", **epoch._asdict()}) + "\n")
            metrics.flush()
            losses = f"loss {epoch.loss:.4f}"
            losses += "" if epoch.validation is None else f"  validation {epoch.validation:.4f}"
            progress.update(bar, advance=1, losses=losses)

        n = task.train_steps
        return fit(model, task.inputs()[:n], task.targets()[:n], config, on_epoch, interruption.came)


def _scores(task: Forecast, config: TrainConfig, found: np.ndarray) -> dict[str, dict[str, float]]:
    """Average relative variance of this run, the baselines fitted in it, and published figures."""
    name, linear = autoregression(task)
    return {
        f"this run ({config.cell})": task.arv(found),
        "persistence": task.arv(persistence(task)),
        name: task.arv(linear),
        **task.published,
    }


def _report(
    name: str,
    task: Forecast,
    config: TrainConfig,
    fitted: Fitted,
    found: np.ndarray,
    scores: dict[str, dict[str, float]],
    by_lag: dict[str, list[float]],
) -> RunReport:
    rows, times = forecast_rows(task, found), task.times()
    ahead = "one step" if task.horizon == 1 else f"{task.horizon} steps"
    return RunReport(
        title=name,
        summary=[
            f"{task.table.columns[0]} of {task.table.name}, forecast {ahead} ahead by {_article(config.cell)} "
            f"network of {config.hidden} units, trained by full backpropagation through time.",
            _ending(fitted, config),
        ],
        choices={key: value for key, value in asdict(config).items() if value not in (None, ())},
        target=task.table.columns[0],
        times=rows["time"].to_list(),
        truth=rows["truth"].to_list(),
        forecast=rows["forecast"].to_list(),
        spans=[(span.name, times[span.first], times[span.stop - 1]) for span in task.spans],
        scores=scores,
        losses=[epoch.loss for epoch in fitted.epochs],
        validation=[epoch.validation for epoch in fitted.epochs if epoch.validation is not None],
        lag_start=by_lag["start"],
        lag_end=by_lag["end"],
    )


def _say_results(
    console: Console,
    task: Forecast,
    config: TrainConfig,
    fitted: Fitted,
    scores: dict[str, dict[str, float]],
    folder: Path,
    seconds: float,
) -> None:
    console.print(f"{_ending(fitted, config)} ({seconds:.1f} s)\n", highlight=False)
    console.print(score_table(scores, [span.name for span in task.spans]))
    console.print(f"written to {folder}/   open {folder}/report.html", highlight=False, soft_wrap=True)


def _ending(fitted: Fitted, config: TrainConfig) -> str:
    epochs = len(fitted.epochs)
    said = f"Trained {epochs} epochs"
    if fitted.interrupted:
        said = f"Stopped after {epochs} of {config.epochs} epochs"
    if config.validation:
        said += f"; kept the weights of epoch {fitted.best}, the best on validation"
    return said + "."


def _article(cell: str) -> str:
    return "an Elman" if cell == "elman" else f"a {cell.upper()}" if cell == "gru" else f"an {cell.upper()}"


def _top_layer(norms: dict) -> list[float]:
    return list(norms.values())[-1].tolist()
