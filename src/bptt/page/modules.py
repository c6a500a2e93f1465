"""The page's JavaScript modules as one script."""

from __future__ import annotations

import posixpath
import re
from functools import cache
from importlib import resources

_IMPORT = re.compile(r'^import .*from "(.+)";\n', re.MULTILINE)


def static(name: str) -> str:
    """One of the page's files, by its path below this folder."""
    return resources.files("bptt.page").joinpath(*name.split("/")).read_text(encoding="utf-8")


@cache
def bundled(*mains: str) -> str:
    """Modules and all they import, each once and after those it needs, in one scope."""
    found: dict[str, str] = {}

    def add(name: str) -> None:
        if name in found:
            return
        found[name] = ""  # a circle of imports ends here
        text = static(name)
        for needed in _IMPORT.findall(text):
            add(posixpath.normpath(posixpath.join(posixpath.dirname(name), needed)))
        del found[name]
        found[name] = re.sub(r"^export ", "", _IMPORT.sub("", text), flags=re.MULTILINE)

    for main in mains:
        add(main)
    return "\n".join(found.values())
