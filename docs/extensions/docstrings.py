"""Docstrings as they stand, to reStructuredText: what is indented below a sentence is set as it is."""

import re

SECTIONS = {"Args:", "Returns:", "Raises:", "Attributes:", "Yields:", "Example:", "Call:"}


def shown(app, what, name, obj, options, lines: list[str]) -> None:
    """Set equations and examples as they are, and take the letters * and | for letters."""
    out: list[str] = []
    section = literal = False
    for line in lines:
        indented = line.startswith("    ")
        if line and not indented:
            out += [""] if literal else []
            section, literal = line in SECTIONS, False
        if indented and not section and not literal:
            out += ["", "::", ""]
            literal = True
        out.append(line if literal or line.lstrip().startswith((">>>", "...")) else _plain(line))
    lines[:] = out


def _plain(line: str) -> str:
    parts = re.split(r"(`+[^`]*`+)", line)
    return "".join(part if part.startswith("`") else re.sub(r"([*|]|_(?=\W|$))", r"\\\1", part) for part in parts)


def setup(app):
    """Before napoleon, which takes the sections apart."""
    app.connect("autodoc-process-docstring", shown, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
