"""Scores as a table in the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table


def score_table(scores: dict[str, dict[str, float]], judged_on: list[str], title: str) -> Table:
    """Scores by model (rows, the trained one first) and what it was judged on (columns)."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("model")
    for part in judged_on:
        table.add_column(part, justify="right")
    for place, (name, by_part) in enumerate(scores.items()):
        cells = [f"{by_part[part]:.3f}" if part in by_part else "" for part in judged_on]
        table.add_row(name, *cells, style="bold" if place == 0 else None)
    return table
