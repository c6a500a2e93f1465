"""The script for a GPU, tried without one."""

import importlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bptt.walks.cuda_variants import Variants
from cuda_standin.launcher import StandInLauncher
from cuda_standin.standin import COMPILER
from devices import OTHER
from standin_cudnn import cudnn_on_cpus

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


def assert_found(path, parts):
    found = json.loads(path.read_text(encoding="utf-8"))
    assert list(found) == parts
    for name, part in found.items():
        assert not part["failed"], name
        assert part["lines"], name


@pytest.mark.slow
def test_the_parts_that_run_tests_run_them_at_tiny_sizes(tmp_path):
    path, parts = tmp_path / "found.json", ["correct", "suite"]
    command = [sys.executable, str(SCRIPT), "--dry-run", "--out", str(path), "--parts", *parts]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing failed" in done.stdout
    assert_found(path, parts)


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return importlib.import_module("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here, and no emulated device")
def test_every_other_part_runs_at_tiny_sizes_and_writes_what_it_found(gpu, monkeypatch, tmp_path, capsys):
    path, parts = tmp_path / "found.json", ["machine", "calls", "speed", "reach", "training", "kernels"]
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--dry-run", "--out", str(path), "--parts", *parts])
    assert gpu.main() == 0
    assert "nothing failed" in capsys.readouterr().out
    assert_found(path, parts)


class EmulatedGPU(StandInLauncher):
    """Runs the kernels on the CPU for tensors of the emulated device, whose memory is the CPU's."""

    def unavailable(self, device):
        return None if os.environ.get("BPTT_CUDA") == "1" else "BPTT_CUDA is not set"


class Event:
    """One of CUDA, by Python's clock."""

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        self.at = time.perf_counter()

    def elapsed_time(self, other):
        return 1e3 * (other.at - self.at)


@pytest.fixture
def replaced_cuda(gpu, monkeypatch, tmp_path):
    """The emulated device in place of a GPU, calls of CUDA replaced, and small sizes; gives what was called."""
    calls, cases, kernels, measuring, speed = (
        importlib.import_module(f"gpu_parts.{name}")
        for name in ("calls", "cases", "kernels", "measuring", "speed")
    )
    called, h100 = (
        [],
        SimpleNamespace(name="H100", major=9, minor=0, multi_processor_count=132, total_memory=2**36),
    )

    def run(command, **options):
        if command[0] == COMPILER:
            return real_run(command, **options)
        called.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    def step_time(backend, chosen, size, device, tiny):
        small = size._replace(T=4, B=3, H=16)
        return real_step_time(backend, replace(chosen, units=16, blocks=1), small, device, tiny)

    real_run, real_step_time = subprocess.run, kernels.step_time
    functions = {"is_available": lambda: True, "get_device_properties": lambda _: h100, "Event": Event}
    functions |= {
        "synchronize": lambda: None,
        "get_device_capability": lambda _: (9, 0),
        "set_sync_debug_mode": called.append,
    }
    for name, function in functions.items():
        monkeypatch.setattr(torch.cuda, name, function)
    monkeypatch.setattr(measuring, "GPU", OTHER)
    monkeypatch.setattr(measuring, "BLOCK_MS", 0.1)
    monkeypatch.setattr(measuring, "BLOCKS", 2)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr("shutil.which", lambda program: program)
    monkeypatch.setattr(calls, "every_case", lambda: [cases.Case("GRU", 1, 1, True, False, torch.float32, None)])
    monkeypatch.setattr(speed, "sizes", lambda tiny: [speed.Size("LSTM", torch.float32, 3, 2, 4)])
    monkeypatch.setattr(kernels, "step_time", step_time)
    monkeypatch.setattr(kernels, "REPEATS", 2)
    monkeypatch.setattr(kernels, "compile_ahead", lambda plans, *to: called.append(list(plans)) or plans)
    monkeypatch.setattr(kernels, "timed", lambda tiny: [(s, s._replace(T=5, B=3, H=8)) for s in kernels.TIMED])
    exact = [size._replace(T=5, B=3, H=8) for size in kernels.EXACT if size.cell == "GRU"]
    monkeypatch.setattr(kernels, "EXACT", exact)
    monkeypatch.setattr(kernels.cuda.CUDA_KERNELS, "variants", Variants(EmulatedGPU(tmp_path)))
    with cudnn_on_cpus(device_type=OTHER):
        yield called


