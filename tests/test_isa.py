"""The kernels' tests once more under each other instruction set this machine has."""

import os
import sys
from pathlib import Path

import pytest

import bptt
from bptt.walks import kernels
from support import forked, run_script

TESTS = Path(__file__).parent

pytestmark = pytest.mark.skipif(not kernels.available(), reason="installed without the native kernels")

KERNELS = ("walks/test_cpu",)
LADDER = (*KERNELS, "walks/test_door", "walks/test_operators", "test_complex_step")
# These ask nothing more of the kernels; second derivatives are the reference's.
OTHERS = "exported or compiled or opcheck or profiler or second_derivatives or quick_walk or changed_in_place"


def run_under(isa, folder, *arguments):
    """The exit code, output and errors of pytest under an instruction set, whose name it prints first."""
    output = folder / "printed"
    process = forked(run_script, __file__, *arguments, output=output, BPTT_ISA=isa)
    process.join()
    return process.exitcode, output.read_text(), output.with_suffix(".err").read_text()


@pytest.mark.parametrize("isa", ["avx512", "avx2", "portable"])
@pytest.mark.parametrize(
    "files", [KERNELS, pytest.param(LADDER, marks=pytest.mark.slow)], ids=["kernels", "whole ladder"]
)
def test_the_ladder_under(isa, files, tmp_path):
    if os.environ.get("BPTT_ISA", kernels.isa()) == isa:
        pytest.skip(f"{isa} is what all tests run under")
    choice = ["-k", f"not ({OTHERS})", *(str(TESTS / f"{name}.py") for name in files)]
    code, printed, error = run_under(isa, tmp_path, "--assert=plain", "-p", "no:cacheprovider", *choice)
    if f"this machine has no {isa}" in error:
        pytest.skip(f"this machine has no {isa}")
    assert printed.split()[0] == isa
    assert code == 0, printed[-3000:] + error[-3000:]


def test_an_unknown_one_is_said(tmp_path):
    _, _, error = run_under("mmx", tmp_path)
    assert "BPTT_ISA=mmx is none of avx512, avx2, portable" in error


if __name__ == "__main__":
    print(bptt.isa(), flush=True)
    raise SystemExit(pytest.main(sys.argv[1:]))
