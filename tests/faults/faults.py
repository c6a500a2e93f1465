"""Break training runs in every way a machine can, resume them, and count.

    make faults
    python tests/faults/faults.py damages diverging operations kills commands workers    # or some of these

Every run that was broken must end, once it is resumed, with the weights, forecasts and metrics of one that was
not, bit for bit. Prints a table of counts; exits with 1 where anything went wrong.
"""

from __future__ import annotations

import os
import pickle
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bptt.training.tensors import read_tensors
from disk import CRASHES, FAULTS, Disk, Operation, Tree, kill, lay_out
from runs import (
    SEEN,
    code_of,
    each,
    exit_code_of,
    has_lines,
    has_result,
    is_readable,
    new_run_folder,
    printed,
    report_failure,
    result_of,
    resume_arguments,
    resumes_to,
    run,
    start,
    starters,
    temporary_folder,
    train_command,
    workers_of,
)

KILLS = 30  # of each way, at least
OFTEN = ("--snapshot", "0.005")
WAYS = {
    "full": ("--layers", "2", "--dropout", "0.2", "--noise", "0.1", "--validation", "0.2", "--epochs", "100"),
    "checkpointed": ("--reach", "checkpointed", "--memory", "200kB", "--epochs", "60"),
    "truncated": ("--reach", "truncated", "--k1", "10", "--k2", "25", "--noise", "0.1", "--epochs", "12"),
    "streamed": (
        *("series.npy", "--target", "0", "--reach", "truncated", "--k1", "10", "--k2", "25", "--batch", "2"),
        *("--memory", "1kB", "--epochs", "6"),
    ),
    "text": ("words.txt", "--hidden", "8", "--layers", "2", "--dropout", "0.2", "--epochs", "4"),
}
SMALL = ("--reach", "truncated", "--k1", "120", "--epochs", "2", "--snapshot", "0")
LONG = ("--noise", "0.1", "--epochs", "300", *OFTEN)
TWO = ("--reach", "truncated", "--batch", "4", "--epochs", "300", "--workers", "2", "--snapshot", "0.2")
DIVERGING = {
    "full": ("--activation", "relu", "--leak", "1", "--init", "300"),
    "two layers": ("--activation", "relu", "--leak", "1", "--init", "300", "--layers", "2", "--noise", "0.1"),
    "truncated": (
        *("--activation", "relu", "--leak", "1", "--init", "2", "--lr", "10", "--snapshot", "0"),
        *("--reach", "truncated", "--k1", "20", "--k2", "50"),
    ),
}

wrong = 0


def count(what: str, results: Iterable[bool]) -> None:
    """Print how often something was tried, and how often it went wrong."""
    global wrong
    results = list(results)
    wrong += results.count(False)
    print(f"{what:<66}{len(results):>6}{results.count(False):>7}", flush=True)


def damages(pool: Pool, draw: random.Random) -> None:
    """Files damaged at random: none may be read silently."""
    count("weights and snapshots damaged at random: noticed", each(pool, _damaged, [draw])[0])


def _damaged(draw: random.Random) -> list[bool]:
    assert run(*SMALL, "--out", str(SEEN)) == 0, printed()
    paths, results = [SEEN / "model.safetensors", *sorted((SEEN / "snapshots").iterdir())], []
    while len(results) < 600:
        path = paths[len(results) % len(paths)]
        whole = path.read_bytes()
        changed = _changed(whole, len(results) % 5, draw)
        if changed != whole:
            path.write_bytes(changed)
            results.append(not is_readable(path))
            path.write_bytes(whole)
    return results


def _changed(whole: bytes, kind: int, draw: random.Random) -> bytes:
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
    failed, located, finite = zip(*each(pool, _diverging, list(DIVERGING.values())), strict=True)
    count("a loss that is not finite: exit 1", failed)
    count("  located by epoch, step, layer and gate, its batch written", located)
    count("  weights and snapshots kept are finite", [one for ones in finite for one in ones])


def _diverging(arguments: tuple[str, ...]) -> tuple[bool, bool, list[bool]]:
    code = run(*arguments, "--out", str(SEEN))
    place = re.search(r"became (nan|inf) in epoch \d+, first at: step \d+, layer l\d, activation Φ", printed())
    located = bool(place) and "x" in read_tensors(SEEN / "diverged.safetensors")
    kept = [read_tensors(path)["training"]["weights"] for path in (SEEN / "snapshots").iterdir()]
    finite = [_finite(weights) for weights in (read_tensors(SEEN / "model.safetensors"), *kept)]
    return code == 1, located, [*finite, len(kept) > 0]


def _finite(weights: dict[str, torch.Tensor]) -> bool:
    return all(bool(weight.isfinite().all()) for weight in weights.values())


