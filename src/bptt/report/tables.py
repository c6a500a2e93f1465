"""Scores as tables in the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..printable import distinct, shortened, significant
from ..terminal import NARROW, wrapped

HEAD = 20  # characters of a line in a column's head, where its words are no longer
WORD = 12  # characters of a word on a narrow terminal, at most
UNBOUNDED = 10_000  # columns, more than any table needs


def print_scores(console: Console, scores: dict[str, dict[str, float]], judged_on: list[str], title: str) -> None:
    """Print scores by model (the trained one first) and test span; the fewer of the two are the columns.

    Columns that the terminal is too narrow for follow in further tables, so that no number is broken.
    """
    if models_are_columns := len(judged_on) > max(4, len(scores)):
        rows, columns = judged_on, list(scores)
        cells = [[_cell(scores[name], part) for part in rows] for name in columns]
    else:
        rows, columns = list(scores), judged_on
        cells = [[_cell(scores[name], part) for name in rows] for part in columns]
    looks, first = distinct([*scores, *judged_on]), 0
    most = WORD if console.width < NARROW else UNBOUNDED
    looks = {name: " ".join(shortened(word, most) for word in look.split(" ")) for name, look in looks.items()}
    longest = max(len(word) for row in rows for word in looks[row].split(" "))

    def table(places: range) -> Table:
        found = Table(title=title if first == 0 else None, title_justify="left", box=SIMPLE_HEAD)
        found.add_column("" if models_are_columns else "model", min_width=longest)
        for place in places:
            style = "bold" if models_are_columns and place == 0 else None
            head = wrapped(looks[columns[place]], width=min(HEAD, most))
            least = max(map(len, [*head, *cells[place]]))
            found.add_column(Text("\n".join(head)), justify="right", style=style, min_width=least)
        for number, row in enumerate(rows):
            style = "bold" if not models_are_columns and number == 0 else None
            found.add_row(Text(looks[row]), *(cells[place][number] for place in places), style=style)
        return found

    def fits(places: range) -> bool:
        unbounded = console.options.update(max_width=UNBOUNDED)
        return console.measure(table(places), options=unbounded).minimum <= console.width

    while first < len(columns):
        counts = range(len(columns) - first, 0, -1)
        count = next((count for count in counts if fits(range(first, first + count))), 1)
        console.print(table(range(first, first + count)))
        first += count


def _cell(scores: dict[str, float], name: str) -> str:
    return significant(scores[name]) if name in scores else ""
