"""Docstrings as they stand, to reStructuredText: equations become formulas, examples stay as they are."""

import re

from equations import is_equation, latex

SECTIONS = {"Args:", "Returns:", "Raises:", "Attributes:", "Yields:", "Example:", "Call:", "Show:"}
ENUMERATOR = re.compile(r"(?<![^ ])(\(?\w[.)])(?= |$)")  # "B. Default 1" is no list of which this is item B


def shown(app, what, name, obj, options, lines: list[str]) -> None:
    """Set indented blocks apart, and escape the characters * and |."""
    out: list[str] = []
    section, at, example = "", 0, False
    while at < len(lines):
        line = lines[at]
        if line.startswith("    ") and not section:
            end = at
            while end < len(lines) and (not lines[end] or lines[end].startswith("    ")):
                end += 1
            out += _apart(lines[at:end])
            at = end
            continue
        example = line.lstrip().startswith(">>>") or (example and line.strip() != "")
        if example:  # the output below its statement included
            out.append(line)
            at += 1
            continue
        if line and not line.startswith("    "):
            section = line if line in SECTIONS else ""
        out += _of_each(line) if section == "Attributes:" else [_plain(line)]
        at += 1
    lines[:] = out


def _apart(block: list[str]) -> list[str]:
    if is_equation(block):
        return ["", ".. math::", "", *(f"    {line}" for line in latex(block).splitlines()), ""]
    return ["", ".. code-block:: python", "", *block, ""]


def _of_each(line: str) -> list[str]:
    """An attribute's line; for "a, b: ..." one line each."""
    names = re.match(r"    (\w+(?:, \w+)+):", line)
    each = [f"    {name}{line[names.end() - 1 :]}" for name in names[1].split(", ")] if names else [line]
    return [_plain(line) for line in each]


def _plain(line: str) -> str:
    parts = re.split(r"(`+[^`]*`+)", line)
    return "".join(part if part.startswith("`") else _letters(part) for part in parts)


def _letters(text: str) -> str:
    return ENUMERATOR.sub(r"\\\1", re.sub(r"([*|]|_(?=\W|$))", r"\\\1", text))


def resolved(app, env, node, contnode):
    """A name in backquotes links to the only object of that name in the reference, wherever it is defined."""
    if node.get("refdomain") != "py" or node["reftype"] != "obj":
        return None
    python, name = env.domains["py"], node["reftarget"]
    if len(python.find_obj(env, None, None, name, "obj", 1)) != 1:
        return None
    node["refspecific"] = True
    return python.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, contnode)


def setup(app):
    """Before napoleon, which takes the sections apart."""
    app.connect("autodoc-process-docstring", shown, priority=400)
    app.connect("missing-reference", resolved)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
