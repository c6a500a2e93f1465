"""The README's examples print what it shows, and its figures are those of the documents."""

import contextlib
import io
import re
import tomllib
import warnings
from pathlib import Path

from support import loaded

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PERFORMANCE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
RATIO = re.compile(r"^ +(?:RNN|GRU|LSTM) .*\) +([\d.]+) +[\d.]+ +\d+%$", re.MULTILINE)


def test_every_example_runs_and_prints_what_the_readme_says():
    names: dict = {}
    printed = ""
    blocks = re.findall(r"```(python|text)\n(.*?)```", README, re.DOTALL)
    assert [kind for kind, _ in blocks] == ["python", "python", "text"]
    for kind, text in blocks:
        if kind == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out), warnings.catch_warnings():
                exec(compile(text, "README.md", "exec"), names)
            printed = out.getvalue()
        else:
            assert printed == text


def test_every_file_it_links_to_is_there():
    links = re.findall(r"\]\(([^)#:]+)\)", README) + re.findall(r'(?:src|srcset)="([^"]+)"', README)
    for path in [*links, "benchmarks/forecasts.py"]:
        assert (ROOT / path).exists(), path


def test_on_pypi_every_link_and_picture_names_its_host():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shown = README
    for one in project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        shown = re.sub(one["pattern"], one["replacement"], shown)
    links = re.findall(r"\]\(([^)]+)\)", shown) + re.findall(r'(?:src|srcset)="([^"]+)"', shown)
    assert len(links) > 30
    pages, pictures = (
        "https://github.com/bptt/bptt/blob/main/",
        "https://raw.githubusercontent.com/bptt/bptt/main/",
    )
    for link in links:
        host = pictures if link.endswith((".svg", ".webp")) else pages
        assert link.startswith(host), link
        assert (ROOT / link.removeprefix(host).split("#")[0]).exists(), link


def test_it_stays_short():
    assert len(README.splitlines()) < 150


def test_its_gains_are_those_that_were_measured():
    gains = [float(found) for found in RATIO.findall(PERFORMANCE.split("## Inference")[0])]
    assert gains
    assert f"{min(gains):.1f} to {max(gains):.0f} times" in README
    for slower in (found for found in RATIO.findall(PERFORMANCE) if float(found) < 1):
        assert slower in README


def test_the_chart_shows_the_figures_of_the_page():
    charts = loaded(ROOT / "benchmarks" / "speed_chart.py")
    drawn = charts.chart(charts.ratios(PERFORMANCE))
    assert drawn == (ROOT / "docs" / "speed.svg").read_text(encoding="utf-8"), "run benchmarks/speed_chart.py"


def test_every_dependency_has_its_reason():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    dependencies = re.search(r"\ndependencies = \[\n(.*?)\]", project, re.DOTALL)
    names = re.findall(r'"([a-z0-9-]+)>=', dependencies.group(1))
    extra = re.search(r"\nonnx = \[(.*?)\]", project)
    names += re.findall(r'"([a-z0-9-]+)>=', extra.group(1))
    assert names
    install = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    for name in names:
        assert re.search(rf"^\|.*\b{name}\b.*\|.*\|$", install, re.MULTILINE), f"{name} has no line in install.md"
