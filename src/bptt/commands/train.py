"""`bptt train`: from a table to a run folder."""

from __future__ import annotations

import contextlib
import os
import re
import time
import warnings
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import TrainingDiverged, UserError
from ..files import make_folder, write_whole
from ..page.html import page_html
from ..reach.out_of_memory import out_of_memory
from ..report.tables import score_table
from ..report.tensorboard import TensorBoard
from ..runs.explorer import run_explorer
from ..runs.gradient_monitor import diagnosis_of
from ..runs.interruption import Interruption
from ..runs.journal import Journal, owned
from ..runs.preparing import Work, prepared, print_line
from ..runs.result import Result, confusion_rows
from ..training.config_file import ConfigFile, read_config
from ..training.device import named_device
from ..training.loop import Epoch, Fitted
from ..training.options.base import TrainOptions, check_device_name, first_given, option_of
from ..training.workers import Workers, workers
from ..trees import differing
from .launch import launch, launch_id, restarted
from .streams import warnings_printed

RUNS = Path("runs")


def train(config: TrainOptions) -> int:
    """Check, train, judge and write the run folder; returns the exit code.

    Raises:
        UserError: before anything is written, for data or options that cannot be used.
        TrainingDiverged: with the last finite weights saved.
    """
    if config.workers is not None:
        return _launched(replace(config, workers=None), config.workers)
    with workers() as team:
        console = Console(quiet=team.rank > 0)
        with warnings_printed(partial(print_line, console)):
            return _trained(config, team, console)


def _trained(config: TrainOptions, team: Workers, console: Console) -> int:
    if config.resume is not None:
        return _resumed(config, config.resume, team, console)
    if (begun := _begun(config, team)) is not None:
        return _resumed(type(config)(resume=begun, device=config.device), begun, team, console)
    work = prepared(config, team, console)
    folder = team.by_first(lambda: _new_folder(config))
    with Journal(folder, team, launch_id()) as journal:
        journal.config(work.config, work.task, work.digests, str(work.device.device))
        work.by_lag = work.look()
        return _finished(work, journal, console)


def _launched(config: TrainOptions, size: int) -> int:
    """The same by several processes, once it is sure that none of them will refuse."""
    chosen = config if config.resume is None else _checked_run(config, config.resume).config
    team = Workers(0, size)
    replace(chosen, workers=size).check()
    check_device_name(config.device)
    if (device := config.device or chosen.device) not in (None, "auto"):
        named_device(device, team)
    with warnings_printed(lambda line: None):
        # its workers use the GPUs, choose the options left open and print the warnings
        prepared(chosen, team, Console(quiet=True), device="cpu", tries=False)
    if config.out is not None and os.path.lexists(config.out):
        raise _overwriting(config.out)
    return launch(size, ["train", *config.arguments()])


def _resumed(given: TrainOptions, folder: Path, team: Workers, console: Console) -> int:
    """Continue a run from its last snapshot."""
    began = _checked_run(given, folder)
    with Journal(folder, team, launch_id()) as journal:
        if team.by_first(journal.is_finished):
            print_line(console, f"{folder} is finished: there is nothing left to continue")
            return 0
        check_device_name(given.device)
        work = prepared(began.config, team, console, (folder, began), given.device)
        if (device := str(work.device.device)) != began.device:
            journal.config(began.config, work.task, work.digests, device)
        saved, wrong = journal.last_snapshot()
        for problem in wrong:
            warnings.warn(f"{problem}; the snapshot before it is used", stacklevel=2)
        if saved is None:
            team.by_first(journal.check_untrained)
            work.by_lag = work.look()
        else:
            _restore(work, saved, folder)
        return _finished(work, journal, console)


