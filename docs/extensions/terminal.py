"""Terminal output in the documentation: `{options} train` inserts `bptt train --help`; long lines wrap."""

import contextlib
import io
import os
import re

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from bptt.cli import main

COLUMNS = 80
WIDE = 100  # letters of a line above which a block is folded rather than scrolled


class Options(SphinxDirective):
    """A command's own help."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        os.environ["COLUMNS"] = str(COLUMNS)
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            main([*self.arguments[0].split(), "--help"])
        text = said.getvalue()
        return [nodes.literal_block(text, text, language="text")]


def folds(text: str) -> bool:
    """Whether text is wider than a page, and prose: the columns of a table would be lost."""
    lines = text.splitlines()
    columns = [line for line in lines if len(re.findall(r"\S {2,}(?=\S)", line)) > 1]
    return max(map(len, lines), default=0) > WIDE and len(columns) < 2


def fold(app, doctree) -> None:
    """Mark the blocks of text that are folded."""
    for block in doctree.findall(nodes.literal_block):
        if block.get("language") == "text" and folds(block.astext()):
            block["classes"].append("folded")


def setup(app):
    app.add_directive("options", Options)
    app.connect("doctree-read", fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
