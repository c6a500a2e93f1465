from io import StringIO

import pytest
from rich.console import Console

from bptt.report.tables import print_scores


def test_models_are_rows_and_spans_columns():
    console = Console(width=80, record=True, file=StringIO())
    print_scores(console, {"ours": {"a": 0.1, "b": 0.25}, "theirs": {"b": 0.5}}, ["a", "b"], "accuracy")
    shown = console.export_text()
    assert ["ours", "0.100", "0.250"] in [line.split() for line in shown.splitlines()]
    assert ["theirs", "0.500"] in [line.split() for line in shown.splitlines()]


def test_where_much_was_judged_the_models_are_columns():
    console = Console(width=80, record=True, file=StringIO())
    parts = [f"part {i}" for i in range(9)]
    scores = {"ours": {part: i / 8 for i, part in enumerate(parts)}, "theirs": {"part 8": 0.5}}
    print_scores(console, scores, parts, "accuracy")
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["ours", "theirs"] in lines
    assert ["part", "1", "0.125"] in lines
    assert ["part", "8", "1.000", "0.500"] in lines


def test_names_are_no_markup_and_not_too_long():
    names = ["[/]", "[red]x[/red]", ":smile:", "a\x1b[2Jb", "n" * 10_000, "n" * 10_001]
    console = Console(width=400, file=StringIO())
    print_scores(console, {name: {"[/]": 1.0} for name in names}, ["[/]"], "title")
    shown = console.file.getvalue()
    for name in ["[/]", "[red]x[/red]", ":smile:", "a\\x1b[2Jb", "n" * 30 + "…" + "n" * 30, "(2)"]:
        assert name in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("width", [40, 60])
@pytest.mark.parametrize("parts", [2, 9])
def test_no_number_is_broken_where_the_terminal_is_narrow(width, parts):
    console = Console(width=width, file=StringIO())
    spans = [f"consumption_of_electricity, {part} ahead" for part in range(parts)]
    names = ["this run (gru)", "its linear part alone", "seasonal persistence (7)"]
    scores = {name: dict.fromkeys(spans, 1.5e-09 + place * 1e-08) for place, name in enumerate(names)}
    print_scores(console, scores, spans, "average relative variance (less is better)")
    shown = console.file.getvalue()
    assert max(map(len, shown.splitlines())) <= width
    for number in ("1.5e-09", "1.15e-08", "2.15e-08"):
        assert shown.split().count(number) == parts
    assert "seasonal" in shown.split()