def _restore(work: Work, saved: Any, folder: Path) -> None:
    """Let a training be as a snapshot has it.

    Raises:
        UserError: it is one of something else.
    """
    own = {"training": {}, "by_lag": [0.0], "seconds": 0.0}
    try:
        if (place := differing(saved, own)) is not None:
            raise ValueError(f"{place} is not as this training has it")
        work.training.load_state_dict(saved["training"])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        if out_of_memory(error) is not None:
            raise
        why = str(error).splitlines() or [type(error).__name__]
        raise UserError(
            f"the newest snapshot in {folder / 'snapshots'} is of another training: {why[0]}; remove it, or begin "
            "a new run"
        ) from error
    work.by_lag, work.seconds = saved["by_lag"], saved["seconds"]


def _checked_run(given: TrainOptions, folder: Path) -> ConfigFile:
    """The config.toml of a run to resume."""
    if (other := first_given(given, besides=("resume", "device"))) is not None:
        option = "DATA" if other == "data" else option_of(other)
        raise UserError(
            f"--resume continues with the options in {folder}/config.toml, and {option} was given as well; "
            "leave it out, or begin a new run"
        )
    if not folder.is_dir():
        raise UserError(f"{folder} is not a run folder: there is no such folder; `bptt train` makes one")
    if not (folder / "config.toml").exists():
        raise UserError(
            f"{folder} ended before its config.toml was written, so that there is nothing to continue; "
            "remove it and begin a new run"
        )
    return read_config(folder / "config.toml")


def _begun(config: TrainOptions, team: Workers) -> Path | None:
    """The folder of the run that these workers were at before they were started again."""
    if not restarted():
        return None
    places = [config.out] if config.out is not None else sorted(RUNS.glob("*"))
    begun = [place for place in places if (place / "config.toml").exists()]
    return team.by_first(lambda: owned(begun, launch_id()))


def _new_folder(config: TrainOptions) -> Path:
    """Make the run folder: the one asked for, which must be new, or the next free name in runs/."""
    try:
        if config.out is not None:
            begun = restarted() and not (config.out / "config.toml").exists()  # by workers that ended right there
            make_folder(config.out, exist_ok=begun)
            return config.out
        embedded = {"forecast": "sunspots", "text": "moby-dick"}
        stem = embedded[config.task] if config.data is None else re.sub(r"[^\w.-]+", "-", config.data.stem)
        for number in range(1, 1_000_000):
            folder = RUNS / f"{stem}-{config.cell}-{number:03d}"
            with contextlib.suppress(FileExistsError):
                make_folder(folder)
                return folder
        raise UserError("runs/ holds a million runs of this name; pass --out FOLDER")
    except FileExistsError as error:
        assert config.out is not None
        raise _overwriting(config.out) from error
    except OSError as error:
        raise UserError(f"the run folder {error.filename} cannot be made: {error.strerror}; pass --out") from error


def _overwriting(folder: Path) -> UserError:
    resume = f", or continue it with --resume {folder}" if (folder / "config.toml").exists() else ""
    return UserError(f"{folder} exists already and is not overwritten; pass another --out{resume}")


def _finished(work: Work, journal: Journal, console: Console) -> int:
    """Train to the end or until asked to stop, judge, and write everything; returns the exit code."""
    journal.begin(work.training.epochs)
    with Interruption() as interruption:
        fitted = _fit(work, journal, console, interruption)
        work.training.workers.disband()
        if journal.writes:
            task, folder = work.task, journal.folder
            judged = task.judge(work.model, f"this run ({work.config.cell})", folder / task.output)
            if judged.confusion is not None:
                confusion = confusion_rows(task.labels, judged.confusion).write_csv()
                write_whole(folder / "confusion.csv", confusion.encode())
            if judged.intervals is not None:
                journal.intervals(judged.intervals)
            by_lag = {"start": work.by_lag, "end": work.look()}
            diagnosis = diagnosis_of(work.model, work.monitor.excerpt)
            looked_at, device = work.monitor.what, str(work.device.device)
            result = Result(work.config, task, fitted, judged, by_lag, work.seconds, diagnosis, looked_at, device)
            page = page_html(run_explorer(folder, work.config, task, work.model, None, result).page())
            write_whole(folder / "report.html", page.encode())
            journal.line(result.test_line())
            _say(console, folder, result)
    return interruption.exit_code


