"""`diagnose`: whether the gradient reaches as far back as the data need, the numbers behind it, and remedies."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ... import checks
from ...convert import OURS, from_torch
from ...networks import Elman, SequenceModel, cross_entropy
from ...reach.devices import naming_devices_of_loss
from ...reach.gradients import check_criterion
from ...reach.layout import time_axis
from ...recurrent import Recurrent
from ..lags import gradient_by_lag
from ..recorded import (
    Bare,
    Criterion,
    Network,
    OneError,
    Record,
    check_call,
    checked_step,
    error_and_adjoint,
    into_hidden,
    record_layers,
)
from ..refusing import refused
from .clipping import gradient_norms
from .input_memory import input_memory
from .layers import OPERATIONS, LayerDiagnosis, diagnose_layer
from .remedies import LayerPlace, remedies, spared
from .result import Diagnosis
from .trial import Remedy, Trial, tried
from .verdict import Verdict, verdict

LEAST_STEPS = 8  # of x, below which a decay over lags cannot be seen
LAGS = 100  # how far back is looked by default: where benchmarks of long memory (copying, adding) begin
SEQUENCES = 8  # of a batch looked at, spread evenly; the rest would only narrow the averages
ERRORS = 512  # whose gradient by lag is computed, over all sequences; large networks get fewer, but `LEAST_ERRORS`
LEAST_ERRORS = 32
WINDOWS = 20  # into which the sequence is cut for the gradient norms, where no window was asked for


@torch.enable_grad()
def diagnose(
    model: Any,
    x: Tensor,
    d: Tensor,
    criterion: Criterion,
    *,
    t: int | None = None,
    lags: int = LAGS,
    window: int | None = None,
    errors: Criterion | None = None,
) -> Diagnosis:
    """Say whether the gradient vanishes or explodes as it is backpropagated, why, and what to do about it.

    A copy of the model is looked at, in float64 and without dropout; the model stays as it is.

    Args:
        model: a `bptt.Elman`, a `bptt.SequenceModel`, or a recurrent module on its own (ours or torch.nn's), whose
            output is then y.
        x: the input, as the model takes it: (T, I) or batched, T at least 8; 8 sequences of a batch are looked at.
        d: what was desired, laid out as y, or class numbers. In another layout (one for each sequence, say)
            it is not known what the data needs, and the norms are of the whole sequence.
        criterion: the loss trained on, (y, d) -> scalar; `bptt.cross_entropy` is computed from the outputs before
            a softmax.
        t: the step whose error E_t alone is looked at, from 1 to T; no remedy is tried then. Default None: the
            whole loss.
        lags: how far back is looked. Default 100; at most 2/3 of the sequence, or t - 1.
        window: steps of the windows whose gradient norms are taken, as you train. Default T / 20.
        errors: (y, d) -> scalar, whose gradient is taken by lag, where it is another than the criterion's: the sum
            of errors that a criterion is the weighted mean of. Default: the criterion.

    Returns:
        the verdict, the numbers of each layer, what the data needs, and remedies. A bidirectional network has no
        gradient by lag: its directions are judged by their Lyapunov exponents, and not beside the data.

    Raises:
        TypeError: the model, x, d or the criterion are of another type.
        ValueError: x is too short or not finite, shapes do not fit, t is outside 1..T, or the criterion's loss is
            no scalar.

    >>> from bptt import Elman, squared_error
    >>> net = Elman(1, 2, 1, activation="identity")
    >>> net.W_s = [[0.0, 0.5], [-0.5, 0.0]]  # each step back halves the gradient
    >>> found = diagnose(net, torch.ones(30, 1), torch.zeros(30, 1), squared_error)
    >>> found.kind, found.layers[0].reach
    ('vanishing', 6)
    """
    net = _copy(model)
    check_call(criterion)
    axis = _check(model, x, d, lags, window)
    loss = _as_trained(model, criterion)
    T, x, d = x.shape[axis], x.detach().to("cpu", torch.float64), d.detach()
    lags = min(lags, 2 * (T - 1) // 3)
    if t is not None:
        lags = min(lags, checked_step("t", t, T) - 1)
    some = _some_sequences(x, axis)
    _, layers_of = record_layers(net, x if some is None else x.index_select(1 - axis, some))
    records = [walk for of_layer in layers_of for walk in of_layer]
    if (trouble := _first_not_finite(net, records)) is not None:
        return _not_finite(trouble, T, lags)
    summed = loss if errors is None else _as_trained(model, errors)
    if t is not None:
        with torch.no_grad():
            y = net(x)[0]
        loss, summed = OneError(loss, y, t, axis), OneError(summed, y, t, axis)
    with torch.no_grad():
        h = net.hidden(x)  # of all sequences
    _, dz = error_and_adjoint(net, h, d, summed)
    if not dz.isfinite().all():
        return _not_finite(
            "The loss or its gradient is not finite, though every state of the network is.", T, lags
        )
    per_step = d.shape[: x.dim() - 1] == x.shape[:-1]
    alone = per_step and t is None
    norms = gradient_norms(net, x, d, loss, _window(net, alone, window, T), axis)
    by_lag = _by_lag(net, layers_of, into_hidden(net, _time_major(dz, axis, some)), lags)
    with torch.no_grad():
        layers = [diagnose_layer(walk.layer, walk, by_lag.get(walk.layer), lags) for walk in records]
    memory = None
    if per_step:
        memory = input_memory(_time_major(x, axis, some), _time_major(d.cpu(), axis, some), lags)
    judged = verdict(layers, memory, not dz.any(), T, lags)
    need = None if memory is None else memory.lag
    places = _places(layers, records)
    trial = Trial(net, x, d, loss, axis) if alone else None
    found = tried(remedies(judged, places, need, norms), trial) + spared(judged, places, need)
    return Diagnosis(
        judged.kind, judged.sentence, judged.severity, judged.enough, T, lags, layers, memory, norms, found
    )


def _copy(model: Any) -> Network:
    """A model's copy in float64 on the CPU, in eval mode, every weight requiring gradients."""
    if not isinstance(model, (Elman, SequenceModel, Recurrent, *OURS)):
        raise TypeError(
            "diagnose takes a bptt.Elman, a bptt.SequenceModel, or a recurrent module (bptt.RNN, GRU, LSTM, or "
            f"torch.nn's), got {refused(model)}"
        )
    net: Any = from_torch(copy.deepcopy(model)).to("cpu", torch.float64).eval().requires_grad_(True)
    return Bare(net) if isinstance(net, Recurrent) else net


def _check(model: Any, x: Any, d: Any, lags: Any, window: Any) -> int:
    """Which axis is time."""
    inner = model.recurrent if isinstance(model, SequenceModel) else model
    checks.check_input(type(inner).__name__, x, inner.input_size, inner.batch_first, next(inner.parameters()))
    checks.check_sizes(lags=lags, **({} if window is None else {"window": window}))
    if not isinstance(d, Tensor):
        raise TypeError(f"d must be a torch.Tensor, got {type(d).__name__}")
    axis = time_axis(model, x)
    if x.shape[axis] < LEAST_STEPS:
        raise ValueError(
            f"x has {x.shape[axis]} steps; at least {LEAST_STEPS} are needed to see a gradient fade or grow"
        )
    if x.numel() == 0:
        raise ValueError(f"x holds no sequence: {tuple(x.shape)}")
    if not x.isfinite().all():
        first = (~x.isfinite()).nonzero()[0].tolist()
        raise ValueError(f"x is not finite at {first} ({x[tuple(first)].item()}); repair or drop such rows first")
    return axis


def _as_trained(model: nn.Module, criterion: Criterion) -> Criterion:
    """The criterion on y in the model's own dtype and on its device, where d and a loss's weights are."""
    check_criterion(criterion)
    like = next(model.parameters())
    of_probabilities = criterion is cross_entropy and getattr(model, "softmax", False)

    def loss(y: Tensor, d: Tensor) -> Tensor:
        y = y.to(like.device, like.dtype)
        with naming_devices_of_loss(criterion, y, d):
            return criterion(y.log() if of_probabilities else y, d)  # log y differs from the logits by a constant

    return loss


def _some_sequences(x: Tensor, axis: int) -> Tensor | None:
    """Which sequences of a batch are looked at; None for one without a batch axis."""
    if x.dim() == 2:
        return None
    B = x.shape[1 - axis]
    return torch.linspace(0, B - 1, min(B, SEQUENCES)).round().long()


def _first_not_finite(net: Network, records: list[Record]) -> str | None:
    """The first weight, or else state, that is not finite."""
    for name, weight in net.named_parameters():
        if not weight.isfinite().all():
            return f"{name} holds numbers that are not finite: every output is lost."
    for walk in records:
        lost = ~walk.states.isfinite().flatten(1).all(1)
        if lost.any():
            first = int(lost.nonzero()[0])  # row 0 is the initial state
            return f"The states of {walk.layer} are not finite from step {first} on: they grow beyond all bounds."
    return None


def _not_finite(sentence: str, steps: int, lags: int) -> Diagnosis:
    advice = [
        "Go back to the last weights that were finite: a snapshot, or a fresh start.",
        "Take a smaller learning rate, and clip: torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).",
        "If the states grow by themselves, W_s is too large: torch.nn.init.orthogonal_(W_s), or tanh for Φ.",
    ]
    judged = Verdict("non-finite", sentence, None)
    advice = tried([Remedy("", text) for text in advice], None)
    return Diagnosis(judged.kind, sentence, judged.severity, None, steps, lags, [], None, None, advice)


def _window(net: Network, per_step: bool, window: int | None, T: int) -> int | None:
    """Steps of a window; None where the loss cannot be cut in time."""
    if not per_step or len(net.weight_names()[0]) == 2:
        return None
    return min(window or max(1, T // WINDOWS), T)


def _by_lag(net: Network, records: list[list[Record]], dh: Tensor, lags: int) -> dict[str, Tensor]:
    """The gradient by lag, the mean over sequences; empty where there is none."""
    if len(records[0]) == 2:
        return {}
    cost = 6 * (lags + 1) * sum(weight.numel() for weight in net.parameters())  # of one error's backward pass
    most = max(LEAST_ERRORS, min(ERRORS, OPERATIONS // cost)) // dh.shape[1]
    by_lag = gradient_by_lag(records, dh, lags, most)
    return by_lag if list(by_lag.values())[-1][0] > 0 else {}  # no error at the steps that have so many lags


def _places(layers: list[LayerDiagnosis], records: list[Record]) -> list[LayerPlace]:
    return [
        LayerPlace(layer, walk.cell, walk.names, len(walk.weights.W_ih) // walk.cell.gates, walk.x.shape[-1])
        for layer, walk in zip(layers, records, strict=True)
    ]


def _time_major(part: Tensor, axis: int, some: Tensor | None) -> Tensor:
    """x or d as (T, B, ...), of the sequences that are looked at."""
    return part.unsqueeze(1) if some is None else part.index_select(1 - axis, some).transpose(0, axis)
