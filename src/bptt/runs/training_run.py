"""One training, from the checks of its data to its scores and its run folder."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import TrainingDiverged, UserError, warn
from ..files import write_whole
from ..page.html import page_html
from ..reach.out_of_memory import out_of_memory
from ..report.tables import print_scores
from ..report.tensorboard import TensorBoard
from ..terminal import NARROW
from ..training.config_file import ConfigFile, read_config
from ..training.data.frames import IN_MEMORY
from ..training.loop import Epoch, Fitted
from ..training.options.base import TrainOptions, check_device_name, first_given, option_of
from ..training.options.choosing import for_caller
from ..training.tasks.task import Judged, WholeModel
from ..training.workers import Workers
from ..trees import differing
from ..walks import kernels
from .explorer import run_explorer
from .gradient_monitor import diagnosis_of
from .interruption import Interruption
from .journal import Journal
from .preparing import Work, prepared, print_line
from .result import Result, confusion_rows, time_left
from .run import Run, load
from .snapshot_keeper import SnapshotKeeper


class Trained(NamedTuple):
    """A training that ended, and the signal that stopped it early; None where none came."""

    run: Run
    signal: int | None = None


def start_training(
    config: TrainOptions,
    team: Workers,
    console: Console,
    new_folder: Callable[[], Path] | None = None,
    table: pl.DataFrame | None = None,
    owner: str = "",
) -> Trained:
    """Check, train and judge; everything is written into the new folder, if there is to be one.

    Args:
        config: the options.
        team: who train together.
        console: where the columns, the progress and the scores are printed; warnings are Python's.
        new_folder: makes the run folder, once nothing can be refused any more; None for a run in memory.
        table: the data, where they are in memory.
        owner: stands in the folder's lock.

    Raises:
        UserError: before anything is written, for data or options that cannot be used.
        TrainingDiverged: with the last finite weights saved.
    """
    work = prepared(config, team, console, table=table)
    with Interruption(caught=new_folder is not None) as interruption:  # a new folder can be resumed
        folder = None if new_folder is None else team.by_first(new_folder)
        with Journal(folder, team, owner) as journal:
            journal.config(work.described())
            work.by_lag = work.look()
            return _finished(work, journal, console, interruption)


def resume_training(
    given: TrainOptions,
    folder: Path,
    team: Workers,
    console: Console,
    table: pl.DataFrame | None = None,
    owner: str = "",
) -> Trained:
    """Continue a run from its last snapshot; the arguments and errors are those of `start_training`."""
    began = checked_run(given, folder, table)
    with Journal(folder, team, owner) as journal:
        if team.by_first(journal.is_finished):
            print_line(console, f"{folder} is finished: there is nothing left to continue")
            return Trained(load(folder))
        check_device_name(given.device)
        work = prepared(began.config, team, console, (folder, began), given.device, table)
        if str(work.device.device) != began.device:
            journal.config(work.described())
        saved, wrong = journal.last_snapshot()
        for problem in wrong:
            warn(f"{problem}; the snapshot before it is used")
        if saved is None:
            team.by_first(journal.check_untrained)
            work.by_lag = work.look()
        else:
            _restore(work, saved, folder)
        with Interruption() as interruption:
            return _finished(work, journal, console, interruption)


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


def checked_run(given: TrainOptions, folder: Path, table: pl.DataFrame | None = None) -> ConfigFile:
    """The config.toml of a run to resume.

    Raises:
        UserError: other options were given, or there is no such run.
    """
    taken = ("resume", "device") if table is None else ("resume", "device", "data")
    if (other := first_given(given, besides=taken)) is not None:
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
    began = read_config(folder / "config.toml")
    if table is not None and began.config.data != Path(IN_MEMORY):
        own = began.config.data or "data that come with bptt"
        raise UserError(f"{folder} was trained on {own}, and a table in memory was given; leave it out")
    return began


def _finished(work: Work, journal: Journal, console: Console, interruption: Interruption) -> Trained:
    """Train to the end or until asked to stop, judge, and write everything."""
    journal.begin(work.training.epochs)
    fitted, whole = _fit(work, journal, console, interruption)
    work.training.workers.disband()
    intervals = None
    if journal.is_first:
        judged = _judged(work, whole, journal)
        intervals = judged.intervals
        by_lag = {"start": work.by_lag, "end": work.look()}
        # only a report shows what trials of remedies found
        diagnosis = diagnosis_of(work.model, work.monitor.excerpt, tries=journal.folder is not None)
        looked_at, device = work.monitor.what, str(work.device.device)
        result = Result(work.config, work.task, fitted, judged, by_lag, work.seconds, diagnosis, looked_at, device)
        if journal.folder is not None:
            page = run_explorer(journal.folder, work.config, work.task, work.model, None, result).page()
            write_whole(journal.folder / "report.html", page_html(page).encode())
        journal.line(result.test_line())
        _say(console, journal.folder, result)
    run = Run(
        **vars(work.described()),
        folder=journal.folder,
        model=whole.model.to("cpu").eval(),
        intervals=intervals,
        task_at_hand=work.task,
        lines=journal.lines,
    )
    return Trained(run, interruption.signal)


def _judged(work: Work, whole: WholeModel, journal: Journal) -> Judged:
    """The scores; what was predicted and the intervals are written where there is a folder."""
    with nullcontext(journal.folder) if journal.folder is not None else tempfile.TemporaryDirectory() as place:
        task, folder = work.task, Path(place)
        judged = task.judge(whole, f"this run ({work.config.cell})", folder / task.output)
        if judged.confusion is not None:
            write_whole(
                folder / "confusion.csv", confusion_rows(task.labels, judged.confusion).write_csv().encode()
            )
    if judged.intervals is not None:
        journal.intervals(judged.intervals)
    return judged


def _fit(work: Work, journal: Journal, console: Console, interruption: Interruption) -> tuple[Fitted, WholeModel]:
    """Train with a progress bar, a line of metrics for each epoch, snapshots, and an ear for Ctrl-C."""
    config, training = work.config, work.training
    _say_what_trains(work, console)
    with progress_on(console) as progress, ExitStack() as opened:
        keeper = opened.enter_context(SnapshotKeeper(work, journal))
        board = None
        if config.tensorboard and journal.writes and journal.folder is not None:
            board = opened.enter_context(closing(TensorBoard(journal.folder, len(training.epochs) + 1)))
        first, began = len(training.epochs) + 1, time.monotonic()
        bar = progress.add_task("epochs", total=config.epochs, completed=len(training.epochs), losses="")

        def watch(epoch: Epoch) -> None:
            """Say what is wrong with the gradient while there is time to change it, once."""
            if journal.is_first and not work.warned and work.monitor.diagnosis_due(epoch.epoch):
                found = diagnosis_of(work.model, work.monitor.excerpt, tries=False)
                if found is not None and found.severity == "warning":
                    work.warned = True
                    warn(f"epoch {epoch.epoch}: {found.sentence}")

        def on_epoch(epoch: Epoch) -> None:
            journal.epoch(epoch)
            if board is not None:
                board.write(epoch._asdict())
            watch(epoch)
            losses = f"loss {epoch.loss:.4f}"
            losses += "" if epoch.validation is None else f"  validation {epoch.validation:.4f}"
            progress.update(bar, advance=1, losses=losses)
            left = config.epochs - epoch.epoch
            if epoch.epoch == first and (said := time_left(config, left, time.monotonic() - began)) is not None:
                print_line(console, for_caller(said))
            unclipped = len(training.epochs) > 1 and training.epochs[-2].clip is None
            if epoch.clip is not None and unclipped:
                print_line(console, f"gradients are clipped at {epoch.clip:.3g}: 9 in 10 up to here lay below")

        try:
            fitted = training.run(on_epoch, interruption.came, keeper)
        except TrainingDiverged as error:
            if error.walked is not None:
                journal.diverged(error.walked)
            raise
        finally:
            whole = work.task.whole(work.model)
            journal.model(whole.model)
        return fitted, whole


def _say_what_trains(work: Work, console: Console) -> None:
    config, parameters = work.config, sum(p.numel() for p in work.model.parameters())
    print_line(
        console,
        f"{config.cell} network, {config.hidden} units, {parameters} weights; {work.task.amount}, {config.method}",
    )
    if not kernels.available():
        print_line(console, f"on a CPU this is slower than it could be: {kernels.missing()}")


def progress_on(console: Console) -> Progress:
    """A progress bar; on a narrow or dumb terminal its numbers alone."""
    count, losses = MofNCompleteColumn(), TextColumn("{task.fields[losses]}")
    if console.width < NARROW or console.is_dumb_terminal:
        return Progress(count, losses, console=console)
    return Progress(TextColumn("epoch"), count, BarColumn(), losses, TimeRemainingColumn(), console=console)


def _say(console: Console, folder: Path | None, result: Result) -> None:
    """How training ended, the scores, and where everything is."""
    print_line(console, f"{for_caller(result.ending())} ({result.seconds:.1f} s)\n")
    judged, measure = result.judged, result.judged.measure
    print_scores(console, judged.scores, judged.judged_on, f"{measure.name} ({measure.better} is better)")
    if errors := result.in_units():
        title = "RMSE and MAE in the data's units, and MASE"
        print_scores(console, errors, list(errors["RMSE"]), title)
    if (said := result.intervals()) is not None:
        print_line(console, for_caller(said))
    if (said := result.warning(folder)) is not None:
        warn(for_caller(said))
    if folder is not None:
        if result.fitted.interrupted:
            print_line(console, f"continue with: bptt train --resume {folder}")
        print_line(console, f"written to {folder}/   open {folder}/report.html")
    if judged.verdict:
        print_line(console, for_caller(judged.verdict))
