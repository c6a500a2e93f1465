"""Tables and small pictures of results for a notebook: escaped, in the notebook's own colours, bounded in size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

ROWS = 60  # of a table; more are counted
BARS = 60  # of a picture; more are joined
ORANGE = "#c8601a"  # legible on white and on black: a notebook's theme need not be the system's
CELL = "text-align:left;padding:.15em .9em .15em 0"
FADE = "2.5em"  # of the edge beyond which a table or picture goes on
STYLE = "border-collapse:collapse;font-variant-numeric:tabular-nums"


class Bar(NamedTuple):
    """A cell with a number and a bar of its size."""

    text: str
    part: float  # of a full bar; more is cut, and of less than 0 its size counts


class Picture(NamedTuple):
    """A cell with markup that is made here."""

    svg: str


TableCell = str | Bar | Picture
Row = tuple[str, *tuple[TableCell, ...]]  # its name, and its cells


def table_html(head: Sequence[str], rows: Iterable[Row], title: str = "") -> str:
    """A table whose first column names its rows; what is longer than `ROWS` is counted below it."""
    rows = list(rows)
    caption = f'<caption style="text-align:left"><b>{escape(title)}</b></caption>' if title else ""
    top = "".join(f'<th scope="col" style="{CELL}">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row" style="{CELL}">{escape(name)}</th>{"".join(map(_cell, cells))}</tr>'
        for name, *cells in rows[:ROWS]
    )
    more = f"<p>and {len(rows) - ROWS} more</p>" if len(rows) > ROWS else ""
    table = f'<table style="{STYLE}">{caption}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'
    return scrolled(table) + more


def scrolled(markup: str) -> str:
    """Markup that scrolls sideways where it is wider than its place; a faded edge hints at the rest."""
    inside = (
        f'<div style="width:max-content;min-width:100%;padding-right:{FADE};box-sizing:border-box">{markup}</div>'
    )
    mask = f"linear-gradient(to right,#000 calc(100% - {FADE}),transparent)"
    return f'<div style="overflow-x:auto;-webkit-mask-image:{mask};mask-image:{mask}">{inside}</div>'


def paragraphs(texts: Iterable[str]) -> str:
    """A paragraph for each text."""
    return "".join(f"<p>{escape(text)}</p>" for text in texts)


def details_html(title: str, body: str, is_open: bool = False) -> str:
    """Markup under a title that unfolds it."""
    shown = ' open=""' if is_open else ""
    return f"<details{shown}><summary>{escape(title)}</summary>{body}</details>"


def bars(values: Sequence[float], label: str) -> Picture:
    """A bar for each value, or for the mean over a stretch of them; the largest is a full one.

    Args:
        label: the picture in words.
    """
    count = min(len(values), BARS)
    ends = [len(values) * i // count for i in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(ends)]
    most = max((mean for mean in means if math.isfinite(mean)), default=0.0) or 1.0
    wide = 180 / count
    drawn = []
    for i, mean in enumerate(means):
        high = 26 * (min(mean / most, 1.0) if math.isfinite(mean) else 1.0)
        drawn.append(
            f'<rect x="{i * wide:.1f}" y="{28 - high:.1f}" width="{0.8 * wide:.1f}" height="{high:.1f}"/>'
        )
    return Picture(
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(label)}" width="180" height="30" '
        f'viewBox="0 0 180 30"><title>{escape(label)}</title><g fill="{ORANGE}">{"".join(drawn)}</g>'
        '<path d="M0 28.5H180" stroke="currentColor" opacity=".5"/></svg>'
    )


def _cell(cell: TableCell) -> str:
    if isinstance(cell, str):
        return f'<td style="{CELL}">{escape(cell)}</td>'
    if isinstance(cell, Picture):
        return f'<td style="{CELL}">{cell.svg}</td>'
    part = min(abs(cell.part), 1.0) if math.isfinite(cell.part) else 0.0
    bar = f"display:inline-block;height:.7em;margin-left:.5em;width:{6 * part:.2f}em;background:{ORANGE}"
    return f'<td style="{CELL};white-space:nowrap">{escape(cell.text)}<span style="{bar}"></span></td>'
