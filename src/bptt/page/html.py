"""The page as one HTML file that needs no network.

Its data is one JSON document; its script and its style are the files beside this one. A content security policy
admits this script, by its hash, and no other.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Literal

import polars as pl
import torch
from jinja2 import Environment, FunctionLoader, Template, select_autoescape
from torch import Tensor

from ..files import creating
from ..insight.lesson.backward import check_network
from ..insight.lesson.notation import LessonNetwork
from ..insight.plain_models import Criterion, checked_step
from ..losses import squared_error
from ..modules import GRU, LSTM
from ..networks import SequenceModel
from ..printable import significant
from ..report.run import RunReport
from .formulas import Formulas, formulas
from .modules import bundled, static
from .network import LOSSES, Experiment, NetworkData, Subject, choices, is_live, network_data
from .recorded import RecordedErrors, most_steps, record_errors


@dataclass(frozen=True, repr=False)
class Page:
    """Everything the page shows; a notebook displays it, computing.

    Attributes:
        title, lead: its heading and the lines below it.
        network: the network.
        x, d: the longest sequence there is; of a language model x holds the tokens' numbers.
        steps, grows: as in `Subject`.
        t: the step whose error is shown at first, from 1.
        choices: the losses and activations a reader may choose.
        formulas: by cell, loss and "plain" or "leaky".
        lesson: whether the lesson's chapters and exercises are shown.
        recorded: the numbers of a network too large to compute with; else None.
        times: a label for each step of the longest sequence, or None.
        diagnosis: `bptt.Diagnosis.numbers()`, or None.
        run: the results of a training run, or None.
        labels: the tokens of one-hot inputs and of the outputs, of a language model; else empty.
    """

    title: str
    lead: list[str]
    network: NetworkData
    x: list[Any]
    d: list[Any]
    steps: int
    grows: Literal["end", "start"]
    t: int
    choices: dict[str, list[str]]
    formulas: dict[str, dict[str, dict[str, Formulas]]]
    lesson: bool = False
    recorded: RecordedErrors | None = None
    times: list[str] | None = None
    diagnosis: dict[str, Any] | None = None
    run: RunReport | None = None
    labels: list[str] = field(default_factory=list)

    def save(self, path: str | Path) -> None:
        """Write it to a new file, which needs neither a server nor a network.

        Raises:
            FileExistsError: the file exists; it is left as it is.
        """
        with creating(Path(path)) as file:
            file.write(page_html(self).encode())

    def _repr_html_(self) -> str:
        frame = 'style="width:100%;height:840px;border:0" title="Backpropagation through time"'
        return f'<iframe {frame} srcdoc="{escape(page_html(self))}"></iframe>'


def live_page(
    model: LessonNetwork, x: Tensor, d: Tensor, criterion: Criterion = squared_error, *, t: int | None = None
) -> Page:
    """A page about a network on a sequence that recomputes when its reader changes anything.

    It computes in the browser, up to 64 units and 500 steps; of a larger network it shows what was recorded.

    Args:
        model: a `bptt.Elman` or a unidirectional `bptt.SequenceModel`; it stays as it is.
        x: one sequence, (T, I).
        d: the target of every step, (T, O), or class numbers (T).
        criterion: `bptt.squared_error`, the default, or `bptt.cross_entropy`.
        t: the step whose error is shown first, 1 to T. Default T.

    Returns:
        the page, which a notebook displays; ``save(path)`` writes it as one file.

    Raises:
        TypeError: model is of another type.
        ValueError: x is no single sequence, d does not fit it, t is outside 1..T, or the network, its loss or its
            length cannot be shown.

    >>> import torch
    >>> from bptt import Elman
    >>> live_page(Elman(2, 3, 1), torch.ones(4, 2), torch.zeros(4, 1), t=3).t
    3
    """
    check_network(model)
    if x.dim() != 2:
        raise ValueError(f"x must be one sequence (T, I), got {tuple(x.shape)}; choose one of the batch")
    if len(d) != len(x):
        raise ValueError(f"d has {len(d)} rows, but x has {len(x)} steps; give one target for each")
    t = len(x) if t is None else checked_step(t, len(x))
    model = copy.deepcopy(model).to("cpu", torch.float64)
    d = d.to("cpu", torch.float64) if d.is_floating_point() else d.cpu()
    subject = Subject(Experiment(model, x.to("cpu", torch.float64), d, criterion), len(x))
    return page_of(subject, "Backpropagation through time", [], t)


def page_of(subject: Subject, title: str, lead: list[str], t: int, **further: Any) -> Page:
    """The page about a network and its sequence; the rest as in `Page`.

    Raises:
        ValueError: a direction walks backwards, the loss is unknown, or the sequence is too long.
    """
    net, x, d, criterion = subject.longest
    network = network_data(net, criterion)
    most = most_steps(net)
    if subject.steps > most:
        raise ValueError(
            f"the sequence has {subject.steps} steps; of a network of this size at most {most} are shown"
        )
    live = is_live(net)
    if not live:
        subject = Subject(subject.shown(), subject.steps)
        net, x, d, criterion = subject.longest
    x, d = _longest(subject, x, most), _longest(subject, d, most)
    offered = choices(net, network.loss) if live else {"losses": [network.loss], "activations": []}
    lesson = further.get("lesson", False)
    known = {network.cell: formulas(net, list(LOSSES) if lesson else offered["losses"])}
    if lesson:
        known |= _gated_formulas()
    return Page(
        title,
        lead,
        network,
        x=x.argmax(1).tolist() if further.get("labels") else x.tolist(),
        d=d.tolist(),
        steps=subject.steps,
        grows=subject.grows,
        t=t,
        choices=offered,
        formulas=known,
        recorded=None if live else record_errors(subject.shown()),
        **further,
    )


def _gated_formulas() -> dict[str, dict[str, dict[str, Formulas]]]:
    """By cell, as `formulas`: without biases, but with the derivatives by them, as one chapter's LSTM has one."""
    found = {}
    with torch.random.fork_rng(devices=[]):
        for module in (GRU, LSTM):
            net, biased = (SequenceModel(module(1, 1, bias=bias), 2) for bias in (False, True))
            matrices = {loss: of["plain"].matrices for loss, of in formulas(biased, list(LOSSES)).items()}
            found[net.cell.name.lower()] = {
                loss: {"plain": replace(of["plain"], matrices=matrices[loss])}
                for loss, of in formulas(net, list(LOSSES)).items()
            }
    return found


