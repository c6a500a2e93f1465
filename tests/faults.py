"""Break training runs in every way a machine can, go on with them, and count.

    make faults        (python tests/faults.py [damages] [diverging] [operations] [kills] [commands] [workers])

Every run that was broken must end, once it is resumed, with the weights, forecasts and metrics of one that was
not, bit for bit. Prints a table of counts; exits with 1 where anything was violated.

Runs are forked from processes that have imported everything and computed nothing, so that a start costs little;
a few are started as a user starts them.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # which every optimizer imports when it is made
from disk import FAILING, FAULTS, Disk, Killed

from bptt import cli
from bptt.commands import train as command
from bptt.training.errors import UserError
from bptt.training.snapshot import Snapshots
from bptt.training.tensors import read_tensors

KILLS = 30  # of each way, at least
WAYS = {
    "full": ("--noise", "0.1", "--validation", "0.2", "--epochs", "150"),
    "checkpointed": ("--reach", "checkpointed", "--memory", "200kB", "--epochs", "60"),
    "truncated": ("--reach", "truncated", "--k1", "10", "--k2", "25", "--noise", "0.1", "--epochs", "12"),
    "streamed": (
        *("series.npy", "--target", "0", "--reach", "truncated", "--k1", "10", "--k2", "25", "--batch", "2"),
        *("--memory", "1kB", "--epochs", "6"),
    ),
    "text": ("words.txt", "--hidden", "8", "--epochs", "4"),
}
SMALL = ("--reach", "truncated", "--k1", "100", "--epochs", "2", "--snapshot", "0")
DIVERGING = {
    "relu": ("--activation", "relu", "--leak", "1", "--init", "300"),
    "truncated": (
        *("--activation", "relu", "--leak", "1", "--init", "2", "--lr", "10", "--snapshot", "0"),
        *("--reach", "truncated", "--k1", "20", "--k2", "50"),
    ),
}
COMMAND = (sys.executable, "-m", "bptt", "train")
SEEN = Path("seen")

wrong = 0


def count(what: str, results: Iterable[bool]) -> None:
    """Tell how often something was tried, and how often it went wrong."""
    global wrong
    results = list(results)
    wrong += results.count(False)
    print(f"{what:<62}{len(results):>6}{results.count(False):>7}", flush=True)


def start(arguments: tuple[str, ...], disk: Disk | None = None, done: Callable[[], None] = lambda: None) -> int:
    """`bptt train` in a process of its own, which writes to out.txt and calls `done` at its end; returns its id."""
    child = os.fork()
    if child:
        return child
    os.dup2(os.open("out.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(1, 2)
    torch.set_num_threads(1)
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
    [told] = (folder / name for name in ("forecast.csv", "sample.txt") if (folder / name).exists())
    return epochs, last, (folder / "model.safetensors").read_bytes(), told.read_bytes()


def each(pool: Pool, way: Callable[[Any], Any], cases: Iterable[Any]) -> list[Any]:
    """What becomes of each case, in a folder of its own; several at a time."""
    return pool.map(_apart, [(way, case) for case in cases], chunksize=1)


def _apart(job: tuple[Callable[[Any], Any], Any]) -> Any:
    way, case = job
    with elsewhere(beside=Path.cwd()):
        return way(case)


@contextlib.contextmanager
def elsewhere(beside: Path | None = None) -> Iterator[None]:
    """In a folder that is gone afterwards, with the data that are in another one."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("series.npy", "words.txt") if beside else ():
            shutil.copy(beside / name, folder)
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def damages(pool: Pool, draw: random.Random) -> None:
    """Files damaged at random: none may be read silently."""
    run(*SMALL, "--out", str(SEEN))
    paths = [SEEN / "model.safetensors", *sorted((SEEN / "snapshots").iterdir())]
    results = []
    while len(results) < 600:
        path = paths[len(results) % len(paths)]
        whole = path.read_bytes()
        damaged = _damaged(whole, len(results) % 5, draw)
        if damaged == whole:
            continue
        path.write_bytes(damaged)
        try:
            read_tensors(path)
            results.append(False)
        except UserError:
            results.append(True)
        path.write_bytes(whole)
    count("weights and snapshots damaged at random: noticed", results)


