"""Remedies for a verdict, the most useful first: lines that can be typed, and changes that can be tried."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...equations import ElmanEquations, Equations, GRUEquations, Weights
from ...modules import GRU
from ...networks import Elman, SequenceModel
from ..plain_models import Network
from .clipping import GradientNorms
from .layers import EXPLODING, LayerDiagnosis
from .trial import Remedy
from .verdict import KEEPING, MOST_SATURATED, Verdict

MOST_SPREAD = 1e3  # of the gradient norms, above which no one clipping value fits
MOST = 3  # remedies named


def typed(name: str) -> str:
    """A parameter as it is typed, of its name below the model: of module lists with their numbers in brackets.

    >>> typed("cells.0.bias_hh")
    'model.cells[0].bias_hh'
    """
    return re.sub(r"\.(\d+)(?=\.)", r"[\1]", f"model.{name}")


class LayerPlace(NamedTuple):
    """A layer to mend, as a program sees it."""

    layer: LayerDiagnosis
    cell: Equations
    names: Weights[str]  # of its weights, below the model
    hidden: int
    inputs: int
    also: Weights[str] | None = None  # those of the layer's other direction, where the verdict is about it too

    def typed(self, which: str) -> list[str]:
        """A weight as it is typed, of each direction."""
        return [typed(getattr(names, which)) for names in (self.names, self.also) if names is not None]

    def change(self, which: str, change: Callable[[Tensor], object]) -> Callable[[Network], Network]:
        """The change of a weight of each direction."""
        names = [getattr(names, which) for names in (self.names, self.also) if names is not None]

        def changed(net: Network) -> Network:
            weights = dict(net.named_parameters())
            with torch.no_grad():
                for name in names:
                    change(weights.get(name, weights.get(f"recurrent.{name}")))  # pyright: ignore[reportArgumentType]
            return net

        return changed


def remedies(verdict: Verdict, places: list[LayerPlace], need: int | None, norms: GradientNorms) -> list[Remedy]:
    """Two or three remedies in order; none where nothing is wrong.

    Args:
        verdict: of the diagnosis.
        places: the layers, the lowest first.
        need: how far back the data needs the gradient, where that is known.
        norms: the gradient norms seen.
    """
    place, *others = [p for p in places if p.layer.kind == verdict.kind] or places[:1]
    also = next((p.names for p in others if p.layer.layer == f"{place.layer.layer}_reverse"), None)
    place = place._replace(also=also)
    if verdict.kind == "no gradient":
        return _no_gradient(place)
    if verdict.kind == "exploding":
        return _exploding(place, need, norms)[:MOST]
    if verdict.kind == "vanishing" and not verdict.enough:
        return _vanishing(place, need)[:MOST]
    return []


def spared(verdict: Verdict, places: list[LayerPlace], need: int | None) -> list[str]:
    """A shorter backward pass as advice, where nothing is wrong."""
    place = next((p for p in places if p.layer.kind == verdict.kind), places[0])
    reach = place.layer.reach if verdict.kind == "vanishing" else need
    if verdict.severity != "fine" or reach is None:
        return []
    return [
        f"Nothing has to be done. Truncated BPTT over {max(reach, 1)} steps loses little: "
        f"bptt.truncated with k2 - k1 of at least {max(reach, 1)}."
    ]


def _exploding(place: LayerPlace, need: int | None, norms: GradientNorms) -> list[Remedy]:
    rate = place.layer.exponents[0].item()
    found = [_clip(norms), _initialise(place)]
    if rate > 0:
        k2 = max(1, int(math.log(EXPLODING) / rate))
        short = f", though the data needs about {need}" if need is not None and need > k2 else ""
        text = (
            f"Truncate: bptt.truncated with k2 of at most {k2} steps, over which "
            f"the gradient grows tenfold{short}."
        )
        found.append(Remedy("truncation", text))
    return found if norms.spread < MOST_SPREAD else [*found[1:], found[0]]


def _clip(norms: GradientNorms) -> Remedy:
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
    text = (
        f"Clip: torch.nn.utils.clip_grad_norm_(model.parameters(), {clip:.2g})   "
        f"(bptt train: --clip {clip:.2g}). It is {which}."
    )
    return Remedy("clipping", text, clip=clip)


def _vanishing(place: LayerPlace, need: int | None) -> list[Remedy]:
    found, inputs = [], place.typed("W_ih")
    if place.layer.saturated > MOST_SATURATED:
        text = (
            f"Unsaturate: {place.layer.saturated:.0%} of the units are saturated and pass almost nothing back. "
            f"Standardise x, and start with smaller weights: {'; '.join(f'{W}.data.mul_(0.1)' for W in inputs)}."
        )
        found.append(Remedy("smaller input weights", text, place.change("W_ih", lambda W: W.mul_(0.1))))
    if not isinstance(place.cell, ElmanEquations):
        found += [_gate_bias(place, need), _initialise(place)]
    elif max(place.layer.spectral_radius.values()) < 1:
        found += [_initialise(place), _leak(place.cell, need), _gated(place)]
    else:
        found += [_leak(place.cell, need), _gated(place)]
    if need:
        text = f"Keep k2 - k1 at {need} or more if you train by bptt.truncated: what lies further back is cut off."
        found.append(Remedy("longer windows", text))
    return found


def _no_gradient(place: LayerPlace) -> list[Remedy]:
    if place.layer.kind == "no gradient":
        texts = [
            f"Look at the layer above {place.layer.layer}: its input weights are zero or its units dead. "
            "Draw them once more: model.reset_parameters(), or the layer's own.",
            'If its activation is relu, units whose input is always negative are dead: nonlinearity="softplus", '
            "or a smaller learning rate.",
        ]
    else:
        texts = [
            "Is the loss at its minimum already, y equal to d? Then there is nothing to learn here.",
            "Is the read-out zero, or every unit dead (relu below 0)? Draw the weights once more: "
            "reset_parameters().",
            "Does the criterion depend on y where it matters: no mask of zeros, no weight of zero?",
        ]
    return [Remedy("", text) for text in texts]


def _initialise(place: LayerPlace) -> Remedy:
    weights, G = place.typed("W_hh"), place.cell.gates
    radius = max(place.layer.spectral_radius.values())
    now = f"The spectral radius is {radius:.3g} now"

    def orthogonal(weight: Tensor) -> None:
        for block in weight.chunk(G):
            nn.init.orthogonal_(block)

    change = place.change("W_hh", orthogonal)
    if G > 1:
        blocks = [f"{W}.data.chunk({G})" for W in weights]
        each = blocks[0] if len(blocks) == 1 else f"({', '.join(f'*{own}' for own in blocks)})"
        text = (
            f"Initialise each gate's block orthogonally: for W in {each}: "
            f"torch.nn.init.orthogonal_(W).   {now}, the largest of them."
        )
    elif isinstance(place.cell, ElmanEquations) and place.cell.activation.name == "relu":
        change = place.change("W_hh", nn.init.eye_)
        code = "; ".join(f"torch.nn.init.eye_({W})" for W in weights)
        text = f"Initialise with the identity, as relu wants it: {code}.   {now} (Le et al. 2015)."
    else:
        code = "; ".join(f"torch.nn.init.orthogonal_({W})" for W in weights)
        text = f"Initialise orthogonally: {code}.   {now}; of an orthogonal matrix it is 1."
    return Remedy("orthogonal weights", text, change)


def _leak(cell: ElmanEquations, need: int | None) -> Remedy:
    """(1 - α)^need = 1/e; a tenth where the need is not known, which keeps 1/e over ten steps."""
    leak = min(cell.leak / 2, 1 - math.exp(-1 / need) if need else 0.1)
    why = f", which fades to 1/e in the {need} steps the data needs" if need else ""
    text = (
        f"Leaky units: leak={leak:.2g} keeps {1 - leak:.2g} of the state at each step{why}; now it is "
        f"{cell.leak:g}   (bptt train: --leak {leak:.2g})."
    )

    def changed(net: Network) -> Network:
        module: Any = getattr(net, "recurrent", net)
        module.cell = ElmanEquations(cell.activation, leak)
        return net

    return Remedy(f"leaky units, leak={leak:.2g}", text, changed)


def _gated(place: LayerPlace) -> Remedy:
    text = (
        f"A gated cell in its place: bptt.GRU({place.inputs}, {place.hidden}) or bptt.LSTM({place.inputs}, "
        f"{place.hidden})   (bptt train: --cell gru)."
    )
    return Remedy("a gated cell", text, _as_gru)


def _as_gru(net: Network) -> Network:
    """A network with a new GRU of the same sizes in the place of its cells, and the read-out it had."""
    if isinstance(net, Elman):
        recurrent = GRU(net.input_size, net.state_size, batch_first=True)
        gated = SequenceModel(recurrent, net.output_size, bias=net.b_y is not None)
        gated.softmax = net.softmax
    else:
        old = net.recurrent
        sizes = old.input_size, old.hidden_size, old.num_layers
        net.recurrent = GRU(*sizes, batch_first=old.batch_first, bidirectional=old.num_directions == 2)
        gated = net
    return gated.double()


def _gate_bias(place: LayerPlace, need: int | None) -> Remedy:
    """σ(b) = 1 - 1/need (Tallec & Ollivier 2018); 1 where the need is not known (Jozefowicz et al. 2015)."""
    gate = "z" if isinstance(place.cell, GRUEquations) else "f"
    now = f"Its mean is {place.layer.gates[gate].mean:.2g} now"
    if place.names.b_hh is None:
        cell = place.cell.name
        text = f"Give the {KEEPING[gate]} gate a bias to hold it open: bptt.{cell}(..., bias=True). {now}."
        return Remedy("a bias", text)
    bias, H = max(1.0, math.log(need - 1)) if need and need > 1 else 1.0, place.hidden
    kept = 1 / (1 + math.exp(-bias))
    opened = " = ".join(f"{b}.data[{H}:{2 * H}]" for b in place.typed("b_hh"))
    text = (
        f"Open the {KEEPING[gate]} gate: {opened} = {bias:.2g}. {now}; with this bias it starts near {kept:.2g}."
    )
    if not need:
        text += " To keep what is N steps back, take log(N - 1): 3.9 for 50 steps."
    change = place.change("b_hh", lambda b: b[H : 2 * H].fill_(bias))
    return Remedy(f"an open {KEEPING[gate]} gate", text, change)
