"""Break training runs in every way a machine can, go on with them, and count.

    make faults

Every run that was broken must end, once it is resumed, with the weights, forecasts and metrics of one that was
not, bit for bit. Prints a table of counts; exits with 1 where anything was violated.

Runs are forked from this process, which has imported everything and computed nothing, so that a start costs
little.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # which every optimizer imports when it is made

from bptt import cli
from bptt.commands import subject
from bptt.commands import train as _train  # noqa: F401  (imported before anything is forked)
from bptt.report import page
from bptt.training.errors import UserError
from bptt.training.snapshot import Snapshots
from bptt.training.tensors import read_tensors

KILLS = 25  # of each kind of run
WAYS = {
    "full": ("--noise", "0.1", "--validation", "0.2", "--epochs", "150"),
    "checkpointed": ("--reach", "checkpointed", "--memory", "200kB", "--epochs", "60"),
    "truncated": ("--reach", "truncated", "--k1", "10", "--k2", "25", "--noise", "0.1", "--epochs", "12"),
    "streamed": (
        *("series.npy", "--target", "0", "--reach", "truncated", "--k1", "10", "--k2", "25", "--batch", "2"),
        *("--memory", "1kB", "--epochs", "6"),
    ),
}
SMALL = ("--reach", "truncated", "--k1", "100", "--epochs", "2", "--snapshot", "0")

counts: list[tuple[str, int, int]] = []  # what, how often, how often it went wrong


def count(what: str, results: list[bool]) -> None:
    """Note how often something was tried, and how often it went wrong."""
    counts.append((what, len(results), results.count(False)))
    print(f"{what:<58}{len(results):>7}{results.count(False):>9}", flush=True)


def start(arguments: tuple[str, ...], before: Callable[[], None] = lambda: None) -> int:
    """`bptt train` in a process of its own; returns its number."""
    child = os.fork()
    if child:
        return child
    os.dup2(os.open("out.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(1, 2)
    torch.set_num_threads(1)
    code = 70
    try:
        before()
        cli.main(("train", *arguments))
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.stdout.flush()
        os._exit(code)


def ended(child: int) -> int:
    """The exit code of a process, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(*arguments: str, before: Callable[[], None] = lambda: None) -> int:
    """`bptt train` to its end; returns the exit code."""
    return ended(start(arguments, before))


