"""Training runs in processes of their own: started, interrupted, resumed, compared; several at a time.

They are forked from processes that have imported everything and computed nothing, so that a start costs little.
Each case has a folder of its own for its runs to stand in.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import torch
import torch._dynamo  # which every optimizer imports when it is made

from bptt import cli
from bptt.errors import UserError
from bptt.runs import training_run as command
from bptt.training.tensors import read_tensors
from disk import Disk

TOO_LONG = 180  # seconds, for one run
SEEN = Path("seen")  # the folder of a run; broken ones have the same name, and stand elsewhere


@contextlib.contextmanager
def starters() -> Iterator[Pool]:
    """Processes to start runs from, as many as there are cores."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    command.page_html = lambda page: "<p>a page" * 1000  # making one takes longer than the runs
    command.run_explorer = Mock()
    command.diagnosis_of = Mock(return_value=None)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        cli.main(("train", "none.csv"))  # imports what reads the arguments
    with get_context("fork").Pool() as pool:
        yield pool


def each(pool: Pool, way: Callable[[Any], Any], cases: list[Any]) -> list[Any]:
    """The outcome of each case, each in a folder of its own with the data of this one."""
    found = []
    for one in pool.imap(_apart, [(way, case, Path.cwd()) for case in cases]):
        found.append(one)
        if sys.stderr.isatty():
            print(f"{len(found)} of {len(cases)}", end="\r", file=sys.stderr, flush=True)
    return found


def _apart(job: tuple[Callable[[Any], Any], Any, Path]) -> Any:
    way, case, here = job
    with temporary_folder():
        for data in here.iterdir():
            shutil.copy(data, ".")
        return way(case)


@contextlib.contextmanager
def temporary_folder() -> Iterator[None]:
    """Change into a temporary folder, removed afterwards."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def start(arguments: tuple[str, ...], disk: Disk | None = None, done: Callable[[], None] = lambda: None) -> int:
    """`bptt train` in a process of its own, which calls `done` when it ends by itself; returns its id."""
    child = os.fork()
    if child:
        return child
    signal.alarm(TOO_LONG)
    os.dup2(os.open("out.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(1, 2)
    code = 70
    try:
        with contextlib.nullcontext() if disk is None else disk.watched():
            cli.main(("train", *arguments))
    except SystemExit as exit_:
        code = int(exit_.code or 0)
        done()
    finally:
        sys.stdout.flush()
        os._exit(code)


def exit_code_of(child: int) -> int:
    """The exit code of a process, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(*arguments: str) -> int:
    """`bptt train` to its end; returns the exit code."""
    return exit_code_of(start(arguments))


def printed() -> str:
    """The output of the last run."""
    return Path("out.txt").read_text()


def new_run_folder() -> Path:
    """The path of a run folder to make, in an empty folder."""
    Path("place").mkdir()
    return Path("place") / SEEN


def resume_arguments(folder: Path, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments that resume an interrupted run, or start it again if nothing was written yet."""
    if (folder / "config.toml").exists():
        return ("--resume", str(folder))
    shutil.rmtree(folder, ignore_errors=True)
    return (*arguments, "--out", str(folder))


def result_of(folder: Path) -> Any:
    """The results of a run that do not depend on time."""
    *epochs, last = (json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    last.pop("seconds")
    snapshots = folder / "snapshots"
    names = sorted(path.name for path in (*folder.iterdir(), *snapshots.iterdir()) if not _is_snapshot(path))
    files = [folder / name for name in ("model.safetensors", "forecast.csv", "sample.txt")]
    return epochs, last, names, [path.read_bytes() for path in files if path.exists()]


def _is_snapshot(path: Path) -> bool:
    return path.stem.isdigit() and path.suffix == ".safetensors"


def has_result(wanted: Any, folder: Path, code: int | None, what: str) -> bool:
    """Whether a run ended well and left the wanted result; a failure is printed."""
    with contextlib.suppress(OSError, ValueError):
        if code == 0 and result_of(folder) == wanted:
            return True
    return report_failure(f"{what}: exit {code}, another end")


def resumes_to(wanted: Any, folder: Path, arguments: tuple[str, ...], what: str) -> bool:
    """Whether an interrupted run, resumed, leaves the wanted result."""
    return has_result(wanted, folder, run(*resume_arguments(folder, arguments)), f"{what}, resumed")


def report_failure(what: str) -> bool:
    """Print a failure, with the end of the last run's output; returns False."""
    print(f"    {what}: {printed()[-500:]}", flush=True)
    return False


def is_readable(path: Path) -> bool:
    """Whether a file of tensors can be read."""
    try:
        read_tensors(path)
    except UserError:
        return False
    return True


@contextlib.contextmanager
def train_command(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`bptt train` as a user starts it; whatever is left of it at the end is killed."""
    line = (sys.executable, "-m", "bptt", "train", *arguments)
    with Path("out.txt").open("w") as out:
        process = subprocess.Popen(line, stdout=out, stderr=out, start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def code_of(process: subprocess.Popen[bytes]) -> int | None:
    """Its exit code once it has ended; None where that takes too long."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(TOO_LONG)
    return None


def has_lines(folder: Path, lines: int, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a run has so many lines of metrics; false where it ends before that, or it takes too long."""
    metrics, deadline = folder / "metrics.jsonl", time.monotonic() + TOO_LONG
    while process.poll() is None and time.monotonic() < deadline:
        if metrics.exists() and metrics.read_text().count("\n") >= lines:
            return True
        time.sleep(0.005)
    return False


def workers_of(launcher: subprocess.Popen[bytes], others: Collection[int] = ()) -> list[int]:
    """Wait for two workers that a run has started, other ones than these; fewer where it ends before that."""
    deadline, found = time.monotonic() + TOO_LONG, []
    while len(found) < 2 and launcher.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):  # one of them ends
            children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
            lines = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
            found = [child for child, line in lines.items() if b"bptt" in line and child not in others]
        time.sleep(0.01)
    return found
