"""Each step's contribution to a gradient: the gradient of a loss before it is summed over time.

One backward pass, the training's own, whose products with `delta` are kept apart by step; and, on request, every
error against every step (Werbos 1990, equations 8-13; Pascanu, Mikolov & Bengio 2013, "On the difficulty of
training recurrent neural networks", equations 3-5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor, nn

from ..cell import Cell
from ..networks import Elman, SequenceModel
from ..recurrent import Recurrent
from ..walks.unfold import Factor
from .cell_contributions import StepByStep
from .contributions_result import BySteps, Contributions
from .pairs import ErrorNorms, norms_by_pair, readout_norms
from .plain_models import (
    Bare,
    Criterion,
    Network,
    check_call,
    checked_step,
    error_and_adjoint,
    factors_by_name,
    into_hidden,
    loss_and_adjoint,
    readout_factors,
    record_layers,
    walk_back,
)
from .recorder.by_module import contributions_of_walks
from .recorder.model_contributions import ModelContributions
from .recorder.record import Walks
from .refusing import refused
from .walks_or_model import or_of_walks


@overload
def contributions(
    walks: Walks, loss: Tensor = ..., *, errors: Tensor = ..., pairs: bool = False
) -> ModelContributions: ...
@overload
def contributions(
    model: Elman | SequenceModel | Recurrent | Cell,
    x: Tensor,
    d: Any,
    criterion: Criterion,
    *,
    t: int | None = None,
    pairs: bool = False,
) -> Contributions: ...
@or_of_walks(contributions_of_walks)
def contributions(
    model: Elman | SequenceModel | Recurrent | Cell,
    x: Tensor,
    d: Any,
    criterion: Criterion,
    *,
    t: int | None = None,
    pairs: bool = False,
) -> Contributions:
    """Compute what each step contributes to the gradient of a loss, by parameter.

    Of any model: ``contributions(walks, loss)``, with the walks of its recurrent modules from `bptt.record`, see
    there; or ``contributions(walks, errors=errors)`` with E_t of each step, (T,) or (T, B), whose sum is the loss.
    Of a plain sequence model: ``contributions(model, x, d, criterion)``, as follows.

    With E the loss of all steps, the error E_t is the part of it that enters at y_t: row t of ∂E/∂y,
    backpropagated alone. So the loss may be a sum or a mean over steps, or weigh some of them with 0.

    The model is taken as it is, without dropout. Frozen parameters are included; every .grad stays as it is. The
    contribution of a learned initial state of a `bptt.Cell` counts with step 1.

    Args:
        model: a `bptt.Elman` or `bptt.SequenceModel`; a `bptt.RNN`, `GRU` or `LSTM`, whose output is y; or a
            `bptt.Cell`, which goes through autograd and is slower.
        x: the input, as the model takes it: (T, B, I), or (B, T, I) where it is batch_first, or (T, I); a
            `bptt.Cell` takes (T, B, ·) or (B, T, ·) alone.
        d: the targets, as the criterion takes them.
        criterion: (y, d) -> scalar, with y of all steps, laid out as the model does; `bptt.cross_entropy` is
            computed from the outputs before a softmax.
        t: the step whose error E_t alone is differentiated, from 1 to T. Default None: the whole loss.
        pairs: whether to set every error against every step. Default False.

    Returns:
        by_step, by_lag and, with pairs, by_pair; print it. Of walks `ModelContributions`: the same for each
        recurrent module, by its name.

    Raises:
        TypeError: an argument is of another type; the model holds other things than these.
        ValueError: t is outside 1..T, the loss is no scalar, or parameters are shared or computed from others.

    >>> from bptt import RNN
    >>> model = SequenceModel(RNN(2, 3), 1)
    >>> c = contributions(model, torch.ones(5, 4, 2), torch.zeros(5, 4, 1), nn.MSELoss(), pairs=True)
    >>> tuple(c.by_step["recurrent.weight_hh_l0"].shape), tuple(c.by_pair.states["l0"].shape)
    ((5, 3, 3), (5, 5))
    """
    if not isinstance(model, Elman | SequenceModel | Recurrent | Cell):
        raise TypeError(
            "contributions takes a bptt.Elman, SequenceModel, RNN, GRU, LSTM or Cell, "
            f"got {refused(model, 'contributions')}"
        )
    check_call(criterion)
    if isinstance(model, Cell):
        return _of_cell(model, x, d, criterion, t, pairs)
    net: Network = Bare(model) if isinstance(model, Recurrent) else model
    h, records = record_layers(net, x.detach().clone() if isinstance(x, Tensor) else x)  # the caller may change x
    error, dz = error_and_adjoint(net, h, d, criterion)
    h, dz = (_time_major(rows, net.batch_first) for rows in (h, dz))
    dz, ends = _entering(dz, t)
    dh = into_hidden(net, dz)
    factors = factors_by_name(net.row_vectors, walk_back(records, dh)) | readout_factors(net, dz, h)
    by_step = BySteps({name: factors[name] for name in _checked_names(model, factors)})
    records = [[r._replace(recording=r.recording.with_own_weights()) for r in layer] for layer in records]

    def sweep() -> ErrorNorms:
        norms = norms_by_pair(records, dh, ends)
        return ErrorNorms(norms.states, norms.weights | readout_norms(net, dz, h))

    return _contributions(t, error, by_step, ends, sweep, pairs)


def _of_cell(cell: Cell, x: Tensor, d: Any, criterion: Criterion, t: int | None, pairs: bool) -> Contributions:
    try:
        walk = StepByStep(cell, x)
        error, dy = loss_and_adjoint(walk.y, d, criterion)
    except (RuntimeError, ValueError) as refused:
        if x.dim() != 2:
            raise
        batch = 0 if cell.batch_first else 1
        raise ValueError(
            f"{refused} (a bptt.Cell takes this x, {tuple(x.shape)}, as {x.shape[batch]} sequences without "
            f"features; if it is one sequence, pass x.unsqueeze({batch}) and d.unsqueeze({batch}))"
        ) from refused
    dy, ends = _entering(dy.transpose(0, 1) if cell.batch_first else dy, t)
    return _contributions(t, error, BySteps(walk.by_step(dy)), ends, lambda: walk.norms_by_pair(dy, ends), pairs)


def _contributions(
    t: int | None, error: Tensor, by_step: BySteps, ends: list[int], sweep: Callable[[], ErrorNorms], pairs: bool
) -> Contributions:
    return Contributions(t, error, by_step, sweep() if pairs else None, tuple(end + 1 for end in ends), sweep)


def _entering(dz: Tensor, t: int | None) -> tuple[Tensor, list[int]]:
    """∂E/∂z of the one step that is asked for, or of all, and the steps from 0 where it is not zero."""
    if t is not None:
        t = checked_step(t, len(dz))
        alone = torch.zeros_like(dz)
        alone[t - 1] = dz[t - 1]
        dz = alone
    largest = dz.flatten(1).abs().amax(1) if dz.numel() else dz.new_zeros(len(dz))  # NaN counts
    return dz, largest.nonzero().flatten().tolist()


def _checked_names(model: nn.Module, factors: dict[str, Factor]) -> list[str]:
    names = [name for name, _ in model.named_parameters()]
    if set(names) != set(factors):
        odd = sorted(set(names) ^ set(factors))
        raise ValueError(
            f"contributions are computed for parameters that a {type(model).__name__} uses as they are, each in "
            f"one place; {', '.join(odd)} are shared, computed from others (a parametrization) or outside its "
            "layers"
        )
    return names


def _time_major(rows: Tensor, batch_first: bool) -> Tensor:
    """(T, B, ·), of a network's rows of either layout or of one sequence."""
    if rows.dim() == 2:
        return rows.unsqueeze(1)
    return rows.transpose(0, 1) if batch_first else rows