def go_on(folder: Path, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments that take a broken run up: anew where it had not begun to be written."""
    if (folder / "config.toml").exists():
        return ("--resume", str(folder))
    shutil.rmtree(folder, ignore_errors=True)
    return (*arguments, "--out", str(folder))


def lasting(folder: Path) -> Any:
    """What a run leaves that no clock decides."""
    *epochs, last = (json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    last.pop("seconds")
    return epochs, last, (folder / "model.safetensors").read_bytes(), (folder / "forecast.csv").read_bytes()


def kills(draw: random.Random) -> None:
    """SIGKILL at random moments, several to a run, until there were enough."""
    for name, arguments in WAYS.items():
        began = time.monotonic()
        run(*arguments, "--out", "seen")
        took, wanted, results, dead = time.monotonic() - began, lasting(Path("seen")), [], 0
        while dead < KILLS:
            folder = Path(f"run-{dead}") / "seen"
            folder.parent.mkdir()
            while True:
                child = start(go_on(folder, (*arguments, "--snapshot", "0.02")))
                deadline = time.monotonic() + draw.uniform(0, took)
                while time.monotonic() < deadline and not os.waitid(os.P_PID, child, _QUIET):
                    time.sleep(0.001)
                os.kill(child, signal.SIGKILL)
                if ended(child) == 0:
                    break
                dead += 1
            results += [lasting(folder) == wanted]
            shutil.rmtree(folder.parent)
        count(f"kill -9 at any moment, {name}: runs ended the same", results)
        counts.append((f"  kills of {name}", dead, 0))
        print(f"  kills of {name:<46}{dead:>9}", flush=True)
        shutil.rmtree("seen")


_QUIET = os.WEXITED | os.WNOHANG | os.WNOWAIT


class Disk:
    """File operations in a folder, counted; at one of them something happens.

    It remembers what a disk would have kept: contents that were synced, under names whose folder was.
    """

    def __init__(self, folder: Path, at: int, happens: Callable[[Disk], None]) -> None:
        self.folder, self.at, self.happens, self.done = folder.resolve(), at, happens, 0
        self.contents: dict[int, bytes] = {}  # synced, by inode
        self.names: dict[Path, bytes | None] = {}  # lasting, None for a folder

    def operation(self, path: Any) -> None:
        """One more operation on a path."""
        if self.folder in Path(os.fspath(path)).absolute().parents or Path(path).absolute() == self.folder:
            self.done += 1
            if self.done == self.at:
                self.happens(self)

    def install(self) -> None:
        """Watch this process's operations."""
        disk, own = self, {name: getattr(os, name) for name in ("fsync", "replace", "unlink", "mkdir")}

        class Raw(io.FileIO):
            def write(self, data: Any) -> int:
                disk.operation(self.name)
                return super().write(data)

        def opened(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
            if not isinstance(file, str | os.PathLike) or not set(mode) & set("wax"):
                return own_open(file, mode, *rest, **more)
            disk.operation(file)
            raw = Raw(file, mode.replace("b", "").replace("t", ""))
            buffered = io.BufferedWriter(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding="utf-8", write_through=True)

        def fsync(descriptor: Any) -> None:
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            disk.operation(path)
            own["fsync"](descriptor)
            disk.synced(path)

        def watched(name: str) -> Callable[..., None]:
            def call(path: Any, *rest: Any, **more: Any) -> None:
                disk.operation(path)
                own[name](path, *rest, **more)

            return call

        own_open = io.open
        builtins.open = io.open = opened  # type: ignore[assignment]
        os.fsync = fsync
        for name in ("replace", "unlink", "mkdir"):
            setattr(os, name, watched(name))

    def synced(self, path: Path) -> None:
        """A file's content lasts; or the names in a folder do."""
        if not path.is_dir():
            self.contents[path.stat().st_ino] = path.read_bytes()
            return
        self.names = {name: kept for name, kept in self.names.items() if name.parent != path}
        for entry in path.iterdir():
            self.names[entry] = None if entry.is_dir() else self.contents.get(entry.stat().st_ino, b"")

    def lose_power(self) -> None:
        """Leave what lasts, and nothing else."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for path, content in sorted(self.names.items()):
            if path == self.folder or self.folder in path.parents:
                if content is None:
                    path.mkdir(parents=True, exist_ok=True)
                elif path.parent.is_dir():
                    path.write_bytes(content)


def killed(disk: Disk) -> None:
    os._exit(137)


def powerless(disk: Disk) -> None:
    builtins.open = io.open = _OPEN
    disk.lose_power()
    os._exit(137)


def failing(number: int) -> Callable[[Disk], None]:
    def fail(disk: Disk) -> None:
        raise OSError(number, os.strerror(number))

    return fail


_OPEN = io.open
FAULTS = {
    "killed": killed,
    "power lost": powerless,
    "ENOSPC": failing(errno.ENOSPC),
    "EIO": failing(errno.EIO),
}


def operations() -> None:
    """A fault at each file operation of a small run, and the run resumed."""
    run(*SMALL, "--out", "seen")
    wanted = lasting(Path("seen"))

    def counting() -> None:
        disk = Disk(Path("counted"), 0, killed)
        disk.install()
        own_exit = os._exit
        os._exit = lambda code: (_OPEN("number.txt", "w").write(str(disk.done)), own_exit(code))  # type: ignore

    run(*SMALL, "--out", "counted", before=counting)
    number = int(Path("number.txt").read_text())
    print(f"  file operations of a run {number:>39}", flush=True)
    for name, happens in FAULTS.items():
        results, said, lost = [], [], []
        for at in range(1, number + 1):
            folder = Path(f"{name.split()[0]}-{at}") / "seen"
            folder.parent.mkdir()
            disk = Disk(folder, at, happens)
            code = run(*SMALL, "--out", str(folder), before=disk.install)
            if name in ("ENOSPC", "EIO"):
                shown = Path("out.txt").read_text()
                said.append(code in (1, 2) and str(folder) in shown.replace("\n", "") and "Traceback" not in shown)
            begun = list(folder.glob("snapshots/*.safetensors"))
            lost.append(not begun or Snapshots(folder / "snapshots").load()[0] is not None)
            code = run(*go_on(folder, SMALL))
            results.append(code == 0 and lasting(folder) == wanted)
            if not results[-1]:
                print(f"    {name} at {at}: exit {code}: {Path('out.txt').read_text()[-300:]}", flush=True)
            shutil.rmtree(folder.parent)
        count(f"{name} at every file operation: resumed to the same end", results)
        count("  a valid snapshot was left", lost)
        if said:
            count("  said in a line that names the file, exit not 0", said)
    shutil.rmtree("seen")


def damages(draw: random.Random) -> None:
    """Files damaged at random: none may be read silently."""
    run(*SMALL, "--out", "seen")
    paths = [Path("seen/model.safetensors"), *sorted(Path("seen/snapshots").iterdir())]
    results = []
    for number in range(600):
        path = paths[number % len(paths)]
        whole = path.read_bytes()
        damaged = damaged_at_random(whole, number % 5, draw)
        if damaged == whole:
            continue
        path.write_bytes(damaged)
        try:
            read_tensors(path)
            results.append(False)
        except UserError:
            results.append(True)
        path.write_bytes(whole)
    count("random damages of weights and snapshots: noticed", results)
    shutil.rmtree("seen")


def damaged_at_random(whole: bytes, kind: int, draw: random.Random) -> bytes:
    """A flipped bit, an end cut off, a stretch of zeros, bytes added, or two stretches swapped."""
    place, changed = draw.randrange(len(whole)), bytearray(whole)
    if kind == 0:
        changed[place] ^= 1 << draw.randrange(8)
    elif kind == 1:
        del changed[place:]
    elif kind == 2:
        changed[place : place + 64] = bytes(len(changed[place : place + 64]))
    elif kind == 3:
        changed += draw.randbytes(1 + draw.randrange(16))
    else:
        half = len(whole) // 2
        changed = bytearray(whole[half:] + whole[:half])
    return bytes(changed)


def not_a_number() -> None:
    """A loss that is not finite is located, its batch written aside, a finite snapshot kept."""
    code = run("--activation", "relu", "--leak", "1", "--init", "300", "--out", "nan")
    shown = Path("out.txt").read_text()
    kept = Snapshots(Path("nan/snapshots")).load()[0]
    finite = all(bool(w.isfinite().all()) for w in read_tensors(Path("nan/model.safetensors")).values())
    located = "step" in shown and "layer" in shown
    results = [code == 1, located, Path("nan/diverged.safetensors").exists(), kept is not None, finite]
    count("a loss that is not finite: located, kept, exit 1", results)


def workers(draw: random.Random) -> None:
    """A worker of two killed in the middle; torchrun starts both again."""
    train = [sys.executable, "-m", "bptt", "train", "--reach", "truncated", "--batch", "4", "--epochs", "400"]
    train += ["--workers", "2", "--snapshot", "0.2", "--out"]
    subprocess.run([*train, "two"], check=True, capture_output=True)
    wanted, results = lasting(Path("two")), []
    for number in range(3):
        folder = Path(f"again-{number}") / "two"
        folder.parent.mkdir()
        with subprocess.Popen(
            [*train, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as launcher:
            lines = draw.randrange(5, 200)
            while len(_lines(folder / "metrics.jsonl")) < lines and launcher.poll() is None:
                time.sleep(0.01)
            children = _children(launcher.pid)
            os.kill(draw.choice(children), signal.SIGKILL)
            code = launcher.wait()
        results.append(code == 0 and lasting(folder) == wanted)
    count("a worker of two killed: the run ended the same", results)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _children(parent: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


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


def main() -> int:
    """Everything in turn; returns the exit code."""
    page._packed_plotly()
    page._script()
    subject.diagnosed = lambda situation: None  # of the report's, which takes longer than a run
    draw, chosen = random.Random(0), sys.argv[1:]
    print(f"{'':<58}{'times':>7}{'wrong':>9}")
    with elsewhere():
        np.save("series.npy", np.sin(np.arange(400) / 5) + 0.1 * np.random.default_rng(0).standard_normal(400))
        for name, part in (
            ("damages", lambda: damages(draw)),
            ("nan", not_a_number),
            ("operations", operations),
            ("kills", lambda: kills(draw)),
            ("workers", lambda: workers(draw)),
        ):
            if not chosen or name in chosen:
                part()
    wrong = sum(bad for _, _, bad in counts)
    print("nothing went wrong" if not wrong else f"{wrong} times something went wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
