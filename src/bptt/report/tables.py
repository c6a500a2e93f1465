"""Scores as a table in the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table


def score_table(scores: dict[str, dict[str, float]], spans: list[str]) -> Table:
    """Average relative variance by model (rows, the trained one first) and span (columns)."""
    table = Table(title="average relative variance (less is better)", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("model")
    for span in spans:
        table.add_column(span, justify="right")
    for place, (name, by_span) in enumerate(scores.items()):
        cells = [f"{by_span[span]:.3f}" if span in by_span else "" for span in spans]
        table.add_row(name, *cells, style="bold" if place == 0 else None)
    return table
