"""Formulas in rows, as plain text, as LaTeX and typeset as SVG."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from torch import Tensor

from .notation import plain
from .svg import PAGE

SIZE = 18.0  # of the letters, in pixels
GAP = 12.0  # between rows


class FormulaRow(NamedTuple):
    """One line of a formula: left = right, or a further line of the right side; in LaTeX."""

    left: str
    sign: str
    right: str
    note: str = ""


class FormulaBlock(NamedTuple):
    """Rows that belong together, under a heading."""

    title: str  # in LaTeX
    rows: list[FormulaRow]


def equation(line: str) -> FormulaRow:
    """A line "left = right" as a row."""
    left, right = line.split(" = ", 1)
    return FormulaRow(left, "=", right)


def number(value: float) -> str:
    """A number with three digits, in LaTeX.

    >>> number(0.25), number(-1.5e-7)
    ('0.25', '-1.5\\\\cdot 10^{-7}')
    """
    shown = f"{value:.3g}"
    if "e" not in shown:
        return shown
    digits, power = shown.split("e")
    return rf"{digits}\cdot 10^{{{int(power)}}}"


def numbers(value: Tensor) -> str:
    """A small matrix or vector in full, of a larger one the norm; in LaTeX."""
    if value.dim() == 0:
        return number(value.item())
    rows = [value.tolist()] if value.dim() == 1 else value.tolist()
    if len(rows) > 4 or len(rows[0]) > 4:
        size = r" \times ".join(str(n) for n in value.shape)
        return rf"\text{{norm }} {number(value.norm().item())} \text{{ of }} {size}"
    lines = r" \\ ".join(" & ".join(number(entry) for entry in row) for row in rows)
    return rf"\begin{{bmatrix}} {lines} \end{{bmatrix}}"


def text_of(blocks: Sequence[FormulaBlock]) -> str:
    """The blocks as plain text."""
    parts = []
    for title, rows in blocks:
        lines, indent = [plain(title)], 0
        for row in rows:
            left = plain(row.left)
            indent = len(left) if left else indent
            line = f"{left:>{indent}} {row.sign} {plain(row.right)}".rstrip()
            lines.append(f"   {line}" + (f"   ({plain(row.note)})" if row.note else ""))
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def latex_of(blocks: Sequence[FormulaBlock]) -> str:
    """The blocks as one ``aligned`` environment; needs amsmath."""
    lines = []
    for title, rows in blocks:
        lines.append(rf"& {title}")
        for row in rows:
            note = rf" \qquad ({row.note})" if row.note else ""
            lines.append(f"{row.left} &{row.sign} {row.right}{note}")
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def svg_of(blocks: Sequence[FormulaBlock], label: str) -> str:
    """The blocks typeset as one SVG of paths, in currentColor; `label` describes it."""
    placed = []
    y, left_width, right_width = 0.0, 0.0, 0.0
    for title, rows in blocks:
        heading = _typeset(title, SIZE * 0.85)
        y += 1.5 * GAP if placed else 0
        placed.append((heading, None, None, y))
        y += heading.getsize()[1] + GAP
        for row in rows:
            left = _typeset(row.left, SIZE) if row.left else None
            note = rf"\qquad ({row.note})" if row.note else ""
            right = _typeset(rf"{{}} {row.sign} {row.right} {note}", SIZE)
            parts = [part for part in (left, right) if part is not None]
            above = max(part.getsize()[1] + part.getyofst() for part in parts)
            below = max(-part.getyofst() for part in parts)
            placed.append((None, left, right, y + above))
            y += above + below + GAP
            left_width = max(left_width, left.getsize()[0] if left else 0)
            right_width = max(right_width, right.getsize()[0])
    width, height = f"{left_width + right_width + 12:.1f}", f"{y:.1f}"
    space = {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "aria-label": label}
    size = {"width": width, "height": height, "viewBox": f"0 0 {width} {height}"}
    svg = ElementTree.Element("svg", {**space, **size, "class": "bptt"})
    ElementTree.SubElement(svg, "style").text = PAGE
    for heading, left, right, y in placed:
        if heading is not None:
            heading.drawon(svg, 1, y, valign="top")
            continue
        if left is not None:
            left.drawon(svg, left_width, y, halign="right")
        right.drawon(svg, left_width + 6, y)
    return _finished(svg)


def _typeset(latex: str, size: float):
    from ziamath.zmath import Latex  # its font takes a moment to load

    return Latex(latex, size=size, color="currentColor")


def _finished(svg: ElementTree.Element) -> str:
    """Each glyph drawn once, under a name that no other SVG on the same page has."""
    glyphs: dict[str, ElementTree.Element] = {}
    mark = f"f{zlib.crc32(ElementTree.tostring(svg)):08x}-"
    for group in list(svg.iter()):
        for child in list(group):
            if child.tag == "symbol":
                glyphs.setdefault(child.attrib["id"], child)
                group.remove(child)
            elif child.tag == "use":
                child.attrib["href"] = f"#{mark}{child.attrib['href'].removeprefix('#')}"
    defs = ElementTree.Element("defs")
    for name, glyph in glyphs.items():
        glyph.attrib["id"] = mark + name
        defs.append(glyph)
    svg.insert(0, defs)
    return ElementTree.tostring(svg, encoding="unicode")