def operations(pool: Pool, draw: random.Random) -> None:
    """Every fault at each file operation of a small run, which is then resumed."""
    [(done, crashes, wanted, complete)] = each(pool, _watched, [None])
    kinds = ", ".join(f"{number} {kind}" for kind, number in Counter(kind for kind, _ in done).most_common())
    print(f"  {len(done)} file operations of a run: {kinds}", flush=True)
    count("  no write went unseen, by the content at the end", [complete])
    promised = _promised(done)
    for name in ("SIGKILL", *FAULTS):
        cases = [(name, at, promised[at], wanted) for at in range(1, len(done) + 1)]
        same, left, said = zip(*each(pool, _broken, cases), strict=True)
        count(f"{name} at every operation: resumed to the same end", same)
        count("  the last two good snapshots left, none damaged", left)
        if any(one is not None for one in said):
            count("  exit not 0, and one line that names the file", [one for one in said if one is not None])
    cases = [(tree, f"{how} at {at}", promised[at], wanted) for tree, (at, how) in crashes.items()]
    print(f"  power lost at every operation, in {len(CRASHES) - 1} ways: {len(cases)} different disks", flush=True)
    same, left = zip(*each(pool, _crashed, cases), strict=True)
    count("power lost at every operation: resumed to the same end", same)
    count("  the last two good snapshots left, none damaged", left)
    at_the_end = [(tree, wanted) for tree, (at, _) in crashes.items() if at > len(done)]
    count("  after the end: all is there", each(pool, _all_there, at_the_end))


def _watched(_: None) -> tuple[list[Operation], dict[Tree, tuple[int, str]], Any, bool]:
    """A small run: its operations, the contents after crashes, its result, and whether every write was seen."""
    folder = new_run_folder()
    disk = Disk(folder.parent)

    def note() -> None:
        found = disk.operations, disk.crashes, disk.saw_every_write()
        Path("noted").write_bytes(pickle.dumps(found))

    assert exit_code_of(start((*SMALL, "--out", str(folder)), disk, note)) == 0, printed()
    done, crashes, complete = pickle.loads(Path("noted").read_bytes())
    return done, crashes, result_of(folder), complete


def _promised(operations: list[Operation]) -> dict[int, int]:
    """How many snapshots a crash must leave, by the number of the next operation."""
    renamed, safe, promised = 0, 0, {1: 0}
    for number, (kind, path) in enumerate(operations, start=1):
        renamed += kind == "replace" and path.parent.name == "snapshots"
        safe = renamed if kind == "fsync" and path.name == "snapshots" else safe
        promised[number + 1] = safe
    return promised


def _broken(case: tuple[str, int, int, Any]) -> tuple[bool, bool, bool | None]:
    """Break a run at an operation: whether it resumed to the same end, left its snapshots, named the error."""
    name, at, promised, wanted = case
    folder, said, what = new_run_folder(), None, f"{name} at operation {at}"
    fault = kill(at) if name == "SIGKILL" else FAULTS[name](at)

    def note() -> None:
        if fault.hit:
            Path("hit").touch()

    code = exit_code_of(start((*SMALL, "--out", str(folder)), Disk(folder.parent, fault), note))
    if Path("hit").exists():
        why = "No space left on device" if name == "ENOSPC" else "Input/output error"
        lines = re.findall(rf"^bptt train: .*{re.escape(str(folder.parent))}.*{why}", printed(), re.MULTILINE)
        said = (code in (1, 2) and len(lines) == 1 and "Traceback" not in printed()) or report_failure(
            f"{what}: exit {code}"
        )
    elif code != (-signal.SIGKILL if name == "SIGKILL" else 0):
        said = report_failure(f"{what}: exit {code}")
    left = _snapshots_left(folder, promised, what)
    return resumes_to(wanted, folder, SMALL, what), left, said


def _snapshots_left(folder: Path, promised: int, what: str) -> bool:
    """Whether the last two of the promised snapshots are there, or later ones, and none is damaged."""
    there = sorted((folder / "snapshots").glob("*.safetensors"))
    numbers = [int(path.stem) for path in there]
    good = all(map(is_readable, there)) and len(there) >= min(promised, 2) and max(numbers, default=0) >= promised
    return good or report_failure(f"{what}: {promised} snapshots were taken, left is {numbers}")


def _crashed(case: tuple[Tree, str, int, Any]) -> tuple[bool, bool]:
    """Resume what a crash left: whether it reached the same end, and the snapshots were there."""
    tree, what, promised, wanted = case
    folder = new_run_folder()
    lay_out(tree, folder.parent)
    left = _snapshots_left(folder, promised, what)
    return resumes_to(wanted, folder, SMALL, what), left


def _all_there(case: tuple[Tree, Any]) -> bool:
    tree, wanted = case
    folder = new_run_folder()
    lay_out(tree, folder.parent)
    return has_result(wanted, folder, 0, "power lost after the end")


def kills(pool: Pool, draw: random.Random) -> None:
    """SIGKILL at random moments, several to a run, until there were enough."""
    stages: Counter[str] = Counter()
    for name, arguments in WAYS.items():
        [_, (took, wanted)] = each(pool, _timed, [(*arguments, *OFTEN)] * 2)
        dead, same = Counter(), []
        while dead.total() < KILLS and all(same):
            cases = [((*arguments, *OFTEN), took, wanted, draw.random()) for _ in range(4)]
            for one, where in each(pool, _killed, cases):
                same.append(one)
                dead += where
        count(f"{name}, {dead.total()} times SIGKILL at any moment: ended the same", same)
        stages += dead
    places = ", ".join(f"{number} {stage}" for stage, number in stages.most_common())
    print(f"  killed {stages.total()} times: {places}", flush=True)