def _fit(work: Work, journal: Journal, console: Console, interruption: Interruption) -> Fitted:
    """Train with a progress bar, a line of metrics for each epoch, snapshots, and an ear for Ctrl-C."""
    config, training, task = work.config, work.training, work.task
    parameters = sum(p.numel() for p in work.model.parameters())
    print_line(
        console,
        f"{config.cell} network, {config.hidden} units, {parameters} weights; {task.amount}, {config.method}",
    )
    columns = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[losses]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress, ExitStack() as opened:
        keeper = opened.enter_context(_Keeper(work, journal))
        board = None
        if config.tensorboard and journal.writes:
            board = opened.enter_context(closing(TensorBoard(journal.folder, len(training.epochs) + 1)))
        bar = progress.add_task("epochs", total=config.epochs, completed=len(training.epochs), losses="")

        def warn(epoch: Epoch) -> None:
            """Say what is wrong with the gradient while there is time to change it, once."""
            if journal.writes and not work.warned and work.monitor.diagnosis_due(epoch.epoch):
                found = diagnosis_of(work.model, work.monitor.excerpt)
                if found is not None and found.severity == "warning":
                    work.warned = True
                    warnings.warn(f"epoch {epoch.epoch}: {found.sentence}", stacklevel=2)

        def on_epoch(epoch: Epoch) -> None:
            journal.epoch(epoch)
            if board is not None:
                board.write(epoch._asdict())
            warn(epoch)
            losses = f"loss {epoch.loss:.4f}"
            losses += "" if epoch.validation is None else f"  validation {epoch.validation:.4f}"
            progress.update(bar, advance=1, losses=losses)
            unclipped = len(training.epochs) > 1 and training.epochs[-2].clip is None
            if epoch.clip is not None and unclipped:
                print_line(console, f"gradients are clipped at {epoch.clip:.3g}: 9 in 10 up to here lay below")

        try:
            return training.run(on_epoch, interruption.came, keeper)
        except TrainingDiverged as error:
            if error.walked is not None:
                journal.diverged(error.walked)
            raise
        finally:
            journal.model(work.model)


class _Keeper:
    """Called after each update, it takes a snapshot when one is due, and at the start and the end anyhow."""

    def __init__(self, work: Work, journal: Journal) -> None:
        self._work, self._journal = work, journal
        self._before, self._started = work.seconds, time.monotonic()

    def __enter__(self) -> _Keeper:
        self._take()
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None:
            self._take()

    def __call__(self) -> None:
        if self._work.training.workers.ask(self._due):
            self._take()

    def _due(self) -> bool:
        return self._journal.writes and time.monotonic() - self._last >= self._work.config.snapshot

    def _take(self) -> None:
        work = self._work
        work.seconds = self._before + time.monotonic() - self._started
        state = work.training.state_dict()
        self._journal.snapshot({"training": state, "by_lag": work.by_lag, "seconds": work.seconds})
        self._last = time.monotonic()


def _say(console: Console, folder: Path, result: Result) -> None:
    """How training ended, the scores, and where everything is."""
    print_line(console, f"{result.ending()} ({result.seconds:.1f} s)\n")
    judged, measure = result.judged, result.judged.measure
    console.print(score_table(judged.scores, judged.judged_on, f"{measure.name} ({measure.better} is better)"))
    if (said := result.intervals()) is not None:
        print_line(console, said)
    if (said := result.warning(folder)) is not None:
        warnings.warn(said, stacklevel=2)
    if result.fitted.interrupted:
        print_line(console, f"continue with: bptt train --resume {folder}")
    print_line(console, f"written to {folder}/   open {folder}/report.html")
    if result.judged.verdict:
        print_line(console, result.judged.verdict)
