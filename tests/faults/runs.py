"""Training runs in processes of their own: started, broken off, gone on with, compared; several at a time.

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
from bptt.commands import train as command
from bptt.errors import UserError
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
    """What becomes of each case, in a folder of its own with the data of this one."""
    found = []
    for one in pool.imap(_apart, [(way, case, Path.cwd()) for case in cases]):
        found.append(one)
        if sys.stderr.isatty():
            print(f"{len(found)} of {len(cases)}", end="\r", file=sys.stderr, flush=True)
    return found


def _apart(job: tuple[Callable[[Any], Any], Any, Path]) -> Any:
    way, case, here = job
    with elsewhere():
        for data in here.iterdir():
            shutil.copy(data, ".")
        return way(case)


@contextlib.contextmanager
def elsewhere() -> Iterator[None]:
    """In a folder that is gone afterwards."""
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
    except SystemExit as ended:
        code = int(ended.code or 0)
        done()
    finally:
        sys.stdout.flush()
        os._exit(code)


def ended(child: int) -> int:
    """The exit code of a process, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(*arguments: str) -> int:
    """`bptt train` to its end; returns the exit code."""
    return ended(start(arguments))


def shown() -> str:
    """What the last run printed."""
    return Path("out.txt").read_text()


def placed() -> Path:
    """A run folder that is yet to be made, in one where nothing else stands."""
    Path("place").mkdir()
    return Path("place") / SEEN


def going_on(folder: Path, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments that take a broken run up: anew where it had not begun to be written."""
    if (folder / "config.toml").exists():
        return ("--resume", str(folder))
    shutil.rmtree(folder, ignore_errors=True)
    return (*arguments, "--out", str(folder))


def lasting(folder: Path) -> Any:
    """What a run leaves that no clock decides."""
    *epochs, last = (json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    last.pop("seconds")
    snapshots = folder / "snapshots"
    names = sorted(path.name for path in (*folder.iterdir(), *snapshots.iterdir()) if not _is_snapshot(path))
    told = [folder / name for name in ("model.safetensors", "forecast.csv", "sample.txt")]
    return epochs, last, names, [path.read_bytes() for path in told if path.exists()]


def _is_snapshot(path: Path) -> bool:
    return path.stem.isdigit() and path.suffix == ".safetensors"


def came_to(wanted: Any, folder: Path, code: int | None, what: str) -> bool:
    """Whether a run that ended with an exit code left what was wanted; where it did not that is told."""
    with contextlib.suppress(OSError, ValueError):
        if code == 0 and lasting(folder) == wanted:
            return True
    return told(f"{what}: exit {code}, another end")


def goes_on_to(wanted: Any, folder: Path, arguments: tuple[str, ...], what: str) -> bool:
    """Whether a broken run, gone on with, comes to the same end."""
    return came_to(wanted, folder, run(*going_on(folder, arguments)), f"{what}, resumed")


def told(what: str) -> bool:
    """Tell what went wrong, with the end of what the last run printed; false."""
    print(f"    {what}: {shown()[-500:]}", flush=True)
    return False


def is_whole(path: Path) -> bool:
    """Whether a file of tensors can be read."""
    try:
        read_tensors(path)
    except UserError:
        return False
    return True


@contextlib.contextmanager
def commanded(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
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
