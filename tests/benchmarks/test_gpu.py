"""The script for a GPU, tried without one."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

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
    path, parts = tmp_path / "found.json", ["machine", "calls", "speed", "kernels", "reach", "training"]
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--dry-run", "--out", str(path), "--parts", *parts])
    assert gpu.main() == 0
    assert "nothing failed" in capsys.readouterr().out
    assert_found(path, parts)


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
