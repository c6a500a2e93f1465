"""Formulas as SVG inside the page, typeset by ziamath; they need no network, script or font."""

import re
from xml.etree import ElementTree

import ziamath
from docutils import nodes

SIZE = 18  # of the letters, in pixels

ziamath.config.svg2 = False


def svg(latex: str, inline: bool) -> str:
    """A formula in the text's own colour, on the text's own line."""
    formula = ziamath.Latex(latex, size=SIZE, inline=inline, color="currentColor")
    element = formula.svgxml()
    depth = -formula.getyofst() if inline else 0
    element.set("role", "img")
    element.set("aria-label", latex)
    if inline:
        element.set("style", f"vertical-align: {-depth:.2f}px")
    return re.sub(r"\s*\n\s*", " ", ElementTree.tostring(element, encoding="unicode"))


def visit_inline(self, node: nodes.math) -> None:
    self.body.append(f'<span class="math">{svg(node.astext(), inline=True)}</span>')
    raise nodes.SkipNode


def visit_block(self, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math">{svg(node.astext(), inline=False)}</div>\n')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("ziamath", (visit_inline, None), (visit_block, None))
    app.config.html_math_renderer = "ziamath"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
