"""What a training shows while it runs."""

import io

import polars as pl
import pytest
from rich.console import Console
from rich.progress import BarColumn

import bptt
from bptt.runs import training_run
from bptt.walks import kernels


@pytest.mark.parametrize(
    ("width", "term", "has_bar"), [(80, "xterm", True), (40, "xterm", False), (80, "dumb", False)]
)
def test_a_narrow_or_dumb_terminal_has_numbers_and_no_bar(width, term, has_bar):
    console = Console(width=width, file=io.StringIO(), force_terminal=True, _environ={"TERM": term})
    progress = training_run.progress_on(console)
    assert any(isinstance(column, BarColumn) for column in progress.columns) == has_bar
    progress.add_task("epochs", total=9, completed=3, losses="loss 0.1234")
    console.print(progress.get_renderable())
    (line,) = console.file.getvalue().splitlines()
    assert "3/9" in line
    assert "loss 0.1234" in line


@pytest.mark.usefixtures("unreported")
def test_the_time_left_is_said_once_after_the_first_epoch(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(training_run, "time_left", lambda *given: asked.append(given) or "a very long time")
    table = pl.DataFrame({"y": [float(i % 7) for i in range(60)]})
    bptt.train(table, target="y", hidden=3, epochs=3, linear=False, verbose=True)
    ((_, left, seconds),) = asked
    assert left == 2
    assert seconds > 0
    assert capsys.readouterr().out.count("a very long time") == 1


@pytest.mark.usefixtures("unreported")
def test_missing_kernels_are_said_once_with_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(kernels, "_native", None)
    table = pl.DataFrame({"y": [float(i % 7) for i in range(60)]})
    bptt.train(table, target="y", hidden=3, epochs=1, linear=False, verbose=True)
    said = " ".join(capsys.readouterr().out.split())
    assert said.count(f"on a CPU this is slower than it could be: {kernels.missing()}") == 1
