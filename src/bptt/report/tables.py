"""Scores as a table in the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ..printable import distinct, significant


def score_table(scores: dict[str, dict[str, float]], judged_on: list[str], title: str) -> Table:
    """Scores by model (the trained one first) and test span; the fewer of the two are the columns."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)

    def cells(names: Iterable[tuple[str, str]]) -> list[str]:
        return [significant(scores[name][part]) if part in scores[name] else "" for name, part in names]

    if is_wide := len(judged_on) > max(4, len(scores)):
        rows = [(part, cells((name, part) for name in scores)) for part in judged_on]
    else:
        rows = [(name, cells((name, part) for part in judged_on)) for name in scores]
    looks = distinct([*scores, *judged_on])
    table.add_column("" if is_wide else "model")
    for place, column in enumerate(scores if is_wide else judged_on):
        table.add_column(Text(looks[column]), justify="right", style="bold" if is_wide and place == 0 else None)
    for place, (name, row) in enumerate(rows):
        table.add_row(Text(looks[name]), *row, style="bold" if not is_wide and place == 0 else None)
    return table
