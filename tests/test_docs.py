"""The documents' examples run."""

import contextlib
import io
import re
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"```python(?: requires=(\w+))?\n(.*?)```", re.DOTALL)
TEXTS = {path: path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}
WITH_EXAMPLES = [path for path, text in TEXTS.items() if BLOCK.search(text)]
REQUIRED = [
    (path, need) for path in WITH_EXAMPLES for need in sorted({need for need, _ in BLOCK.findall(TEXTS[path])})
]


@pytest.mark.parametrize(
    ("path", "need"), REQUIRED, ids=lambda value: value.stem if isinstance(value, Path) else value or "plain"
)
def test_every_example_runs(path, need, tmp_path, monkeypatch):
    """The plain ones, and behind them those that require a package, where it is installed."""
    if need and find_spec(need) is None:
        pytest.skip(f"{need} is not installed, which an example in {path.name} requires")
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": path.stem}
    for requires, block in BLOCK.findall(TEXTS[path]):
        if requires in ("", need):
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                if requires:
                    warnings.simplefilter("ignore")  # what a package of others warns of
                exec(compile(block, path.name, "exec"), names)


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: path.relative_to(DOCS).as_posix())
def test_every_file_it_links_to_is_there(path):
    for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / link).exists(), link
