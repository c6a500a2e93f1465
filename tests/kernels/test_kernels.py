"""The kernels without Python, compiled here and for aarch64: harness.cpp on the cases of cases.py.

And the whole module, compiled and linked for macOS.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "src" / "bptt" / "native"
FLAGS = ["-std=c++17", "-O1", "-w", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]


class Machine(NamedTuple):
    """A compiler, and the command that runs its programs."""

    compiler: str
    packages: str
    runs: tuple[str, ...] = ()


MACHINES = {
    "here": Machine("g++", "g++"),
    "aarch64": Machine(
        "aarch64-linux-gnu-g++",
        "g++-aarch64-linux-gnu qemu-user",
        ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"),
    ),
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    file = tmp_path_factory.mktemp("cases") / "cases.bin"
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, HERE / "cases.py", file], check=True, env=one_thread)
    return file


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["-pthread", "-fopenmp"])
@pytest.mark.parametrize("machine", MACHINES)
def test_every_walk_gives_the_numbers_of_torch_nn(machine, threads, cases, tmp_path):
    compiler, packages, runs = MACHINES[machine]
    if not all(map(shutil.which, (compiler, *runs[:1]))):
        pytest.skip(f"apt-get install {packages}")
    program = tmp_path / "harness"
    sources = ["-DBPTT_ISA=portable", f"-I{NATIVE}", HERE / "harness.cpp", NATIVE / "kernels.cpp"]
    subprocess.run([compiler, *FLAGS, threads, *sources, "-o", program], check=True)
    run = subprocess.run([*runs, program, cases], capture_output=True, text=True)
    print(f"{machine} {threads}\n{run.stdout}")
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
def test_the_module_links_for_macos(tmp_path):
    pytest.importorskip("ziglang", reason="pip install ziglang nanobind")
    nanobind = Path(pytest.importorskip("nanobind", reason="pip install ziglang nanobind").__file__).parent
    folders = [nanobind / "include", nanobind / "ext" / "robin_map" / "include", sysconfig.get_path("include")]
    sources = [nanobind / "src" / "nb_combined.cpp", NATIVE / "module.cpp", NATIVE / "kernels.cpp"]
    library = tmp_path / "_native.so"

    def link(*options: str) -> subprocess.CompletedProcess[str]:
        compiler = [sys.executable, "-m", "ziglang", "c++", "-target", "aarch64-macos", "-shared"]
        settings = ["-DBPTT_ISA=portable", "-DNDEBUG", "-fvisibility=hidden", "-fno-strict-aliasing"]
        includes = [f"-I{folder}" for folder in folders]
        command = [*compiler, *FLAGS, *settings, *includes, *options, *sources, "-o", library]
        return subprocess.run(command, capture_output=True, text=True)

    errors = [line for line in link().stderr.splitlines() if line.startswith("error: ")]
    missing = [line.removeprefix("error: undefined symbol: ") for line in errors]
    assert missing, "the interpreter's functions are not in a library"
    assert not [name for name in missing if not name.startswith(("_Py", "__Py"))]
    run = link("-Wl,-undefined,dynamic_lookup")
    assert run.returncode == 0, run.stderr
    assert library.read_bytes()[:8] == bytes.fromhex("cffaedfe0c000001"), "64-bit Mach-O of arm64"
