"""The documents' examples run, print what is said below them, and draw the pictures that are shown."""

import contextlib
import io
import re
import shlex
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest

from bptt.cli import main

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts]
WITH_EXAMPLES = [path for path in PAGES if "```python" in path.read_text(encoding="utf-8")]
BLOCK = re.compile(r"```(python|sh)(?: requires=(\w+))?\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)


def run(commands: str) -> None:
    for line in commands.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "bptt", line
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert not end.value.code, line


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_every_example_runs_prints_and_draws_what_is_shown(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    missing = []
    for kind, need, block, shown in BLOCK.findall(path.read_text(encoding="utf-8")):
        if need and find_spec(need) is None:
            missing.append(need)
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            if need:
                warnings.simplefilter("ignore")  # another package's own
            if kind == "python":
                exec(compile(block, path.name, "exec"), names)
            else:
                run(block)
        assert not shown or printed.getvalue() == shown, block
    for picture in tmp_path.glob("*.svg"):
        assert picture.read_text(encoding="utf-8") == (path.parent / picture.name).read_text(encoding="utf-8")
    if missing:
        pytest.skip(f"{' and '.join(missing)} is not installed, which one of its examples needs")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_every_file_it_links_to_is_there(path):
    for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / link).exists(), link