def _longest(subject: Subject, rows: torch.Tensor, most: int) -> torch.Tensor:
    return rows[:most] if subject.grows == "end" else rows[max(0, len(rows) - most) :]


def page_html(page: Page) -> str:
    """The page as one HTML file; light and dark, from 390 pixels of width."""
    return _template().render(
        page=page,
        policy=policy(),
        data=json_of(page).replace("<", "\\u003c"),
        style=static("view/page.css") + (static("results/results.css") if page.run else ""),
        script=_script(),
    )


@cache
def _template() -> Template:
    """The page's template; compiling it takes longer than filling it."""
    environment = Environment(
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(static),
    )
    environment.filters["significant"] = significant
    return environment.get_template("view/page.html")


def json_of(value: Any) -> str:
    """A dataclass of plain data and tables as JSON; a table is an object of its columns."""
    return json.dumps(value, default=_fields, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def policy() -> str:
    """The content security policy: its own script by its hash, and no requests."""
    script = f"script-src 'sha256-{_hash(_script())}'"
    return (
        f"default-src 'none'; {script}; style-src 'unsafe-inline'; img-src data: blob:; "
        "connect-src 'none'; base-uri 'none'; form-action 'none'"
    )


def _fields(value: Any) -> Any:
    if is_dataclass(value):
        return {one.name: getattr(value, one.name) for one in fields(value)}
    if isinstance(value, pl.DataFrame):
        return value.to_dict(as_series=False)
    return str(value)  # a path among a run's choices


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _script() -> str:
    return '"use strict";\n(() => {\n' + bundled("view/main.js") + "})();\n"
