"""Our own SVG: letters with indices, arrows, and a page's colours in light and dark."""

from __future__ import annotations

import re
import zlib
from html import escape
from itertools import pairwise
from typing import NamedTuple

# Blue is what goes forward, orange the gradient on its way back, grey what has died: as on the page, and distinct
# for colour-blind eyes (Okabe & Ito's hues); each in light and in dark.
COLOURS = {"forward": ("#0072b2", "#56b4e9"), "back": ("#b34700", "#ff8b3d"), "dead": ("#5d6168", "#a3a7ae")}
# On its own an SVG chooses its ink; inside a page it takes the page's.
PAGE = ".bptt:root{color:#1c1e21}@media(prefers-color-scheme:dark){.bptt:root{color:#e6e8eb}}"
FONT = "'STIX Two Text', 'Latin Modern Roman', Cambria, Georgia, 'Times New Roman', serif"

Point = complex  # x + y·1j; y grows downwards


class Curve(NamedTuple):
    """A cubic Bézier curve; a straight line where its control points lie on it."""

    start: Point
    one: Point
    two: Point
    end: Point

    def at(self, part: float) -> Point:
        """The point a part of the way along it, 0 to 1."""
        u = 1 - part
        weights = (u**3, 3 * u * u * part, 3 * u * part * part, part**3)
        return sum(weight * point for weight, point in zip(weights, self, strict=True))

    def until(self, part: float) -> Curve:
        """Its beginning, a part of the way (de Casteljau)."""
        ab, bc, cd = (a + part * (b - a) for a, b in pairwise(self))
        abc, bcd = ab + part * (bc - ab), bc + part * (cd - bc)
        return Curve(self.start, ab, abc, abc + part * (bcd - abc))

    @property
    def length(self) -> float:
        """Its length, by sixteen chords."""
        return sum(abs(b - a) for a, b in pairwise(self.at(i / 16) for i in range(17)))

    def back(self) -> Curve:
        """The same line from its end to its start."""
        return Curve(*self[::-1])

    @property
    def path(self) -> str:
        """It as the data of an SVG path."""
        start, *others = (f"{point.real:.1f} {point.imag:.1f}" for point in self)
        return f"M{start} C{', '.join(others)}"


def straight(start: Point, end: Point, cut_start: float = 0, cut_end: float = 0, aside: float = 0) -> Curve:
    """A line between two points, shortened at both ends and moved to its right by `aside`."""
    length = abs(end - start)
    ahead = (end - start) / length
    third = (length - cut_start - cut_end) / 3
    return Curve(*(start + (cut_start + i * third + aside * 1j) * ahead for i in range(4)))


def arrow(line: Curve) -> str:
    """A thin arrow forward."""
    return f'<path class="forward" d="{line.path}" marker-end="url(#@ink)"/>'


def band(line: Curve, kind: str, width: float) -> str:
    """An arrow of a colour and width, its head as large as the width asks for; wider under the pointer."""
    head = 7 + 1.3 * width
    shaft = line.until(max(0.0, 1 - 0.8 * head / line.length))
    ahead = (line.end - shaft.end) / abs(line.end - shaft.end)
    base, side = line.end - head * ahead, (2.6 + 0.75 * width) * 1j * ahead
    points = " ".join(f"{corner.real:.1f},{corner.imag:.1f}" for corner in (line.end, base + side, base - side))
    return (
        f'<path class="hit" d="{line.path}"/><path class="{kind}" d="{shaft.path}" stroke-width="{width:.2f}"/>'
        f'<polygon class="{kind} head" points="{points}"/>'
    )


def cross(at: Point, kind: str) -> str:
    """An × over a point."""
    start = at - (5 + 5j)
    return (
        f'<path class="{kind} cross" d="M{start.real:.1f} {start.imag:.1f} l10 10 m0 -10 l-10 10" '
        'stroke-width="2.2"/>'
    )


def words(text: str, at: Point, anchor: str = "middle", size: float = 13, kind: str = "soft") -> str:
    """Plain words."""
    return _text(escape(text), at, anchor, size, kind)


