"""The kernels' tests once more under each other instruction set this machine has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bptt.walks import kernels

TESTS = Path(__file__).parent


KERNELS = ("walks/test_cpu",)
LADDER = (*KERNELS, "walks/test_door", "walks/test_operators", "test_complex_step")
# Compilers, exporters and second derivatives, which the reference computes, ask nothing more of the kernels.
OTHERS = "exported or compiled or opcheck or second_derivatives"


@pytest.mark.skipif(not kernels.available(), reason="installed without the native kernels")
@pytest.mark.parametrize("isa", ["avx512", "avx2", "portable"])
@pytest.mark.parametrize(
    "files", [KERNELS, pytest.param(LADDER, marks=pytest.mark.slow)], ids=["kernels", "whole ladder"]
)
def test_the_ladder_under(isa, files):
    if os.environ.get("BPTT_ISA", kernels.isa()) == isa:
        pytest.skip(f"{isa} is what all tests run under")
    arguments = [
        "-p",
        "no:cacheprovider",
        "-k",
        f"not ({OTHERS})",
        *(str(TESTS / f"{name}.py") for name in files),
    ]
    code = f"import bptt; print(bptt.isa()); import pytest; raise SystemExit(pytest.main({arguments}))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "BPTT_ISA": isa},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
    )
    if "has no" in run.stderr:
        pytest.skip(f"this machine has no {isa}")
    assert run.stdout.split()[0] == isa
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