def _timed(arguments: tuple[str, ...]) -> tuple[float, Any]:
    began = time.monotonic()
    assert run(*arguments, "--out", str(SEEN)) == 0, printed()
    return time.monotonic() - began, result_of(SEEN)


def _killed(case: tuple[tuple[str, ...], float, Any, float]) -> tuple[bool, Counter[str]]:
    """Kill and resume a run until it ends: whether the end is the same, and where it was killed."""
    arguments, took, wanted, seed = case
    draw, folder, where = random.Random(seed), new_run_folder(), Counter()
    while where.total() < KILLS:
        child = start(resume_arguments(folder, arguments))
        deadline = time.monotonic() + draw.uniform(0, took / 2)
        while time.monotonic() < deadline and not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        if (code := exit_code_of(child)) != -signal.SIGKILL:
            return has_result(wanted, folder, code, f"killed {where.total()} times"), where
        where[_stage(folder)] += 1
    return resumes_to(wanted, folder, arguments, "killed often"), where


def _stage(folder: Path) -> str:
    """The stage in which a run was killed, by its files."""
    if not (folder / "config.toml").exists():
        return "at the start"
    if any(folder.glob("snapshots/*.part")):
        return "in a snapshot"
    return "at the end" if (folder / "model.safetensors").exists() else "in training"


def commands(pool: Pool, draw: random.Random) -> None:
    """Kills by the command line, as a user has it: started, killed, resumed, killed, resumed."""
    [wanted] = each(pool, _commanded, [LONG])
    cases = [(wanted, [draw.randrange(first, first + 80) for first in (1, 100, 200)]) for _ in range(2)]
    count("`bptt train`, 3 times SIGKILL: resumed to the same end", each(pool, _command_killed, cases))


def _commanded(arguments: tuple[str, ...]) -> Any:
    with train_command(*arguments, "--out", str(SEEN)) as process:
        assert code_of(process) == 0, printed()
    return result_of(SEEN)


def _command_killed(case: tuple[Any, list[int]]) -> bool:
    (wanted, moments), folder = case, new_run_folder()
    for lines in moments:
        with train_command(*resume_arguments(folder, LONG)) as process:
            if not has_lines(folder, lines, process):
                return report_failure(f"no {lines} epochs: exit {process.poll()}")
            process.kill()
    with train_command("--resume", str(folder)) as process:
        return has_result(wanted, folder, code_of(process), "bptt train killed 3 times, resumed")


def workers(pool: Pool, draw: random.Random) -> None:
    """One of two workers killed, twice: torchrun starts both again. And all of them, resumed."""
    [wanted] = each(pool, _commanded, [TWO])
    cases = [
        (wanted, [draw.randrange(first, first + 100) for first in moments]) for moments in ((0, 150), (50, 190))
    ]
    count("one of two workers killed, twice: ended the same", each(pool, _worker_killed, cases))
    count("both workers killed, and who started them: resumed the same", each(pool, _all_killed, [wanted]))


def _worker_killed(case: tuple[Any, list[int]]) -> bool:
    (wanted, moments), folder = case, new_run_folder()
    with train_command(*TWO, "--out", str(folder)) as launcher:
        before: list[int] = []
        for lines in moments:
            before = workers_of(launcher, before)
            if not has_lines(folder, lines, launcher) or len(before) < 2:
                return report_failure(f"no {lines} epochs of two workers: exit {launcher.poll()}")
            os.kill(before[lines % 2], signal.SIGKILL)
        return has_result(wanted, folder, code_of(launcher), "a worker killed twice")


def _all_killed(wanted: Any) -> bool:
    folder = new_run_folder()
    with train_command(*TWO, "--out", str(folder)) as launcher:
        both = workers_of(launcher)
        if not has_lines(folder, 100, launcher):
            return report_failure(f"no 100 epochs: exit {launcher.poll()}")
        for process in (launcher.pid, *both):
            os.kill(process, signal.SIGKILL)
    with train_command("--resume", str(folder), "--workers", "2") as launcher:
        return has_result(wanted, folder, code_of(launcher), "all workers killed, resumed")


PARTS = (damages, diverging, operations, kills, commands, workers)


def main() -> int:
    """Everything in turn; returns the exit code."""
    chosen, began = sys.argv[1:], time.monotonic()
    print(f"{'':<66}{'times':>6}{'wrong':>7}")
    with starters() as pool, temporary_folder():
        noise = np.random.default_rng(0).standard_normal(400)
        np.save("series.npy", np.sin(np.arange(400) / 5) + 0.1 * noise)
        Path("words.txt").write_text("the cat sat on the mat, and the dog on the log. " * 40)
        for number, part in enumerate(PARTS):
            if not chosen or part.__name__ in chosen:
                part(pool, random.Random(number))
                print(f"  {time.monotonic() - began:.0f} s", flush=True)
    print(f"{wrong or 'nothing'} went wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
