"""The interactive page: one offline file, and the same page served live by `bptt explore`.

Its data is one JSON document; its scripts and its style are the files in ``static``. plotly is embedded
compressed, and unpacked once a chart is in view. A content security policy admits these scripts, by their hashes,
and no others.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from importlib import resources
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, select_autoescape
from plotly.offline import get_plotlyjs

from ..insight.exploring.exploration import Exploration
from .run import RunReport


@dataclass(frozen=True)
class Live:
    """The choices a reader has while the page is served."""

    activations: list[str]
    losses: list[str]
    most_steps: int


@dataclass(frozen=True)
class Page:
    """Everything the page shows."""

    title: str  # its heading
    lead: list[str]  # the lines below the heading
    command: str  # the command that serves this page live
    exploration: Exploration  # the network on its sequence
    t: int  # the step whose error is shown at first, from 1
    times: list[str] | None = None  # a label for each step, or None
    diagnosis: dict[str, Any] | None = None  # `bptt.Diagnosis.numbers()`, or None where the sequence is too short
    run: RunReport | None = None  # the results of a training run, or None
    live: Live | None = None  # the reader's choices; None in a file


def page_html(page: Page) -> str:
    """The page as one HTML file, under 6 MB, that needs no network; light and dark, from 390 pixels of width."""
    environment = Environment(
        loader=PackageLoader("bptt.report"),
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        page=page,
        policy=policy(page.live is not None),
        data=json_of(page).replace("<", "\\u003c"),
        style=_static("page.css"),
        script=_script(),
        plotly=_packed_plotly(),
    )


def json_of(value: Any) -> str:
    """A dataclass of plain data and tables as JSON; a table is an object of its columns."""
    return json.dumps(value, default=_fields, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def policy(live: bool) -> str:
    """The content security policy: its own scripts by their hashes, and when live requests to its server."""
    scripts = " ".join(f"'sha256-{_hash(text)}'" for text in (_script(), get_plotlyjs()))
    asks = "'self'" if live else "'none'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"connect-src {asks}; base-uri 'none'; form-action 'none'"
    )


def _fields(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, pl.DataFrame):
        return value.to_dict(as_series=False)
    return str(value)  # a path among a run's choices


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _static(name: str) -> str:
    return resources.files("bptt.report").joinpath("static", name).read_text(encoding="utf-8")


@cache
def _script() -> str:
    """main.js and all it imports as one script: each module once, after those it needs."""
    found: dict[str, str] = {}

    def add(name: str) -> None:
        text = _static(name)
        for needed in re.findall(r'^import .* from "\./(.+)";$', text, re.MULTILINE):
            if needed not in found:
                add(needed)
        text = re.sub(r"^import .*;\n", "", text, flags=re.MULTILINE)
        found[name] = re.sub(r"^export ", "", text, flags=re.MULTILINE)

    add("main.js")
    return '"use strict";\n(() => {\n' + "\n".join(found.values()) + "})();\n"


@cache
def _packed_plotly() -> str:
    """plotly's source, compressed to a third, as base64."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
