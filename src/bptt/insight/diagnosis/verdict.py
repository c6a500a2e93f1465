"""From the layers' numbers and what the data needs to a verdict in one sentence."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from .input_memory import InputMemory
from .layers import REST, LayerDiagnosis

DiagnosisKind = Literal["non-finite", "no gradient", "exploding", "vanishing", "healthy"]

Severity = Literal["fine", "note", "warning"]

MOST_SATURATED = 0.3  # share of saturated units above which they are what stands in the way
KEEPING = {"z": "update", "f": "forget"}  # the gates that keep the state
WORST_FIRST: tuple[DiagnosisKind, ...] = ("no gradient", "exploding", "vanishing", "healthy")


class Verdict(NamedTuple):
    """The verdict, in one word and in one sentence."""

    kind: DiagnosisKind
    sentence: str
    enough: bool | None  # whether the gradient reaches as far back as the data needs; None where that is not known

    @property
    def severity(self) -> Severity:
        """Whether something is to be mended ("warning"), may be ("note"), or not ("fine")."""
        if self.kind == "healthy" or (self.kind == "vanishing" and self.enough):
            return "fine"
        return "note" if self.kind == "vanishing" and self.enough is None else "warning"


def verdict(
    layers: list[LayerDiagnosis], memory: InputMemory | None, silent: bool, steps: int, lags: int
) -> Verdict:
    """The worst of the layers, beside what the data needs.

    Args:
        layers: the lowest first.
        memory: how far back x predicts d, where that is known.
        silent: whether ∂E/∂y is zero at every step.
        steps: T.
        lags: how far back was looked.
    """
    if silent:
        return Verdict("no gradient", "There is no gradient: the loss does not change with y at any step.", None)
    kind: DiagnosisKind = next(kind for kind in WORST_FIRST if any(layer.kind == kind for layer in layers))
    worst = next(layer for layer in layers if layer.kind == kind)
    where = f" in {worst.layer}" if len(layers) > 1 else ""
    need = None if memory is None else memory.lag
    enough = _enough(layers[0], need, lags)
    if kind == "no gradient":
        return Verdict(
            kind, f"No gradient reaches {worst.layer}: nothing passes through what is above it.", enough
        )
    if kind == "exploding":
        return Verdict(kind, f"The gradient explodes{where}: {_growth(worst, steps)}.", enough)
    if kind == "vanishing":
        return Verdict(kind, _vanishing(worst, where, need, enough), enough)
    said = f"Nothing is wrong: within {lags} steps the gradient neither vanishes nor explodes"
    if need is not None:
        said += f", and {_needed(need)}"
        said += ": less memory would do" if need < lags // 4 else ""
    return Verdict(kind, said + ".", enough)


def _enough(lowest: LayerDiagnosis, need: int | None, lags: int) -> bool | None:
    if need is None or lowest.kind == "no gradient":
        return None
    if lowest.gradient_by_lag is None:
        return True if need == 0 else None
    if lowest.reach is None and need > lags:
        return None
    return lowest.reach is None or need <= lowest.reach


def _growth(worst: LayerDiagnosis, steps: int) -> str:
    by_lag, rate = worst.gradient_by_lag, worst.exponents[0].item()
    if by_lag is not None and worst.growth > math.exp(1):
        return f"{int(by_lag.argmax())} steps back it has grown {worst.growth:.3g}-fold"
    grown = math.exp(min(rate * (steps - 1), 700))
    return f"it grows by e^{rate:.2g} = {math.exp(rate):.3g} a step, {grown:.3g}-fold over the {steps} steps of x"


def _vanishing(worst: LayerDiagnosis, where: str, need: int | None, enough: bool | None) -> str:
    last = f"the last {worst.reach} steps" if worst.reach else "the step of the error itself"
    reach = f"all but 1 % of it{where} comes from {last}"
    if worst.reach is None:
        rate = worst.exponents[0].item()
        steps = max(1, math.ceil(math.log(REST) / rate))
        reach = f"what lasts longest of it{where} shrinks to {math.exp(rate):.2g} a step, to 1 % in {steps}"
    if enough:
        return f"Nothing to mend: the gradient fades, {reach}, and {_needed(need)}."
    if enough is False:
        return f"The gradient vanishes: {reach}, and {_needed(need)}."
    if need is not None:
        return f"The gradient vanishes: {reach}; {_needed(need)}."
    return f"The gradient vanishes: {reach}; how far back the data needs it is not known."


def _needed(need: int | None) -> str:
    if need == 0:
        return "the data needs no memory: taken linearly, x_t alone predicts d_t as well"
    return f"the data needs about {need} {'step' if need == 1 else 'steps'}"


def reason(layer: LayerDiagnosis) -> str:
    """Why a layer does what it does, by what its weights and units do."""
    rate = layer.exponents[0].item()
    if layer.kind == "no gradient":
        return "what is above it passes nothing back"
    if layer.kind == "healthy":
        return f"what lasts longest is multiplied by {math.exp(rate):.3g} a step"
    if layer.kind == "exploding":
        return _why_exploding(layer, rate)
    if layer.saturated > MOST_SATURATED:
        return f"{layer.saturated:.0%} of its units are saturated and pass almost nothing back"
    for gate, word in KEEPING.items():
        if gate in layer.gates:
            mean = layer.gates[gate].mean
            slowest = f"no direction lasts longer than {math.exp(rate):.2g} a step"
            return f"its {word} gate keeps {mean:.2g} of the state a step, and {slowest}"
    (radius,) = layer.spectral_radius.values()
    if radius < 1:
        return f"W_s shrinks what it passes back: its spectral radius is {radius:.3g}"
    return f"Φ's slopes shrink more than W_s stretches, whose spectral radius is {radius:.3g}"


def _why_exploding(layer: LayerDiagnosis, rate: float) -> str:
    name, radius = max(layer.spectral_radius.items(), key=lambda item: item[1])
    if rate > 0:
        return f"λ_1 = {rate:.2g} is above 0; the spectral radius of {name} is {radius:.3g}"
    norm = layer.norm[name]
    return f"it grows for a while only: {name} has norm {norm:.3g}, but spectral radius {radius:.3g}"
