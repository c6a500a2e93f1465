"""The result of a diagnosis, and how it prints."""

from __future__ import annotations

import math
import shutil
import sys
import textwrap
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..text_tables import bar, text_html
from .clipping import GradientNorms
from .input_memory import GAIN, LEAST_ROWS, InputMemory
from .layers import Gate, LayerDiagnosis
from .verdict import DiagnosisKind, Severity, reason

WIDTH = 80  # characters of a line where the text goes to no terminal
EXPONENTS_SHOWN = 4
NOTHING = 1e-4  # part of the gradient below which further lags are not shown
PRODUCTS_SHOWN = 2  # every second of the lags 1, 2, 4, ...


@dataclass(frozen=True)
class Diagnosis:
    """The result of `bptt.diagnose`; print it. Steps count from 1.

    Attributes:
        kind: "non-finite", "no gradient", "exploding", "vanishing" or "healthy": the worst of the layers'.
        sentence: the same beside what the data needs.
        severity: "warning" where something is to be mended, "note" where that is not known, else "fine".
        enough: whether the gradient reaches as far back as the data needs; None where one of the two is unknown.
        steps: T.
        lags: how far back was looked.
        layers: each layer and direction, the lowest first; empty where numbers are not finite.
        memory: how far back x predicts d; None where that cannot be measured.
        gradient_norms: what clipping sees; None where numbers are not finite.
        remedies: what to do, the first thing first, and what a trial of each one showed.
        where: the data that was looked at, in words.
        notes: what else was found, a sentence each.
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

    def numbers(self) -> dict[str, Any]:
        """Every number as plain lists, ready for JSON; None for what is infinite or unknown."""
        return _plain(self)

    def __str__(self) -> str:
        return diagnosis_text(self)

    def _repr_html_(self) -> str:
        return text_html(str(self))


def diagnosis_text(found: Diagnosis) -> str:
    """The verdict, the reasons with their numbers, and the remedies, for a terminal."""
    lines = _wrapped(found.sentence)
    for note in found.notes:
        lines += ["", *_wrapped(note)]
    for layer in found.layers:
        lines += ["", *_layer_rows(layer, found)]
    if found.layers:
        lines += ["", *_memory_rows(found.memory)]
    if found.gradient_norms is not None:
        lines += ["", *_norm_rows(found.gradient_norms, found.steps)]
    if found.remedies:
        lines += ["", "what to do"]
        for number, remedy in enumerate(found.remedies, 1):
            lines += _wrapped(remedy, f"  {number}. ")
    return "\n".join(lines)


def _layer_rows(layer: LayerDiagnosis, found: Diagnosis) -> list[str]:
    kind = "fading, as it may" if layer.kind == "vanishing" and found.severity == "fine" else layer.kind
    rows = _wrapped(f"{layer.layer}, {layer.cell}: {kind}; {reason(layer)}")
    if layer.gradient_by_lag is None:
        both = any(other.layer.endswith("_reverse") for other in found.layers)
        why = (
            "the error comes from other steps on both sides"
            if both
            else "errors enter by final states, or by states changed between calls"
        )
        rows += _wrapped(f"not available: {why}", _label("gradient by lag"))
    else:
        rows += _lag_rows(layer)
    for name, radius in layer.spectral_radius.items():
        rows.append(f"{_label(name)}spectral radius {radius:.3g}, norm {layer.norm[name]:.3g}")
    rows.append(f"{_label('units')}{layer.saturated:.0%} saturated: their slope is below a tenth of Φ's largest")
    rows += [f"{_label(f'gate {name}')}{_gate(gate)}" for name, gate in layer.gates.items()]
    lags, values = layer.product_lags[::PRODUCTS_SHOWN], layer.singular_values[::PRODUCTS_SHOWN]
    shown = ", ".join(str(lag) for lag in lags)
    rows.append(f"{_label('Jacobians')}singular values of the products over {shown} steps:")
    for name, place in (("largest", 0), ("middle", values.shape[1] // 2), ("smallest", -1)):
        rows.append(_label("") + f"{name:<9}" + ", ".join(f"{value:.3g}" for value in values[:, place].tolist()))
    return rows + _wrapped(_exponents(layer.exponents), _label("exponents"))


def _lag_rows(layer: LayerDiagnosis) -> list[str]:
    """The gradient at lags 0, 1, 2, 4, ..., the start 100 %, until nothing is left."""
    by_lag = layer.gradient_by_lag
    assert by_lag is not None
    last = len(by_lag) - 1
    reach = f"less than 1 % comes from beyond lag {layer.reach}" if layer.reach is not None else None
    fold = (
        "does not fall to 1/e" if math.isinf(layer.efold_lag) else f"falls to 1/e in {layer.efold_lag:.1f} steps"
    )
    rows = _wrapped(
        f"{fold}; " + (reach or f"more than 1 % comes from beyond the {last} lags looked at"),
        _label("gradient"),
    )
    lags = sorted({0, last, *(2**i for i in range(last.bit_length()))} if last else {0})
    start = by_lag[0].item()
    for lag in lags:
        part = by_lag[lag].item() / start if start > 0 else 0.0
        rows.append(f"{_label(f'lag {lag}')}{_percent(part):>9}  {bar(part)}".rstrip())
        if part < NOTHING:
            break
    return rows


def _exponents(exponents: Tensor) -> str:
    shown = ", ".join(f"{value:.3g}" for value in exponents[:EXPONENTS_SHOWN].tolist())
    rest = f", ... {exponents[-1].item():.3g}" if len(exponents) > EXPONENTS_SHOWN else ""
    return f"Lyapunov {shown}{rest}; e^λ_1 = {math.exp(exponents[0].item()):.3g} a step"


def _gate(gate: Gate) -> str:
    return f"{gate.mean:.2f} on average; {gate.closed:.0%} closed (below 0.1), {gate.open:.0%} open (above 0.9)"


def _memory_rows(memory: InputMemory | None) -> list[str]:
    if memory is None:
        return _wrapped(
            f"what it needs is not measured: no d, fewer than {LEAST_ROWS} targets, a constant d, or d neither "
            "one a step nor one a sequence",
            _label("data"),
        )
    best = max(memory.r2)
    probe = (
        f"a linear probe of {'x' if memory.tokens is None else f'the {memory.tokens} tokens of x'}, out of sample"
    )
    if memory.lag is None:
        said = f"no lag of x up to {memory.lags[-1]} predicts d linearly (R² {best:.2f}; {probe})"
        return _wrapped(f"{said}; a nonlinear trace may be there", _label("data"))
    at = dict(zip(memory.lags, memory.r2, strict=True))
    what = f"x back to lag {memory.lag}" if memory.lag else "x_t alone"
    rows = _wrapped(f"{what} predicts d; further lags add less than {GAIN:g} to R² ({probe})", _label("data"))
    for lag in sorted({0, 1, memory.lag // 2, memory.lag, memory.lags[-1]} & set(at)):
        rows.append(f"{_label(f'to lag {lag}')}R² {at[lag]:>6.3f}  {bar(max(at[lag], 0.0))}".rstrip())
    return rows


def _norm_rows(norms: GradientNorms, steps: int) -> list[str]:
    middle, most = norms.norms.median().item(), norms.norms.max().item()
    if len(norms.norms) == 1:
        return [f"{_label('gradient norm')}{norms.whole:.3g} over all {steps} steps"]
    return _wrapped(
        f"{middle:.3g} in the middle, {norms.clip:.3g} at the 90th percentile, {most:.3g} at most, over "
        f"{len(norms.norms)} windows of {norms.window} steps; {norms.whole:.3g} over all {steps} steps at once",
        _label("gradient norm"),
    )


def _percent(part: float) -> str:
    if part >= 10:
        return f"{part:.3g} x"
    return "<0.01%" if 0 < part < NOTHING else f"{part:.2%}"


def _label(text: str) -> str:
    return f"  {text:<15} "


def _wrapped(text: str, start: str = "") -> list[str]:
    width = shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH
    return textwrap.wrap(
        text, width, initial_indent=start, subsequent_indent=" " * len(start), break_long_words=False
    )


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
