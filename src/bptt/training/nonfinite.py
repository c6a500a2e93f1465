"""Where a number stops being finite: the first step, layer and gate."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..equations.protocol import State
from ..networks import SequenceModel
from ..walks.call import BatchSizes, Call
from ..walks.unfold import unfold_layer

# What a cell's step keeps for its adjoint, in words; in the order it is computed.
GATES = {
    "phi": "activation Φ",
    "r": "reset gate r",
    "z": "update gate z",
    "m": "recurrent part of the candidate",
    "n": "candidate n",
    "c_prev": "cell state c before the step",
    "i": "input gate i",
    "f": "forget gate f",
    "g": "candidate g",
    "o": "output gate o",
    "tanh_c": "cell state c",
}


def first_non_finite(net: Any, x: Tensor | PackedSequence, state: Any = None, before: int = 0) -> str | None:
    """In words, what is the first to be no finite number when a network is walked forward.

    Args:
        net: a `bptt.Elman`, `bptt.SequenceModel`, or `bptt.RNN`, `GRU` or `LSTM`.
        x, state: as the network takes them.
        before: how many steps came before those of x. Default 0.

    Returns:
        for example "step 17, layer l0, forget gate f"; a weight's name, or x, where that is it; None where all
        states are finite.
    """
    for name, weight in net.named_parameters():
        if not weight.isfinite().all():
            return f"the weight {name}"
    if not (x.data if isinstance(x, PackedSequence) else x).isfinite().all():
        return "the input x"
    recorder = _Recorder()
    with torch.no_grad():
        net.run(x, state, recorder)
    found = [(step, order, layer, what) for order, (layer, step, what) in enumerate(_named(net, recorder))]
    if not found:
        return None
    step, _, layer, what = min(found)
    return f"step {before + step}, layer {layer}, {what}"


def _named(net: Any, recorder: _Recorder) -> list[tuple[str, int, str]]:
    """(layer, step from 1, what) of each walk that has such a number."""
    recurrent = net.recurrent if isinstance(net, SequenceModel) else net
    directions = getattr(recurrent, "num_directions", 1)
    found = []
    for number, first in enumerate(recorder.first):
        if first is not None:
            layer, direction = divmod(number, directions)
            found.append((f"l{layer}" + "_reverse" * direction, first[0] + 1, first[1]))
    return found


class _Recorder:
    """A walk by plain operations that remembers the first step and gate that is not finite."""

    def __init__(self) -> None:
        self.first: list[tuple[int, str] | None] = []  # by layer and direction; the step in the walk's own order

    def __call__(self, call: Call) -> tuple[Tensor, State]:
        unfolded = unfold_layer(call)
        self.first.append(_first(unfolded.kept, unfolded.y, call.batch_sizes))
        return unfolded.y, unfolded.state


def _first(kept: Any, y: Tensor, batch_sizes: BatchSizes) -> tuple[int, str] | None:
    """The first step (from 0) with a number that is not finite, and what it is."""
    fields = [(GATES[name], getattr(kept, name)) for name in GATES if name in kept._fields]
    firsts = []
    for order, (what, rows) in enumerate([*fields, ("state h", y)]):
        bad = ~rows.isfinite().flatten(1).all(1)
        if bad.any():
            firsts.append((_step(int(bad.int().argmax()), batch_sizes), order, what))
    if not firsts:
        return None
    step, _, what = min(firsts)
    return step, what


def _step(row: int, batch_sizes: BatchSizes) -> int:
    """The step that a row is of, from 0: each has one, or as many as there are packed sequences that long."""
    return row if batch_sizes is None else bisect_right(list(accumulate(batch_sizes)), row)