@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None or OTHER != "emulated", reason="a GPU, or no C++ compiler")
def test_what_runs_on_a_gpu_alone_runs_with_every_call_of_cuda_replaced(
    gpu, replaced_cuda, monkeypatch, tmp_path, capsys
):
    device, path = torch.device(OTHER), tmp_path / "found.json"
    with path.open("x") as file:
        gpu.run_all(["machine", "calls", "speed", "kernels"], device, False, file)
    found = json.loads(path.read_text())
    errors = [
        line["error"] for part in found.values() for line in part["lines"] if isinstance(line.get("error"), str)
    ]
    assert not errors, errors[0]
    assert found["machine"]["lines"][0] == {"card": "H100"}
    assert not found["calls"]["failed"]
    lines = found["kernels"]["lines"]
    goals = {line["goal"]: line for line in lines if "goal" in line}
    assert len(goals) > 10
    assert not [goal for goal, line in goals.items() if line["found"] is None]
    printed = capsys.readouterr().out
    assert printed.count(" reached\n") + printed.count(" MISSED\n") == len(goals)
    assert all(line["same"] and line["error"] < 3e-2 for line in lines if "same" in line)
    assert {"races": 0} in lines
    assert replaced_cuda.count("warn") == replaced_cuda.count("default") > 0
    assert sum("racecheck" in command for command in replaced_cuda) == 1
    monkeypatch.setenv("BPTT_CUDA", "1")
    exec(importlib.import_module("gpu_parts.kernels").RACE.replace('"cuda"', repr(OTHER)))
    training = importlib.import_module("gpu_parts.training")
    assert not training.command(False, gpu.Clock(9.0)).failed
    assert replaced_cuda[-1][-2:] == ["--device", "cuda"]


def test_a_part_that_takes_too_long_is_cut_short_and_says_so(gpu, capsys):
    def slow(device, tiny, clock):
        for number in clock.each(range(3)):
            clock.ends = 0.0
            yield gpu.Line(f"number {number}")
        yield gpu.Line("the summary")

    found = gpu.run(gpu.Part("Slow", 5, slow), torch.device("cpu"), True)
    assert (found["cut short"], found["failed"]) == ("1 of 3", False)
    printed = capsys.readouterr().out.splitlines()
    assert printed[2:5] == ["number 0", "the summary", "CUT SHORT after 5 s: 1 of 3"]


def test_a_part_that_raises_leaves_the_others(gpu, monkeypatch, tmp_path, capsys):
    def broken(device, tiny, clock):
        yield gpu.Line("begun", {"begun": True})
        raise RuntimeError("out of order")

    parts = {"broken": gpu.Part("Broken", 5, broken), "machine": gpu.PARTS["machine"]}
    monkeypatch.setattr(gpu, "PARTS", parts)
    with (tmp_path / "found.json").open("x") as file:
        assert gpu.run_all(list(parts), torch.device("cpu"), True, file) == 1
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["broken"]["lines"][0] == {"begun": True}
    assert "out of order" in found["broken"]["lines"][1]["error"]
    assert found["machine"]["lines"]
    assert "failed: broken" in capsys.readouterr().out


def test_a_file_that_exists_is_left_alone(gpu, monkeypatch, tmp_path, capsys):
    path = tmp_path / "found.json"
    path.write_text("mine", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--dry-run", "--out", str(path)])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 2
    assert "the file exists; name a new one" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "mine"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_it_says_so(gpu, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    assert gpu.main() == 2
    assert capsys.readouterr().err == "torch sees no CUDA device here; --dry-run tries every part on the CPU\n"
