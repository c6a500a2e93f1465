"""What the README shows is what happens."""

import contextlib
import io
import re
import warnings
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_every_example_runs_and_prints_what_the_readme_says():
    blocks = re.findall(r"```(python|text)\n(.*?)```", README, re.DOTALL)
    kinds = ["python", "text", "python", "python", "python", "text", "python", "python", "python"]
    assert [kind for kind, _ in blocks] == kinds
    names: dict = {}
    printed = []
    for kind, text in blocks:
        if kind == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out), warnings.catch_warnings():
                exec(compile(text, "README.md", "exec"), names)
            printed.append(out.getvalue())
        else:
            assert printed[-1] == text


def test_every_file_it_links_to_is_there():
    for path in [*re.findall(r"\]\(([^)#:]+)\)", README), "docs/notation.md", "benchmarks/sunspots.py"]:
        assert (Path(__file__).parents[1] / path).exists(), path


def test_every_dependency_has_its_reason():
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    dependencies = re.search(r"\ndependencies = \[\n(.*?)\]", project, re.DOTALL)
    names = re.findall(r'"([a-z0-9-]+)>=', dependencies.group(1))
    extra = re.search(r"\nonnx = \[(.*?)\]", project)
    names += re.findall(r'"([a-z0-9-]+)>=', extra.group(1))
    assert names
    table = README[README.index("| dependency | why |") :]
    for name in names:
        assert re.search(rf"^\|.*\b{name}\b.*\|.*\|$", table, re.MULTILINE), f"{name} has no line in the README"