def symbol(latex: str, at: Point, anchor: str = "middle", size: float = 19, kind: str = "text") -> str:
    """A letter with what stands below and above it: s_3, W_s^{(2)}."""
    base, below, above = _parts(latex)
    small = round(size * 0.68, 1)
    spans = [f'<tspan font-style="italic">{base}</tspan>']
    if above:
        spans.append(f'<tspan font-size="{small}" dy="{-size * 0.42:.1f}">{escape(above)}</tspan>')
    if below:
        down = size * 0.26 + (size * 0.42 if above else 0)
        left = f' dx="{-small * sum(1.0 if sign in "←→" else 0.42 for sign in above):.1f}"' if above else ""
        italic = "" if below.isdigit() else ' font-style="italic"'
        spans.append(f'<tspan font-size="{small}" dy="{down:.1f}"{left}{italic}>{escape(below)}</tspan>')
    return _text("".join(spans), at, anchor, size, kind)


def _text(body: str, at: Point, anchor: str, size: float, kind: str) -> str:
    place = f'x="{at.real:.1f}" y="{at.imag:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place} font-size="{size}">{body}</text>'


def lowered(text: str) -> str:
    """Plain text with its indices set low: E_12 as E₁₂."""
    digits = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
    return re.sub(r"_(\d+)", lambda found: found[1].translate(digits), text)


def _parts(latex: str) -> tuple[str, str, str]:
    r"""Base, index and what stands above, as text: "s_{12}^{(2)\leftarrow}" is ("s", "12", "(2)←")."""
    found = re.fullmatch(r"(\\?\w+?)(?:_(\w|\{[^{}]*\}))?(?:\^\{([^{}]*)\})?", latex)
    assert found is not None, latex
    base, below, above = (part or "" for part in found.groups())
    above = above.replace(r"\leftarrow", "←").replace(r"\rightarrow", "→")
    return base.replace(r"\delta", "δ"), below.strip("{}").replace("-", "−"), above


def hovered(body: str, title: str, css: str = "", **data: str) -> str:
    """A group that says more under the pointer; data become data- attributes, css its class."""
    attributes = f' class="{css}"' if css else ""
    attributes += "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    return f"<g{attributes}><title>{escape(title)}</title>{body}</g>" if title else f"<g{attributes}>{body}</g>"


def document(body: str, size: Point, label: str) -> str:
    """A whole SVG around a body drawn from 0; `label` says what it shows to those who do not see it."""
    mark = f"d{zlib.crc32(body.encode()):08x}-"
    marker = (
        f'<marker id="{mark}ink" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9.5" markerHeight="9.5" '
        'markerUnits="userSpaceOnUse" orient="auto">'
        '<path class="forward head" d="M0 .8 10 5 0 9.2 2.4 5z"/></marker>'
    )
    width, height = f"{size.real:.0f}", f"{size.imag:.0f}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="bptt bptt-diagram" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}" font-family="{FONT}" '
        'style="max-width:100%;height:auto">'
        f"<style>{PAGE}"
        ".bptt-diagram path,.bptt-diagram circle,.bptt-diagram rect{fill:none}"
        ".bptt-diagram .forward,.bptt-diagram .node{stroke-width:1.5}"
        ".bptt-diagram .node{stroke:currentColor}"
        ".bptt-diagram .text,.bptt-diagram .soft{fill:currentColor;stroke:none}"
        ".bptt-diagram .soft{opacity:.72}.bptt-diagram .idle{opacity:.38}.bptt-diagram .dead{stroke-dasharray:5 4}"
        ".bptt-diagram .cross{stroke-dasharray:none}.bptt-diagram .hit{stroke:transparent;stroke-width:18}"
        f"{_colours(0)}@media(prefers-color-scheme:dark){{{_colours(1)}}}</style>"
        f"<defs>{marker}</defs>{body.replace('#@', '#' + mark)}</svg>"
    )


def _colours(shade: int) -> str:
    """The rules of every colour, light (0) or dark (1)."""
    return "".join(
        f".bptt-diagram .{kind}{{stroke:{tones[shade]}}}"
        f".bptt-diagram .{kind}.head,.bptt-diagram text.{kind}{{fill:{tones[shade]};stroke:none}}"
        for kind, tones in COLOURS.items()
    )
