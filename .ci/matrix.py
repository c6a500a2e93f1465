"""Run the tests, without those in a browser, on other versions of Python, torch and numpy: `make matrix`.

Each argument is PYTHON:TORCH:NUMPY, each of which may be "newest". Each gets an environment made by uv, with bptt
built in it from the unpacked sdist, whose tests it runs, and a row of the table that is printed at the end. PYTHON
may be anything that `uv venv --python` takes, a path too; "newest" is the newest that uv finds or can download.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST_AND_NEWEST = ["3.11:2.10.0:1.26.4", "newest:newest:newest"]
PYTHONS = ["3.14", "3.13", "3.12", "3.11"]  # supported, the newest first
TESTS = ["tests", "--ignore=tests/browser"]
if sys.platform == "win32":  # the others need the pipes, paths and forked processes of POSIX
    folders = ["equations", "walks", "reach", "insight", "sklearn"]
    files = ["test_modules.py", "test_module_transforms.py", "test_module_nonfinite.py", "test_windows.py"]
    TESTS = [f"tests/{name}" for name in folders + files]
TOOLS = ["pytest", "pytest-xdist", "hypothesis", "scipy"]
VERSIONS = (
    "import sys, torch, numpy; print(sys.version.split()[0], torch.__version__, numpy.__version__, sep=' | ')"
)


def tested(python: str, torch: str, numpy: str, folder: Path) -> tuple[str, bool]:
    """A row of the table, and whether all tests passed."""
    uv = shutil.which("uv") or sys.exit("uv is needed: pip install uv")
    tried = PYTHONS if python == "newest" else [python]
    if all(subprocess.run([uv, "venv", "--quiet", "--python", one, folder / "env"]).returncode for one in tried):
        return f"| {python} | {torch} | {numpy} | no Python {' or '.join(tried)} is there |", False
    executable = next(path for path in (folder / "env").glob("*/python*") if path.stem == "python")
    source = unpacked_sdist(uv, folder / "sdist")
    asked = {"torch": torch, "numpy": numpy}
    wanted = [name if version == "newest" else f"{name}=={version}" for name, version in asked.items()]
    package = f"bptt[sklearn,onnx,tensorboard] @ {source.as_uri()}"
    subprocess.run([uv, "pip", "install", "--quiet", "--python", executable, *wanted, *TOOLS, package], check=True)
    said = subprocess.run([executable, "-c", VERSIONS], capture_output=True, text=True, check=True).stdout.strip()
    command = [executable, "-m", "pytest", "-n", "auto", "--dist", "worksteal", "-p", "no:cacheprovider"]
    run = subprocess.run([*command, *TESTS], cwd=source, stdout=subprocess.PIPE, text=True)
    print(run.stdout)
    return f"| {said} | {run.stdout.strip().splitlines()[-1]} |", run.returncode == 0


def unpacked_sdist(uv: str, folder: Path) -> Path:
    """The sources as a packager gets them."""
    subprocess.run([uv, "build", "--quiet", "--sdist", "--out-dir", folder, ROOT], check=True)
    sdist = next(folder.glob("*.tar.gz"))
    shutil.unpack_archive(sdist, folder, filter="data")
    return folder / sdist.name.removesuffix(".tar.gz")


def main() -> int:
    """0 where all tests passed in each environment, else 1."""
    rows = []
    for versions in sys.argv[1:] or OLDEST_AND_NEWEST:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(tested(*versions.split(":"), Path(folder)))
    print("| Python | torch | numpy | tests |", "|---|---|---|---|", *(row for row, _ in rows), sep="\n")
    return 0 if all(passed for _, passed in rows) else 1


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    raise SystemExit(main())
