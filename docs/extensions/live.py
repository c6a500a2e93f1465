"""`{live}` frames the lesson's page, live; `{live} vanish` opens it at a chapter."""

from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from bptt.commands.explain import lesson_explorer
from bptt.commands.options import ExplainOptions
from bptt.page.html import page_html

FILE = "_static/explore.html"


class Live(SphinxDirective):
    """A frame around the page, and a link to it; an argument names a chapter."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        place = "../" * self.env.docname.count("/") + FILE + (f"#{self.arguments[0]}" if self.arguments else "")
        frame = f'<iframe class="live" src="{place}" title="The lesson, live" loading="lazy"></iframe>'
        return [nodes.raw("", f'{frame}<p><a href="{place}">Open it on its own</a></p>', format="html")]


def write(app, exception) -> None:
    """Write the page beside the other static files."""
    if exception is None and app.builder.format == "html":
        path = Path(app.outdir, FILE)
        path.write_text(page_html(lesson_explorer(ExplainOptions()).page()), encoding="utf-8")


def setup(app):
    app.add_directive("live", Live)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
