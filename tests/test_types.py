"""Type checkers find the types of the installed package in a user's script."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bptt

SCRIPT = """\
import torch
import bptt

x = torch.zeros(4, 2, 3)
gru = bptt.GRU(3, 5)
reveal_type(gru)
net = bptt.Elman(input_size=3, state_size=5, output_size=1)
explained = bptt.explain(net, x[:, 0], torch.zeros(4, 1), t=3)
reveal_type(explained)
bptt.GRU("3", 5)
"""
PACKAGES = Path(bptt.__file__).parents[1]


@pytest.fixture
def script(tmp_path):
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    return file


@pytest.mark.slow
def test_pyright_finds_the_types(script):
    pytest.importorskip("pyright")
    settings = {"extraPaths": [str(PACKAGES)], "include": [script.name]}
    (script.parent / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    run = subprocess.run(command, cwd=script.parent, capture_output=True, text=True)
    found = json.loads(run.stdout)["generalDiagnostics"]
    assert [(d["range"]["start"]["line"] + 1, d["severity"]) for d in found] == [
        (6, "information"),
        (9, "information"),
        (10, "error"),
    ], found
    assert found[0]["message"] == 'Type of "gru" is "GRU"'
    assert found[1]["message"] == 'Type of "explained" is "Explanation"'


@pytest.mark.slow
def test_mypy_finds_the_types(script):
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("pip install mypy")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--follow-imports=silent",
        "--cache-dir",
        script.parent / "cache",
        script,
    ]
    run = subprocess.run(command, env={**os.environ, "MYPYPATH": str(PACKAGES)}, capture_output=True, text=True)
    lines = run.stdout.splitlines()
    assert [line.split(":")[1] for line in lines[:3]] == ["6", "9", "10"], run.stdout
    assert lines[0].endswith('Revealed type is "bptt.modules.GRU"')
    assert lines[1].endswith('.Explanation"')
