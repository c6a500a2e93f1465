"""The documents' examples run, print what is said below them, and draw the pictures that are shown."""

import contextlib
import importlib
import inspect
import io
import re
import shlex
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
import ziamath

import bptt
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


def headings(path: Path) -> set[str]:
    """Return the anchors of a page's headings, of those that docs/conf.py gives one."""
    deepest = re.search(r"^myst_heading_anchors = (\d)", (DOCS / "conf.py").read_text(encoding="utf-8"), re.M)[1]
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = re.findall(rf"^#{{1,{deepest}}} (.+)$", text, re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(
    "path", [*PAGES, DOCS.parent / "README.md"], ids=lambda path: path.relative_to(DOCS.parent).as_posix()
)
def test_every_file_and_heading_it_links_to_is_there(path):
    for link, place in re.findall(r"\]\(([^)#:]+)(?:#([^)]+))?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / link).exists(), link
        if place and link.endswith(".md"):
            assert place in headings(path.parent / link), f"{link}#{place}"


@pytest.mark.parametrize("name", bptt.__all__)
def test_the_reference_has_every_public_name_and_an_example_of_what_is_called(name):
    reference = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md"))
    assert re.search(rf"^\.\. auto\w+:: (bptt\.(errors\.)?)?{name}$", reference, re.M)
    said = inspect.getdoc(getattr(bptt, name)) or ""
    if not inspect.isclass(getattr(bptt, name)) or "Args:" in said:
        blocks = "".join(block for _, _, block, _ in BLOCK.findall(reference))
        assert ">>>" in said or f"bptt.{name}(" in blocks


@pytest.fixture
def equations(monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "extensions")
    return importlib.import_module("equations")


@pytest.mark.parametrize(
    ("said", "latex"),
    [
        ("n = tanh(p_n + r m)     (4)", r"n &= \tanh(p_{n} + r m) &&\quad \text{(4)}"),
        ("m = h_{t-1} W_hnᵀ  when asked", r"m &= h_{t-1} W_{hn}^{\mathsf{T}}\quad \text{when asked}"),
        ("y = softmax(α) of s_t", r"y &= \mathrm{softmax}(\alpha) \text{ of }s_{t}"),
        (
            "∂E_3/∂W = ∂E_3/∂s_3 + ...",
            r"\frac{\partial E_{3}}{\partial W} &= \frac{\partial E_{3}}{\partial s_{3}} + \dots",
        ),
    ],
)
def test_an_equation_in_a_docstring_becomes_a_formula(said, latex, equations):
    assert equations.is_equation([f"    {said}"])
    formula = equations.latex([f"    {said}", "", "        with a"])
    assert formula == f"\\begin{{aligned}}\n{latex} \\\\\n&\\quad \\text{{ with }}a\n\\end{{aligned}}"
    assert ziamath.Latex(formula).svg()


def test_an_example_in_a_docstring_stays_one(equations):
    assert not equations.is_equation(["    result = bptt.checkpointed(model, x, d, criterion)"])
    assert not equations.is_equation(["    for window in bptt.truncated(model, x, d, criterion, k1=20):"])


def test_the_output_of_a_docstrings_example_stays_as_it_is(monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "extensions")
    docstrings = importlib.import_module("docstrings")
    for name in bptt.__all__:
        said = (inspect.getdoc(getattr(bptt, name)) or "").splitlines()
        shown = list(said)
        docstrings.shown(None, "object", name, None, None, shown)
        for example in re.findall(r"^ *>>>.*(?:\n.*\S.*)*", "\n".join(said), re.M):
            assert example in "\n".join(shown), name


def test_wide_prose_is_folded_and_a_wide_table_is_not(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(DOCS / "extensions")
    folds = importlib.import_module("terminal").folds
    prose, row = "The gradient vanishes. " * 5 + "  (untried)", "weight    0.1    0.0%    0.3%"
    assert folds(f"{prose}\n{prose}")
    assert not folds(f"{prose}\n{row}\n{row}")
    assert not folds("short")
