"""The wheel of `make wheel` works in an empty environment where no compiler is to be found."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TAG = f"cp{sys.version_info.major}{sys.version_info.minor}"
WHEELS = sorted((ROOT / "dist").glob(f"bptt-*-{TAG}-*manylinux*_x86_64.whl"))

pytestmark = pytest.mark.skipif(not WHEELS, reason="no wheel in dist/: run `make wheel`")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Runs a program of a new environment, which has the wheel and only borrows its dependencies."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    packages = next((folder / "venv" / "lib").glob("python*/site-packages"))
    pip = [folder / "venv" / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-index", "--no-deps", WHEELS[-1]], check=True)
    (packages / "borrowed.pth").write_text(f"{_dependencies()}\n")
    environment = {"PATH": str(folder / "venv" / "bin"), "HOME": str(folder)}

    def run(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [folder / "venv" / "bin" / program, *arguments],
            cwd=folder, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def _dependencies() -> str:
    import torch

    return str(Path(torch.__file__).parents[1])


def test_it_carries_its_kernels_but_no_openmp_of_its_own():
    with zipfile.ZipFile(WHEELS[-1]) as wheel:
        names = wheel.namelist()
    assert f"bptt/_native{sysconfig.get_config_var('EXT_SUFFIX')}" in names
    assert not [name for name in names if "gomp" in name]


def test_one_openmp_runs_and_the_kernels_are_the_wheels(bare):
    said = bare(
        "python",
        "-c",
        "import bptt; print(bptt.walks.kernels.available(), bptt.__file__); print(open('/proc/self/maps').read())",
    )
    assert said.startswith("True ")
    assert "venv" in said.splitlines()[0]
    assert len({line.split()[-1] for line in said.splitlines() if "gomp" in line}) == 1


def test_it_trains_and_checks_without_a_compiler(bare):
    bare("python", "-c", "import shutil; assert not any(map(shutil.which, ('cc', 'c++', 'gcc', 'g++', 'clang')))")
    bare("bptt", "train", "--epochs", "2", "--out", "run")
    assert "agree" in bare("bptt", "check", "gru")
