"""What a diagnosis found, fact by fact: the lines of its text, and the rows of its tables in a notebook."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from .clipping import GradientNorms
from .input_memory import GAIN, InputMemory
from .layers import Gate, LayerDiagnosis

EXPONENTS_SHOWN = 4
NOTHING = 1e-4  # part of the gradient below which further lags are not shown
PRODUCTS_SHOWN = 2  # every second of the lags 1, 2, 4, ...


class Fact(NamedTuple):
    """One line: what it is about, what was found, and the size of its bar where it has one."""

    label: str
    text: str
    part: float | None = None


def layer_facts(layer: LayerDiagnosis, both_directions: bool) -> list[Fact]:
    """What was found in one layer; both_directions: whether another one walks backwards in time."""
    if layer.gradient_by_lag is None:
        why = (
            "each output of both directions depends on steps before and after it; bptt.contributions has the steps"
            if both_directions
            else "errors enter by final states, or by states changed between calls"
        )
        facts = [Fact("gradient by lag", f"not available: {why}")]
    else:
        facts = _lag_facts(layer, layer.gradient_by_lag)
    for name, radius in layer.spectral_radius.items():
        facts.append(Fact(name, f"spectral radius {radius:.3g}, norm {layer.norm[name]:.3g}"))
    facts.append(Fact("units", f"{layer.saturated:.0%} saturated: their slope is below a tenth of Φ's largest"))
    facts += [Fact(f"gate {name}", _gate(gate)) for name, gate in layer.gates.items()]
    lags, values = layer.product_lags[::PRODUCTS_SHOWN], layer.singular_values[::PRODUCTS_SHOWN]
    shown = ", ".join(str(lag) for lag in lags)
    facts.append(Fact("Jacobians", f"singular values of the products over {shown} steps:"))
    for name, place in (("largest", 0), ("middle", values.shape[1] // 2), ("smallest", -1)):
        facts.append(Fact("", f"{name:<9}" + ", ".join(f"{value:.3g}" for value in values[:, place].tolist())))
    return [*facts, Fact("exponents", _exponents(layer.exponents))]


def _lag_facts(layer: LayerDiagnosis, by_lag: Tensor) -> list[Fact]:
    """The gradient at lags 0, 1, 2, 4, ..., the start 100 %, until nothing is left."""
    last = len(by_lag) - 1
    reach = f"less than 1 % comes from beyond lag {layer.reach}" if layer.reach is not None else None
    fold = (
        "does not fall to 1/e" if math.isinf(layer.efold_lag) else f"falls to 1/e in {layer.efold_lag:.1f} steps"
    )
    reach = reach or f"more than 1 % comes from beyond the {last} lags looked at"
    facts = [Fact("gradient", f"{fold}; {reach}")]
    lags = sorted({0, last, *(2**i for i in range(last.bit_length()))} if last else {0})
    start = by_lag[0].item()
    for lag in lags:
        part = by_lag[lag].item() / start if start > 0 else 0.0
        facts.append(Fact(f"lag {lag}", f"{_percent(part):>9}", part))
        if part < NOTHING:
            break
    return facts


def _exponents(exponents: Tensor) -> str:
    shown = ", ".join(f"{value:.3g}" for value in exponents[:EXPONENTS_SHOWN].tolist())
    rest = f", ... {exponents[-1].item():.3g}" if len(exponents) > EXPONENTS_SHOWN else ""
    return f"Lyapunov {shown}{rest}; e^λ_1 = {math.exp(exponents[0].item()):.3g} a step"


def _gate(gate: Gate) -> str:
    return f"{gate.mean:.2f} on average; {gate.closed:.0%} closed (below 0.1), {gate.open:.0%} open (above 0.9)"


def memory_facts(memory: InputMemory | None, unmeasured: str, both_directions: bool) -> list[Fact]:
    """How far back the data needs the gradient to reach, or why that is not measured."""
    if memory is None:
        return [Fact("data", f"what it needs is not measured: {unmeasured}")]
    best = max(memory.r2)
    probe = (
        f"a linear probe of {'x' if memory.tokens is None else f'the {memory.tokens} tokens of x'}, out of sample"
    )
    if memory.lag is None:
        said = f"no lag of x up to {memory.lags[-1]} predicts d linearly (R² {best:.2f}; {probe})"
        return [Fact("data", f"{said}; a nonlinear trace may be there")]
    at = dict(zip(memory.lags, memory.r2, strict=True))
    what = f"x back to lag {memory.lag}" if memory.lag else "x_t alone"
    facts = [Fact("data", f"{what} predicts d; further lags add less than {GAIN:g} to R² ({probe})")]
    for lag in sorted({0, 1, memory.lag // 2, memory.lag, memory.lags[-1]} & set(at)):
        facts.append(Fact(f"to lag {lag}", f"R² {at[lag]:>6.3f}", max(at[lag], 0.0)))
    if both_directions and memory.lag:
        facts.append(Fact("", "lags count back in time; what the backward direction needs is not measured"))
    return facts


def norm_fact(norms: GradientNorms, steps: int) -> Fact:
    """What clipping sees."""
    middle, most = norms.norms.median().item(), norms.norms.max().item()
    if len(norms.norms) == 1:
        return Fact("gradient norm", f"{norms.whole:.3g} over all {steps} steps")
    return Fact(
        "gradient norm",
        f"{middle:.3g} in the middle, {norms.clip:.3g} at the 90th percentile, {most:.3g} at most, over "
        f"{len(norms.norms)} windows of {norms.window} steps; {norms.whole:.3g} over all {steps} steps at once",
    )


def _percent(part: float) -> str:
    if part >= 10:
        return f"{part:.3g} x"
    return "<0.01%" if 0 < part < NOTHING else f"{part:.2%}"
