"""What to do about a verdict, the first thing first, as lines that can be typed."""

from __future__ import annotations

import math
from typing import NamedTuple

from ..equations import GRU, Cell, Elman, Weights
from .layers import EXPLODING, LayerDiagnosis
from .norms import GradientNorms
from .verdict import KEEPING, MOST_SATURATED, Verdict

MOST_SPREAD = 1e3  # of the gradient norms, above which no one clipping value fits
MOST = 3  # remedies named


class Place(NamedTuple):
    """A layer to mend, as a program sees it."""

    layer: LayerDiagnosis
    cell: Cell
    names: Weights[str]  # of its weights, below the model
    hidden: int
    inputs: int


def remedies(verdict: Verdict, places: list[Place], need: int | None, norms: GradientNorms) -> list[str]:
    """Two or three remedies in order; one on what could be saved where nothing is wrong.

    Args:
        verdict: what is the matter.
        places: the layers, the lowest first.
        need: how far back the data needs the gradient, where that is known.
        norms: the gradient norms seen.
    """
    place = next((p for p in places if p.layer.kind == verdict.kind), places[0])
    if verdict.kind == "no gradient":
        return _no_gradient(place)
    if verdict.kind == "exploding":
        return _exploding(place, need, norms)[:MOST]
    if verdict.kind == "vanishing" and not verdict.enough:
        return _vanishing(place, need)[:MOST]
    reach = place.layer.reach if verdict.kind == "vanishing" else need
    if reach is None:
        return []
    return [
        f"Nothing has to be done. Truncated BPTT over {max(reach, 1)} steps loses little: "
        f"bptt.truncated(model, x, d, criterion, k1, k2) with k2 - k1 of at least {max(reach, 1)}."
    ]


def _exploding(place: Place, need: int | None, norms: GradientNorms) -> list[str]:
    rate = place.layer.exponents[0].item()
    found = [_clip(norms), _initialise(place)]
    if rate > 0:
        k2 = max(1, int(math.log(EXPLODING) / rate))
        short = f", though the data needs about {need}" if need is not None and need > k2 else ""
        found.append(
            f"Truncate: bptt.truncated(model, x, d, criterion, k1, k2) with k2 of at most {k2} steps, over which "
            f"the gradient grows tenfold{short}."
        )
    return found if norms.spread < MOST_SPREAD else [*found[1:], found[0]]


def _clip(norms: GradientNorms) -> str:
    seen = f"over {len(norms.norms)} windows of {norms.window} steps"
    if len(norms.norms) == 1:
        clip, which = 1.0, f"a common start; the norm is {norms.whole:.3g} over the {norms.window} steps of x"
    elif norms.spread < MOST_SPREAD:
        clip = norms.clip
        which = f"the 90th percentile of the norms {seen}; over the whole sequence the norm is {norms.whole:.3g}"
    else:
        clip = norms.low
        which = (
            f"the 10th percentile of the norms {seen}; as they spread {norms.spread:.2g}-fold, not enough alone"
        )
    return (
        f"Clip: torch.nn.utils.clip_grad_norm_(model.parameters(), {clip:.2g})   "
        f"(bptt train: --clip {clip:.2g}). It is {which}."
    )


def _vanishing(place: Place, need: int | None) -> list[str]:
    found = []
    if place.layer.saturated > MOST_SATURATED:
        found.append(
            f"Unsaturate: {place.layer.saturated:.0%} of the units are saturated and pass almost nothing back. "
            f"Standardise x, and start with smaller weights: model.{place.names.W_ih}.data.mul_(0.1)."
        )
    if not isinstance(place.cell, Elman):
        found += [_gate_bias(place, need), _initialise(place)]
    elif max(place.layer.spectral_radius.values()) < 1:
        found += [_initialise(place), _leak(place.cell, need), _gated(place)]
    else:
        found += [_leak(place.cell, need), _gated(place)]
    if need:
        found.append(
            f"Keep k2 - k1 at {need} or more if you train by bptt.truncated(model, x, d, criterion, k1, k2): what "
            "lies further back is cut off."
        )
    return found


def _no_gradient(place: Place) -> list[str]:
    if place.layer.kind == "no gradient":
        return [
            f"Look at the layer above {place.layer.layer}: its input weights are zero or its units dead. "
            "Draw them anew: model.reset_parameters(), or the layer's own.",
            'If its activation is relu, units whose input is always negative are dead: nonlinearity="softplus", '
            "or a smaller learning rate.",
        ]
    return [
        "Is the loss at its minimum already, y equal to d? Then there is nothing to learn here.",
        "Is the read-out zero, or every unit dead (relu below 0)? Draw the weights anew: reset_parameters().",
        "Does the criterion depend on y where it matters: no mask of zeros, no weight of zero?",
    ]


def _initialise(place: Place) -> str:
    W, G = f"model.{place.names.W_hh}", place.cell.gates
    radius = max(place.layer.spectral_radius.values())
    now = f"The spectral radius is {radius:.3g} now"
    if G > 1:
        return (
            f"Initialise each gate's block orthogonally: for W in {W}.data.chunk({G}): "
            f"torch.nn.init.orthogonal_(W).   {now}, the largest of them."
        )
    if isinstance(place.cell, Elman) and place.cell.activation.name == "relu":
        return (
            f"Initialise with the identity, as relu wants it: torch.nn.init.eye_({W}).   {now} (Le et al. 2015)."
        )
    return f"Initialise orthogonally: torch.nn.init.orthogonal_({W}).   {now}; of an orthogonal matrix it is 1."


def _leak(cell: Elman, need: int | None) -> str:
    """(1 - α)^need = 1/e; a tenth where the need is not known, which keeps 1/e over ten steps."""
    leak = min(cell.leak / 2, 1 - math.exp(-1 / need) if need else 0.1)
    why = f", which fades to 1/e in the {need} steps the data needs" if need else ""
    return (
        f"Leaky units: leak={leak:.2g} keeps {1 - leak:.2g} of the state at each step{why}; now it is "
        f"{cell.leak:g}   (bptt train: --leak {leak:.2g})."
    )


def _gated(place: Place) -> str:
    return (
        f"A gated cell in its place: bptt.GRU({place.inputs}, {place.hidden}) or bptt.LSTM({place.inputs}, "
        f"{place.hidden})   (bptt train: --cell gru)."
    )


def _gate_bias(place: Place, need: int | None) -> str:
    """σ(b) = 1 - 1/need (Tallec & Ollivier 2018); 1 where the need is not known (Jozefowicz et al. 2015)."""
    gate = "z" if isinstance(place.cell, GRU) else "f"
    now = f"Its mean is {place.layer.gates[gate].mean:.2g} now"
    if place.names.b_hh is None:
        cell = type(place.cell).__name__
        return f"Give the {KEEPING[gate]} gate a bias to hold it open: bptt.{cell}(..., bias=True). {now}."
    bias, H = max(1.0, math.log(need - 1)) if need and need > 1 else 1.0, place.hidden
    kept = 1 / (1 + math.exp(-bias))
    return (
        f"Open the {KEEPING[gate]} gate: model.{place.names.b_hh}.data[{H}:{2 * H}] = {bias:.2g}. {now}; with "
        f"this bias it starts near {kept:.2g}."
    )
