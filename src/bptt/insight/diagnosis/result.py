"""The result of a diagnosis, and how it prints."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import Any

from torch import Tensor

from ...terminal import wrapped
from ..html_tables import Bar, Row, bars, paragraphs, table_html
from ..text_tables import with_bar
from .clipping import GradientNorms
from .facts import Fact, layer_facts, memory_facts, norm_fact
from .input_memory import InputMemory
from .layers import LayerDiagnosis
from .verdict import DiagnosisKind, Severity, reason


@dataclass(frozen=True)
class Diagnosis:
    """The result of `bptt.diagnose`; print it. Steps count from 1.

    Attributes:
        kind: "non-finite", "no gradient", "exploding", "vanishing" or "healthy": the worst of the layers'.
        sentence: the same beside what the data needs.
        severity: "warning" where something should be changed, "note" where that is not known, else "fine".
        enough: whether the gradient reaches as far back as the data needs; None where one of the two is unknown.
        steps: T.
        lags: how far back was looked.
        layers: each layer and direction, the lowest first; empty where numbers are not finite.
        memory: how far back x predicts d; None where that cannot be measured, and `unmeasured` says why.
        gradient_norms: what clipping sees; None where numbers are not finite.
        remedies: what to do, the first thing first, and what a trial of each one showed.
        where: the data that was looked at, in words.
        notes: what else was found, a sentence each.
        unmeasured: why there is no `memory`, and what to do.
    """

    kind: DiagnosisKind
    sentence: str
    severity: Severity
    enough: bool | None
    steps: int
    lags: int
    layers: list[LayerDiagnosis]
    memory: InputMemory | None
    gradient_norms: GradientNorms | None
    remedies: list[str]
    where: str = ""
    notes: list[str] = field(default_factory=list)
    unmeasured: str = ""

    def numbers(self) -> dict[str, Any]:
        """Every number as plain lists, ready for JSON; None for what is infinite or unknown."""
        return _plain(self)

    def __str__(self) -> str:
        return diagnosis_text(self)

    def _repr_html_(self) -> str:
        return diagnosis_html(self)


def diagnosis_text(found: Diagnosis) -> str:
    """The verdict, the reasons with their numbers, and the remedies, for a terminal."""
    lines = wrapped(found.sentence)
    for note in found.notes:
        lines += ["", *wrapped(note)]
    for title, facts in _sections(found):
        lines += ["", *wrapped(title), *(line for fact in facts for line in _fact_lines(fact))]
    if found.remedies:
        lines += ["", "what to do"]
        for number, remedy in enumerate(found.remedies, 1):
            lines += wrapped(remedy, f"  {number}. ")
    return "\n".join(lines)


def diagnosis_html(found: Diagnosis) -> str:
    """The same for a notebook: a table for each layer, with the gradient by lag as a picture."""
    parts = [f"<p><b>{escape(found.sentence)}</b></p>", paragraphs(found.notes)]
    if found.remedies:
        items = "".join(f"<li>{escape(remedy)}</li>" for remedy in found.remedies)
        parts.append(f"<p>what to do</p><ol>{items}</ol>")
    layers = {_title(layer, found): layer for layer in found.layers}
    for title, facts in _sections(found):
        rows: list[Row] = [
            (f.label, f.text.strip() if f.part is None else Bar(f.text.strip(), f.part)) for f in facts
        ]
        by_lag = layers[title].gradient_by_lag if title in layers else None
        if by_lag is not None:
            label = f"gradient by lag, 0 to {len(by_lag) - 1}"
            rows.insert(0, (label, bars(by_lag.tolist(), label)))
        parts.append(table_html((), rows, title))
    return "".join(parts)


def _sections(found: Diagnosis) -> list[tuple[str, list[Fact]]]:
    """Titles with their facts: each layer, then the data and the gradient's norm without one."""
    both = any(layer.layer.endswith("_reverse") for layer in found.layers)
    sections = [(_title(layer, found), layer_facts(layer, both)) for layer in found.layers]
    if found.layers:
        sections.append(("", memory_facts(found.memory, found.unmeasured, both)))
    if found.gradient_norms is not None:
        sections.append(("", [norm_fact(found.gradient_norms, found.steps)]))
    return sections


def _title(layer: LayerDiagnosis, found: Diagnosis) -> str:
    kind = "fading, as it may" if layer.kind == "vanishing" and found.severity == "fine" else layer.kind
    return f"{layer.layer}, {layer.cell}: {kind}; {reason(layer)}"


def _fact_lines(fact: Fact) -> list[str]:
    start = f"  {fact.label:<15} "
    if fact.part is None:
        return wrapped(fact.text, start)
    return [with_bar(start + fact.text, fact.part)]


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return None if isinstance(value, float) and not math.isfinite(value) else value
