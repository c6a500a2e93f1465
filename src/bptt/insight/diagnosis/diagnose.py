"""`diagnose`: whether the gradient reaches as far back as the data need, the numbers behind it, and remedies."""

from __future__ import annotations

import copy
from typing import Any, overload

import torch
from torch import Tensor, nn

from ... import checks
from ...convert import OURS, with_ours
from ...losses import cross_entropy
from ...networks import Elman, SequenceModel
from ...reach.device_errors import naming_devices_of_loss
from ...reach.gradients import check_criterion
from ...reach.layout import time_axis
from ...recurrent import Recurrent
from ..plain_models import (
    Bare,
    Criterion,
    Network,
    OneError,
    check_call,
    checked_step,
    error_and_adjoint,
    into_hidden,
    record_layers,
)
from ..recorder.record import Walks
from ..refusing import refused
from ..walks_or_model import or_of_walks
from .clipping import gradient_norms
from .diagnose_walks import ModelDiagnosis, diagnose_walks
from .input_memory import InputMemory, targets_by_step
from .judging import (
    LAGS,
    LEAST_STEPS,
    diagnosis_from,
    lags_before,
    mean_by_lag_of,
    memory_of,
    not_finite,
    some_of,
    trouble_in,
)
from .layers import diagnose_layer
from .result import Diagnosis
from .trial import Trial

WINDOWS = 20  # into which the sequence is cut for the gradient norms, where no window was asked for


@overload
def diagnose(
    walks: Walks, loss: Tensor = ..., d: Tensor | None = None, *, errors: Tensor = ..., lags: int = LAGS
) -> ModelDiagnosis: ...
@overload
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
    tries: bool = True,
) -> Diagnosis: ...
@torch.enable_grad()
@or_of_walks(diagnose_walks)
def diagnose(
    model: Any,
    x: Tensor,
    d: Any,
    criterion: Criterion,
    *,
    t: int | None = None,
    lags: int = LAGS,
    window: int | None = None,
    errors: Criterion | None = None,
    tries: bool = True,
) -> Diagnosis:
    """Say whether the gradient vanishes or explodes as it is backpropagated, why, and what to do about it.

    Of any model: ``diagnose(walks, loss, d=None)``, with the walks of its recurrent modules from `bptt.record` and
    the loss computed from them, or ``errors=``, as `bptt.contributions` takes them; a verdict for each module, its
    remedies named as the model's own parameters. With d, one target a step or one a sequence, it also
    says how far back the module's input predicts d: by a linear probe of its numbers, or of tokens where it is
    an embedding of few. Of a plain sequence model: ``diagnose(model, x, d, criterion)``, as follows.

    It works on a copy of the model, in float64 and without dropout; the model stays as it is.

    Args:
        model: a `bptt.Elman`, a `bptt.SequenceModel`, or a recurrent module on its own (ours or torch.nn's), whose
            output is then y.
        x: the input, as the model takes it: (T, I) or batched, T at least 8; 8 sequences of a batch are looked at.
        d: the targets, laid out as y, or class numbers. If there is not one for each step, the norms are of the
            whole sequence. If there is not one for each sequence either, (B), it is not known what the data needs.
        criterion: the loss trained on, (y, d) -> scalar; `bptt.cross_entropy` is computed from the outputs before
            a softmax.
        t: the step whose error E_t alone is looked at, from 1 to T; no remedy is tried then. Default None: the
            whole loss.
        lags: how many steps back to look. Default 100; at most 2/3 of the sequence, or all of what lies before the
            first error, or t - 1.
        window: steps of the windows whose gradient norms are taken, as you train. Default T / 20.
        errors: (y, d) -> scalar, whose gradient is taken by lag, where it is another than the criterion's: the sum
            of errors that a criterion is the weighted mean of. Default: the criterion.
        tries: whether remedies are tried by a few training updates, which takes most of the time; else each one is
            marked as untried. Default True.

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
    asked, lags = lags, min(lags, (T if t is None else checked_step(t, T)) - 1)
    some = _some_sequences(x, axis)
    _, layers_of = record_layers(net, x if some is None else x.index_select(1 - axis, some))
    records = [walk for of_layer in layers_of for walk in of_layer]
    if (trouble := trouble_in(net.named_parameters(), records)) is not None:
        return not_finite(trouble, T, lags)
    summed = loss if errors is None else _as_trained(model, errors)
    if t is not None:
        with torch.no_grad():
            y = net(x)[0]
        loss, summed = OneError(loss, y, t, axis), OneError(summed, y, t, axis)
    with torch.no_grad():
        h = net.hidden(x)  # of all sequences
    _, dz = error_and_adjoint(net, h, d, summed)
    if not dz.isfinite().all():
        return not_finite("The loss or its gradient is not finite, though every state of the network is.", T, lags)
    dz = _time_major(dz, axis, some)
    lags = lags_before(dz, lags) if t is None else lags
    per_step = d.shape[: x.dim() - 1] == x.shape[:-1]
    alone = per_step and t is None
    norms = gradient_norms(net, x, d, loss, _window(net, alone, window, T), axis)
    weights = sum(weight.numel() for weight in net.parameters())
    by_lag = mean_by_lag_of(layers_of, into_hidden(net, dz), lags, weights)
    with torch.no_grad():
        layers = [diagnose_layer(walk.layer, walk, by_lag.get(walk.layer), lags) for walk in records]
    memory = _memory(x, d, axis, per_step, asked)
    trial = Trial(net, x, d, loss, axis) if alone and tries else None
    return diagnosis_from(layers, records, memory, not dz.any(), T, lags, norms, trial)


def _copy(model: Any) -> Network:
    """A model's copy in float64 on the CPU, in eval mode, every weight requiring gradients."""
    if not isinstance(model, (Elman, SequenceModel, Recurrent, *OURS)):
        raise TypeError(
            "diagnose takes a bptt.Elman, a bptt.SequenceModel, or a recurrent module (bptt.RNN, GRU, LSTM, or "
            f"torch.nn's), got {refused(model, 'diagnose')}"
        )
    net: Any = with_ours(copy.deepcopy(model)).to("cpu", torch.float64).eval().requires_grad_(True)
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
    return some_of(x.shape[1 - axis])


def _window(net: Network, per_step: bool, window: int | None, T: int) -> int | None:
    """Steps of a window; None where the loss cannot be cut in time."""
    if not per_step or len(net.weight_names()[0]) == 2:
        return None
    return min(window or max(1, T // WINDOWS), T)


def _memory(x: Tensor, d: Tensor, axis: int, per_step: bool, lags: int) -> InputMemory | str:
    """How far back x predicts d, where that is one a step or one a sequence; or why that is not known."""
    if x.dim() == 2:
        x, d = x.unsqueeze(1 - axis), d.unsqueeze(1 - axis) if per_step else d
    x = x.transpose(0, axis)
    T, B = x.shape[:2]
    return memory_of(x, targets_by_step(d, T, torch.full((B,), T, device="cpu"), batch_first=axis == 1), lags)


def _time_major(part: Tensor, axis: int, some: Tensor | None) -> Tensor:
    """x or d as (T, B, ...), of the sequences that are looked at."""
    return part.unsqueeze(1) if some is None else part.index_select(1 - axis, some).transpose(0, axis)
