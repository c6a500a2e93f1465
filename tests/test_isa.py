"""The kernels' tests once more under each other instruction set this machine has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bptt.walks import kernels

TESTS = Path(__file__).parent


@pytest.mark.skipif(not kernels.available(), reason="installed without the native kernels")
@pytest.mark.parametrize("isa", ["avx512", "avx2", "portable"])
def test_the_ladder_under(isa):
    environment = {**os.environ, "BPTT_ISA": isa}
    asked = subprocess.run(
        [sys.executable, "-c", "import bptt; print(bptt.isa())"],
        env=environment,
        capture_output=True,
        text=True,
    )
    if "has no" in asked.stderr:
        pytest.skip(f"this machine has no {isa}")
    assert asked.stdout.strip() == isa
    if os.environ.get("BPTT_ISA", kernels.isa()) == isa:
        pytest.skip(f"{isa} is what all tests run under")
    names = ("walks/test_door", "walks/test_cpu", "walks/test_operators", "test_complex_step")
    ladder = [str(TESTS / f"{name}.py") for name in names]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *ladder],
        env=environment,
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-3000:]


def test_an_unknown_one_is_said():
    environment = {**os.environ, "BPTT_ISA": "mmx"}
    run = subprocess.run(
        [sys.executable, "-c", "import bptt; bptt.isa()"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert "BPTT_ISA=mmx is none of avx512, avx2, portable" in run.stderr