def _damaged(whole: bytes, kind: int, draw: random.Random) -> bytes:
    """A flipped bit, an end cut off, a stretch of zeros, bytes added, or two blocks swapped."""
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
        size = draw.choice((16, 64, 512))
        a, b = (size * draw.randrange(len(whole) // size) for _ in range(2))
        changed[a : a + size], changed[b : b + size] = whole[b : b + size], whole[a : a + size]
    return bytes(changed)


def diverging(pool: Pool, draw: random.Random) -> None:
    """A loss that is not finite is located, its batch written aside, a finite snapshot kept."""
    for name, arguments in DIVERGING.items():
        folder = Path(name)
        code = run(*arguments, "--out", name)
        shown = Path("out.txt").read_text()
        located = re.search(r"became (nan|inf) in epoch \d+, first at: step \d+, layer l0, activation Φ", shown)
        kept = [read_tensors(path)["training"]["weights"] for path in (folder / "snapshots").iterdir()]
        finite = [_finite(read_tensors(folder / "model.safetensors")), *map(_finite, kept)]
        aside = read_tensors(folder / "diverged.safetensors")
        count(f"not finite, {name}: exit 1", [code == 1])
        count("  located by epoch, step, layer and gate; the batch aside", [bool(located), "x" in aside])
        count("  weights and snapshots kept are finite", [*finite, len(kept) > 0])


def _finite(weights: dict[str, torch.Tensor]) -> bool:
    return all(bool(weight.isfinite().all()) for weight in weights.values())


def operations(pool: Pool, draw: random.Random) -> None:
    """A fault at each file operation of a small run, and the run resumed."""
    disk = Disk(SEEN)
    assert ended(start((*SMALL, "--out", str(SEEN)), disk, lambda: _note(disk))) == 0
    names: list[str] = json.loads(Path("operations.json").read_text())
    wanted = lasting(SEEN)
    began = names.index("unlink")  # by then there are snapshots
    kinds = ", ".join(f"{number} {name}" for name, number in Counter(names).most_common())
    print(f"  file operations of a run: {len(names)} ({kinds})", flush=True)
    for fault in FAULTS:
        cases = [(fault, at, at > began, wanted) for at in range(1, len(names) + 1)]
        found = each(pool, _broken, cases)
        count(f"{fault}, at every operation: resumed to the same end", [same for same, _, _ in found])
        count("  a valid snapshot was left", [left for _, left, _ in found])
        if fault in FAILING:
            count("  exit not 0, and one line that names the file", [said for _, _, said in found])
    count("power lost after the end: all is there", each(pool, _after_the_end, [wanted]))


def _note(disk: Disk) -> None:
    Path("operations.json").write_text(json.dumps(disk.names))


def _broken(case: tuple[str, int, bool, Any]) -> tuple[bool, bool, bool]:
    """Break a run at an operation: whether it resumed to the same end, left a valid snapshot, said what it met."""
    fault, at, has_snapshots, wanted = case
    folder = Path("broken") / SEEN
    folder.parent.mkdir()

    def there(disk: Disk) -> None:
        try:
            FAULTS[fault](disk)
        except Killed:
            os._exit(137)

    code = ended(start((*SMALL, "--out", str(folder)), Disk(folder, at, there)))
    shown, said = Path("out.txt").read_text(), True
    if fault in FAILING:
        line = rf"^bptt train: .*{re.escape(str(folder))}.*{os.strerror(FAILING[fault])}"
        said = code in (1, 2) and len(re.findall(line, shown, re.MULTILINE)) == 1 and "Traceback" not in shown
    try:
        left = Snapshots(folder / "snapshots").load()[0] is not None or not has_snapshots
    except UserError:
        left = False
    again = run(*go_on(folder, SMALL))
    same = again == 0 and lasting(folder) == wanted
    if not (same and left and said):
        print(
            f"    {fault} at {at}: {code}, {again}: {shown[-400:]}{Path('out.txt').read_text()[-400:]}", flush=True
        )
    return same, left, said


def _after_the_end(wanted: Any) -> bool:
    for name in ("lose_bytes", "lose_power"):
        disk = Disk(SEEN)
        ended(start((*SMALL, "--out", str(SEEN)), disk, getattr(disk, name)))
        if lasting(SEEN) != wanted:
            return False
        shutil.rmtree(SEEN)
    return True


def kills(pool: Pool, draw: random.Random) -> None:
    """SIGKILL at random moments, several to a run, until there were enough."""
    places: Counter[str] = Counter()
    for name, arguments in WAYS.items():
        run(*arguments, "--out", name)  # to be warm
        shutil.rmtree(name)
        began = time.monotonic()
        assert run(*arguments, "--out", f"{name}/seen") == 0, Path("out.txt").read_text()
        took, wanted, dead, results = time.monotonic() - began, lasting(Path(name) / SEEN), Counter(), []
        while dead.total() < KILLS:
            cases = [(arguments, took, wanted, draw.random()) for _ in range(4)]
            for same, where in each(pool, _killed, cases):
                results.append(same)
                dead += where
        count(f"{name}: {dead.total()} times kill -9, runs ended the same", results)
        places += dead
    print("  killed " + ", ".join(f"{number} {place}" for place, number in places.most_common()), flush=True)


def _killed(case: tuple[tuple[str, ...], float, Any, float]) -> tuple[bool, Counter[str]]:
    """Kill a run, and what goes on with it, until one gets to the end: whether that is the same, and the kills."""
    arguments, took, wanted, seed = case
    draw, folder, where = random.Random(seed), Path("killed") / SEEN, Counter()
    folder.parent.mkdir()
    while True:
        child = start((*go_on(folder, arguments), *(() if folder.exists() else ("--snapshot", "0.02"))))
        deadline = time.monotonic() + draw.uniform(0, took)
        while time.monotonic() < deadline and not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        if (code := ended(child)) != -signal.SIGKILL:
            if code:
                print(f"    resumed, exit {code}: {Path('out.txt').read_text()[-400:]}", flush=True)
            return code == 0 and lasting(folder) == wanted, where
        where[_place(folder)] += 1


def _place(folder: Path) -> str:
    """Where a run was killed, by what it has left."""
    if not (folder / "config.toml").exists():
        return "at the start"
    if any(folder.glob("snapshots/*.part")):
        return "in a snapshot"
    if (folder / "model.safetensors").exists():
        return "judging or writing the report"
    return "training"


def commands(pool: Pool, draw: random.Random) -> None:
    """The same by the command line as a user has it: started, killed, resumed, killed, resumed."""
    arguments = (*WAYS["truncated"][:-1], "400", "--snapshot", "0.02")
    subprocess.run([*COMMAND, *arguments, "--out", str(SEEN)], check=True, capture_output=True)
    results = each(pool, _commanded, [(arguments, lasting(SEEN), draw.random()) for _ in range(2)])
    count("commands: 6 times kill -9, runs ended the same", results)


def _commanded(case: tuple[tuple[str, ...], Any, float]) -> bool:
    arguments, wanted, seed = case
    draw, folder = random.Random(seed), Path("killed") / SEEN
    for third in range(3):
        with subprocess.Popen([*COMMAND, *go_on(folder, arguments)], stdout=subprocess.DEVNULL) as process:
            _wait_for_lines(folder, 100 * third + draw.randrange(1, 90), process)
            process.kill()
        if process.returncode != -signal.SIGKILL:
            return False
    return subprocess.run([*COMMAND, "--resume", str(folder)], stdout=subprocess.DEVNULL).returncode == 0 and (
        lasting(folder) == wanted
    )


def workers(pool: Pool, draw: random.Random) -> None:
    """A worker of two killed in the middle; torchrun starts both again."""
    train = [*COMMAND, "--reach", "truncated", "--batch", "4", "--epochs", "300", "--workers", "2"]
    train += ["--snapshot", "0.2", "--out"]
    subprocess.run([*train, str(SEEN)], check=True, capture_output=True)
    wanted, results = lasting(SEEN), []
    for number in range(4):
        folder = Path(f"again-{number}") / SEEN
        folder.parent.mkdir()
        with subprocess.Popen(
            [*train, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as launcher:
            _wait_for_lines(folder, 0 if number == 0 else draw.randrange(1, 250), launcher)
            workers = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
            os.kill(int(draw.choice(workers)), signal.SIGKILL)
            code = launcher.wait()
        results.append(code == 0 and lasting(folder) == wanted)
    count("one of two workers killed: the run ended the same", results)


def _wait_for_lines(folder: Path, lines: int, process: subprocess.Popen) -> None:
    """Until a run has so many lines of metrics, or has ended; with none, until it has a folder."""
    metrics = folder / "metrics.jsonl"
    while process.poll() is None:
        if folder.exists() and (lines == 0 or (metrics.exists() and metrics.read_text().count("\n") >= lines)):
            return
        time.sleep(0.005)


PARTS = (damages, diverging, operations, kills, commands, workers)


def main() -> int:
    """Everything in turn; returns the exit code."""
    os.environ["OMP_NUM_THREADS"] = "1"  # of those that are started anew
    command.page_html = lambda page: "<p>a page" * 10_000  # making one takes longer than the runs
    command.run_subject = lambda *about: command.Work  # pyright: ignore
    chosen, began = sys.argv[1:], time.monotonic()
    print(f"{'':<62}{'times':>6}{'wrong':>7}")
    with elsewhere():
        noise = np.random.default_rng(0).standard_normal(400)
        np.save("series.npy", np.sin(np.arange(400) / 5) + 0.1 * noise)
        Path("words.txt").write_text("the cat sat on the mat, and the dog on the log. " * 40)
        with get_context("fork").Pool() as pool:
            for number, part in enumerate(PARTS):
                if not chosen or part.__name__ in chosen:
                    Path(part.__name__).mkdir()
                    part(pool, random.Random(number))
    print(f"{wrong or 'nothing'} went wrong ({time.monotonic() - began:.0f} s)")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
