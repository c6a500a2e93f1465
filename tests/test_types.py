"""Type checkers find the types of the installed package in a user's script."""

import importlib.util
import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import torch

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


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of an environment with a copy of bptt among its packages, which borrows torch."""
    folder = str(tmp_path_factory.mktemp("environment"))
    venv.create(folder)
    of_folder = {"base": folder, "platbase": folder}
    packages = Path(sysconfig.get_path("purelib", "venv", of_folder))
    shutil.copytree(Path(bptt.__file__).parent, packages / "bptt", ignore=shutil.ignore_patterns("__pycache__"))
    (packages / "borrowed.pth").write_text(str(Path(torch.__file__).parents[1]))
    return Path(sysconfig.get_path("scripts", "venv", of_folder)) / "python"


@pytest.fixture
def script(tmp_path):
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    return file


@pytest.mark.slow
def test_pyright_finds_the_types(python, script):
    pytest.importorskip("pyright")
    (script.parent / "pyrightconfig.json").write_text(json.dumps({"include": [script.name]}))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", python]
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
def test_mypy_finds_the_types(python, script):
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("pip install mypy")
    command = [sys.executable, "-m", "mypy", "--python-executable", python, "--follow-imports=silent"]
    run = subprocess.run(
        [*command, "--cache-dir", "cache", script.name], cwd=script.parent, capture_output=True, text=True
    )
    lines = run.stdout.splitlines()
    assert [line.split(":")[1] for line in lines[:3]] == ["6", "9", "10"], run.stdout
    assert lines[0].endswith('Revealed type is "bptt.modules.GRU"')
    assert lines[1].endswith('.Explanation"')
