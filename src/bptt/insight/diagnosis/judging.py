"""From what was measured of each layer to a diagnosis: the steps that plain models and recorded ones share."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ..lags import gradient_by_lag
from ..plain_models import Record
from .clipping import GradientNorms
from .input_memory import InputMemory, input_memory
from .layers import OPERATIONS, LayerDiagnosis
from .remedies import LayerPlace, remedies, spared
from .result import Diagnosis
from .trial import Remedy, Trial, tried
from .verdict import Verdict, verdict

LAGS = 100  # how far back is looked by default: where benchmarks of long memory (copying, adding) begin
LEAST_STEPS = 8  # of x, below which a decay over lags cannot be seen
SEQUENCES = 8  # of a batch looked at, spread evenly; the rest would only narrow the averages
ERRORS = 512  # whose gradient by lag is computed, over all sequences; large networks get fewer, but `LEAST_ERRORS`
LEAST_ERRORS = 32
LOOKED_BACK = 20_000  # rows of x, by step and sequence, in which targets are predicted: of 8 sequences or more


def some_of(B: int, most: int = SEQUENCES) -> Tensor:
    """Which sequences of a batch are looked at, spread evenly."""
    return torch.linspace(0, B - 1, min(B, most), device="cpu").round().long()


def memory_of(x: Tensor, targets: Tensor | None, lags: int, is_given: bool = True) -> InputMemory | str:
    """`input_memory` of x (T, B, I) and its targets, (T, B, ...), seen in many sequences.

    Args:
        targets: None where there are none of each step.
        is_given: whether there are targets of some kind.
    """
    if not is_given:
        return "pass the targets as well, d=, one a step or one a sequence"
    if targets is None:
        return "d fits neither the steps nor the sequences; pass one target a step or a sequence"
    some = some_of(x.shape[1], max(SEQUENCES, LOOKED_BACK // len(x)))
    return input_memory(x[:, some], targets[:, some], lags)


def lags_before(errors: Tensor, lags: int) -> int:
    """How far back is looked: at most 2/3 of the steps, or all before the first error; errors (T, ...)."""
    entered = errors.flatten(1).any(1).nonzero()
    return min(lags, max(2 * (len(errors) - 1) // 3, int(entered[0]) if len(entered) else 0))


def trouble_in(weights: Iterable[tuple[str, Tensor]], records: list[Record]) -> str | None:
    """The first weight, or else state, that is not finite."""
    for name, weight in weights:
        if not weight.isfinite().all():
            return f"{name} holds numbers that are not finite: every output is lost."
    for walk in records:
        lost = ~walk.states.isfinite().flatten(1).all(1)
        if lost.any():
            first = int(lost.nonzero()[0])  # row 0 is the initial state
            return f"The states of {walk.layer} are not finite from step {first} on: they grow beyond all bounds."
    return None


def not_finite(sentence: str, steps: int, lags: int) -> Diagnosis:
    """The diagnosis of numbers that are not finite."""
    advice = [
        "Go back to the last weights that were finite: a snapshot, or a fresh start.",
        "Take a smaller learning rate, and clip: torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).",
        "If the states grow by themselves, W_s is too large: torch.nn.init.orthogonal_(W_s), or tanh for Φ.",
    ]
    judged = Verdict("non-finite", sentence, None)
    advice = tried([Remedy("", text) for text in advice], None)
    return Diagnosis(judged.kind, sentence, judged.severity, None, steps, lags, [], None, None, advice)


def mean_by_lag_of(records: list[list[Record]], dh: Tensor, lags: int, weights: int) -> dict[str, Tensor]:
    """The gradient by lag, the mean over sequences; empty where there is none.

    Args:
        dh: ∂E/∂h as it enters, (T, B, R).
        weights: how many numbers the model's weights hold, by which the errors that are followed are counted.
    """
    if len(records[0]) == 2:
        return {}
    cost = 6 * (lags + 1) * weights  # of one error's backward pass
    most = max(LEAST_ERRORS, min(ERRORS, OPERATIONS // cost)) // dh.shape[1]
    by_lag = gradient_by_lag(records, dh, lags, most)
    return by_lag if list(by_lag.values())[-1][0] > 0 else {}  # no error at the steps that have so many lags


def diagnosis_from(
    layers: list[LayerDiagnosis],
    records: list[Record],
    memory: InputMemory | str,
    silent: bool,
    steps: int,
    lags: int,
    norms: GradientNorms,
    trial: Trial | None = None,
) -> Diagnosis:
    """The diagnosis of measured layers, with remedies; arguments as `Diagnosis` and `verdict` have them."""
    measured, unmeasured = (None, memory) if isinstance(memory, str) else (memory, "")
    found = verdict(layers, measured, silent, steps, lags)
    need = None if measured is None else measured.lag
    places = _places(layers, records)
    advice = tried(remedies(found, places, need, norms), trial) + spared(found, places, need)
    said = found.kind, found.sentence, found.severity, found.enough
    return Diagnosis(*said, steps, lags, layers, measured, norms, advice, unmeasured=unmeasured)


def _places(layers: list[LayerDiagnosis], records: list[Record]) -> list[LayerPlace]:
    return [
        LayerPlace(layer, walk.cell, walk.names, len(walk.weights.W_ih) // walk.cell.gates, walk.x.shape[-1])
        for layer, walk in zip(layers, records, strict=True)
    ]
