"""Draw docs/speed.svg: the ratios of docs/performance.md's training steps, which `bptt bench` measured."""

import math
import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
WIDTH, LEFT, RIGHT, TOP, ROW = 720, 214, 24, 62, 30
TICKS = (1, 2, 5, 10, 20, 50, 100, 200)
LINE = re.compile(r"^ +(RNN|GRU|LSTM) +\((\d+), (\d+), (\d+), (\d+)\) .*\) +([\d.]+) +[\d.]+ +\d+%$", re.MULTILINE)
STYLE = (
    "svg{color:#1c1e21}.RNN{fill:#007a5a}.GRU{fill:#0072b2}.LSTM{fill:#b34700}"
    ".grid{stroke:currentColor;opacity:.18}.one{stroke:currentColor;stroke-width:2}text{fill:currentColor}"
    "@media(prefers-color-scheme:dark){svg{color:#e6e8eb}"
    ".RNN{fill:#3fc79a}.GRU{fill:#56b4e9}.LSTM{fill:#ff8b3d}}"
)
MARKS = {  # shapes around a point, so that they differ without colours too
    "RNN": '<rect class="RNN" x="{x:.1f}" y="{y:.1f}" width="11" height="11" transform="translate(-5.5 -5.5)"/>',
    "GRU": '<circle class="GRU" cx="{x:.1f}" cy="{y:.1f}" r="6"/>',
    "LSTM": '<path class="LSTM" d="M{x:.1f} {y:.1f}m0-7.5 7 7.5-7 7.5-7-7.5z"/>',
}


def ratios(page: str) -> dict[str, dict[str, float]]:
    """By size and cell, how many times as fast as torch.nn a training step was."""
    found: dict[str, dict[str, float]] = {}
    for cell, T, B, I, H, ratio in LINE.findall(page.split("## A training step")[1].split("\n## ")[0]):
        found.setdefault(f"T {T}, B {B}, I {I}, H {H}", {})[cell] = float(ratio)
    return found


def chart(sizes: dict[str, dict[str, float]]) -> str:
    """A row for each size, a mark for each cell, on a logarithmic axis."""
    bottom = TOP + ROW * len(sizes)
    parts = [
        f"<style>{STYLE}</style>",
        _text(0, 18, "A training step on 2 CPU cores: times as fast as torch.nn", 16),
    ]
    for place, cell in enumerate(MARKS):
        parts += [MARKS[cell].format(x=LEFT + 70 * place, y=38), _text(LEFT + 12 + 70 * place, 43, cell)]
    for tick in TICKS:
        kind = "one" if tick == 1 else "grid"
        parts.append(f'<path class="{kind}" d="M{_across(tick):.1f} {TOP - 8}V{bottom}"/>')
        parts.append(_text(_across(tick), bottom + 18, f"{tick}×", anchor="middle"))
    for row, (size, cells) in enumerate(sizes.items()):
        y = TOP + ROW * row + ROW / 2 - 4
        parts.append(_text(LEFT - 14, y + 5, size, anchor="end"))
        parts += [MARKS[cell].format(x=_across(ratio), y=y) for cell, ratio in cells.items()]
    said = "Training steps of RNN, GRU and LSTM compared with torch.nn, by size"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 28}" width="{WIDTH}" '
        f'height="{bottom + 28}" role="img" aria-label="{said}" font-family="system-ui, sans-serif">'
        + "".join(parts)
        + "</svg>\n"
    )


def _across(ratio: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * math.log(ratio) / math.log(TICKS[-1])


def _text(x: float, y: float, said: str, size: int = 14, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{said}</text>'


if __name__ == "__main__":
    drawn = chart(ratios((DOCS / "performance.md").read_text(encoding="utf-8")))
    (DOCS / "speed.svg").write_text(drawn, encoding="utf-8")
