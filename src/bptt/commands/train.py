"""`bptt train`: from a table to a run folder."""

from __future__ import annotations

import contextlib
import json
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..insight.contributions import gradient_by_lag
from ..networks import SequenceModel
from ..reach.plan import bytes_in
from ..report.run import run_page
from ..report.tables import score_table
from ..training.config import TrainConfig, check
from ..training.data import read_table
from ..training.errors import TrainingDiverged, UserError
from ..training.files import write_whole
from ..training.fit import Epoch, Fitted, Training, build
from ..training.run import check_same_data, locked, read_config, save_config, save_model
from ..training.snapshot import Snapshots
from ..training.tasks.forecast import sunspot_forecast, table_forecast
from ..training.tasks.streamed import is_streamed, streamed_forecast
from ..training.tasks.task import Task
from ..training.tensors import write_tensors
from .interruption import Interruption
from .result import Result, reach


@dataclass
class Work:
    """A training under way and the folder it is written to."""

    config: TrainConfig
    task: Task
    model: SequenceModel
    training: Training
    folder: Path
    by_lag: list[float]  # mean gradient norm by lag of the last layer, before training
    seconds: float  # spent on training so far

    def look(self) -> list[float]:
        """The mean gradient norm by lag of the last layer, now."""
        return gradient_by_lag(self.model, *self.task.sample())[f"l{self.config.layers - 1}"].tolist()


def train(config: TrainConfig) -> int:
    """Check, train, judge and write the run folder; returns the exit code.

    Raises:
        UserError: before anything is written, for data or options that cannot be used.
        TrainingDiverged: with the last finite weights saved.
    """
    console = Console()
    if config.resume is not None:
        return _resumed(config, console)
    task, model, training = _prepared(config, console)
    folder = _new_folder(config)
    with locked(folder):
        save_config(folder, config, task)
        work = Work(config, task, model, training, folder, [], 0.0)
        work.by_lag = work.look()
        return _finished(work, console)


def _resumed(given: TrainConfig, console: Console) -> int:
    """Go on with a run where its last snapshot stands."""
    folder = given.resume
    assert folder is not None
    others = [f.name for f in fields(given) if f.name != "resume" and getattr(given, f.name) != f.default]
    if others:
        raise UserError(
            f"--resume goes on with the choices in {folder}/config.toml, and --{others[0].replace('_', '-')} was "
            "given as well; leave it out, or begin a new run"
        )
    if not folder.is_dir():
        raise UserError(f"{folder} is not a run folder: there is no such folder; `bptt train` makes one")
    with locked(folder):
        config, columns, scaling = read_config(folder / "config.toml")
        if _is_finished(folder):
            _print(console, f"{folder} is finished: there is nothing to go on with")
            return 0
        task, model, training = _prepared(config, console)
        check_same_data(folder, task, columns, scaling)
        saved, wrong = Snapshots(folder / "snapshots").load()
        for problem in wrong:
            _print(console, f"warning: {problem}; the snapshot before it is used")
        work = Work(config, task, model, training, folder, [], 0.0)
        if saved is None:
            work.by_lag = work.look()
        else:
            training.load_state_dict(saved["training"])
            work.by_lag, work.seconds = saved["by_lag"], saved["seconds"]
        return _finished(work, console)


def _prepared(config: TrainConfig, console: Console) -> tuple[Task, SequenceModel, Training]:
    """Everything that can be wrong with options and data is, before anything is written."""
    check(config)
    _check_memory(config)
    task = _task(config, console)
    model = build(config, len(task.columns) * config.lags)
    return task, model, Training(model, task.updates(model, config), config)


def _task(config: TrainConfig, console: Console) -> Task:
    """The task, its data checked; what is odd about them is said in a line each."""
    with warnings.catch_warnings(record=True) as odd:
        warnings.simplefilter("always")
        if config.data is None or config.target is None:
            task = sunspot_forecast(config)
        elif is_streamed(config):
            task = streamed_forecast(config)
            _print(console, f"{config.data.name} has {task.source.rows:,} rows and is read piece by piece")
        else:
            table = read_table(config.data, config.target, config.inputs, config.time, config.missing)
            task = table_forecast(table, config)
    for warning in odd:
        _print(console, f"warning: {warning.message}")
    return task


def _check_memory(config: TrainConfig) -> None:
    """--memory is a number of bytes."""
    try:
        bytes_in(config.memory or 1)
    except ValueError as error:
        raise UserError(f"--{error}") from error


def _new_folder(config: TrainConfig) -> Path:
    """Make the run folder: the one asked for, which must be new, or the next free name in runs/."""
    try:
        if config.out is not None:
            config.out.mkdir(parents=True)
            return config.out
        stem = "sunspots" if config.data is None else re.sub(r"[^\w.-]+", "-", config.data.stem)
        for number in range(1, 1_000_000):
            folder = Path("runs") / f"{stem}-{config.cell}-{number:03d}"
            with contextlib.suppress(FileExistsError):
                folder.mkdir(parents=True)
                return folder
        raise UserError("runs/ holds a million runs of this name; pass --out FOLDER")
    except FileExistsError as error:
        raise UserError(
            f"{config.out} exists already and is not overwritten; pass another --out, or go on with it by "
            f"--resume {config.out}"
        ) from error
    except OSError as error:
        raise UserError(f"the run folder {error.filename} cannot be made: {error.strerror}; pass --out") from error


def _finished(work: Work, console: Console) -> int:
    """Train to the end or until asked to stop, judge, and write everything; returns the exit code."""
    with _metrics(work) as metrics, Interruption() as interruption:
        fitted = _fit(work, console, metrics, interruption)
        judged = work.task.judge(work.model, f"this run ({work.config.cell})", work.folder / "forecast.csv")
        by_lag = {"start": work.by_lag, "end": work.look()}
        result = Result(work.config, work.task, fitted, judged, by_lag, work.seconds)
        write_whole(work.folder / "report.html", run_page(result.report(work.folder.name)).encode())
        _write_line(metrics, result.test_line())
    _say(console, work.folder, result)
    return interruption.exit_code


@contextmanager
def _metrics(work: Work) -> Iterator[IO[str]]:
    """metrics.jsonl, with the lines of the epochs there are already."""
    path = work.folder / "metrics.jsonl"
    lines = "".join(json.dumps(_epoch_line(epoch)) + "\n" for epoch in work.training.epochs)
    write_whole(path, lines.encode())
    with path.open("a", encoding="utf-8") as metrics:
        yield metrics


def _epoch_line(epoch: Epoch) -> dict[str, Any]:
    return {"event": "epoch", **epoch._asdict()}


def _write_line(metrics: IO[str], line: dict[str, Any]) -> None:
    metrics.write(json.dumps(line) + "\n")
    metrics.flush()


def _is_finished(folder: Path) -> bool:
    """Whether a run has its last line of metrics, which is written when all else is, and was not stopped."""
    try:
        last = json.loads((folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    except (OSError, ValueError, IndexError):
        return False
    return last["event"] == "test" and not last["interrupted"]


def _fit(work: Work, console: Console, metrics: IO[str], interruption: Interruption) -> Fitted:
    """Train with a progress bar, a line of metrics for each epoch, snapshots, and an ear for Ctrl-C."""
    config, training, task = work.config, work.training, work.task
    parameters = sum(p.numel() for p in work.model.parameters())
    _print(
        console,
        f"{config.cell} network, {config.hidden} units, {parameters} weights; "
        f"{task.train_steps} training steps of {task.columns[0]}, {reach(config)}",
    )
    columns = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[losses]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress, _Keeper(work) as keeper:
        bar = progress.add_task("epochs", total=config.epochs, completed=len(training.epochs), losses="")

        def on_epoch(epoch: Epoch) -> None:
            _write_line(metrics, _epoch_line(epoch))
            losses = f"loss {epoch.loss:.4f}"
            losses += "" if epoch.validation is None else f"  validation {epoch.validation:.4f}"
            progress.update(bar, advance=1, losses=losses)

        try:
            return training.run(on_epoch, interruption.came, keeper)
        except TrainingDiverged as error:
            if error.walked is not None:
                write_tensors(work.folder / "diverged.safetensors", error.walked._asdict())
            raise
        finally:
            save_model(work.folder, work.model)


class _Keeper:
    """Called after each update, it takes a snapshot when one is due, and at the start and the end anyhow."""

    def __init__(self, work: Work) -> None:
        self._work, self._store = work, Snapshots(work.folder / "snapshots")
        self._before, self._started = work.seconds, time.monotonic()

    def __enter__(self) -> _Keeper:
        self._take()
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None:
            self._take()

    def __call__(self) -> None:
        if time.monotonic() - self._last >= self._work.config.snapshot:
            self._take()

    def _take(self) -> None:
        work = self._work
        work.seconds = self._before + time.monotonic() - self._started
        state = work.training.state_dict()
        self._store.save({"training": state, "by_lag": work.by_lag, "seconds": work.seconds})
        self._last = time.monotonic()


def _say(console: Console, folder: Path, result: Result) -> None:
    """How training ended, the scores, and where everything is."""
    _print(console, f"{result.ending()} ({result.seconds:.1f} s)\n")
    console.print(score_table(result.judged.scores, [name for name, _, _ in result.judged.spans]))
    if result.fitted.interrupted:
        _print(console, f"go on with: bptt train --resume {folder}")
    _print(console, f"written to {folder}/   open {folder}/report.html")


def _print(console: Console, line: str) -> None:
    """A line as it is, however wide the terminal."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
