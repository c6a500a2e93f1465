"""A diagnosis of each recurrent module inside a model, from its recorded walks and the model's own loss."""

from __future__ import annotations

import torch
from torch import Tensor

from ...checks import check_sizes
from ...reach.layout import called
from ..html_tables import details_html, paragraphs
from ..plain_models import Record
from ..recorder.by_module import backward_of_walks
from ..recorder.calls import ModuleCall
from ..recorder.loops import errors_of, joined, loops_of, records_of
from ..recorder.record import Walks
from ..recorder.results import ByModule
from .clipping import GradientNorms
from .input_memory import targets_by_step
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


class ModelDiagnosis(ByModule[Diagnosis]):
    """The diagnosis of each recurrent module by its name in the model; print it.

    Attributes:
        left_out: the modules that cannot be looked at, and why.
    """

    def __init__(self, found: dict[str, Diagnosis], left_out: dict[str, str]) -> None:
        super().__init__(found)
        self.left_out = left_out

    def __str__(self) -> str:
        parts = [f"{called(name)}\n{'-' * len(called(name))}\n{found}" for name, found in self.items()]
        return "\n\n".join([*parts, *(f"{called(name)}: {why}" for name, why in self.left_out.items())])

    def _repr_html_(self) -> str:
        found = [details_html(called(name), one._repr_html_(), is_open=True) for name, one in self.items()]
        return "".join(found) + paragraphs(f"{called(name)}: {why}" for name, why in self.left_out.items())


def diagnose_walks(walks: Walks, loss: Tensor, d: Tensor | None = None, *, lags: int = LAGS) -> ModelDiagnosis:
    """Diagnose every recorded module that a loss reaches.

    Args:
        loss: as `bptt.contributions` takes it.
        d: the targets at each step of the module's input, (T, B, ...) or (B, T, ...), or one for each sequence,
            (B); those that are NaN, or class numbers below 0, are left out. None where what the data needs is not
            to be measured. A module with other steps than d's does without.
        lags: how far back is looked at most.

    Raises:
        TypeError: d is no tensor.
        ValueError: the loss depends on no walk, every module walked too few steps, or d fits none of them.
    """
    if d is not None and not isinstance(d, Tensor):
        raise TypeError(f"d must be a tensor or None, got {type(d).__name__}")
    check_sizes(lags=lags)
    backward_of_walks(walks, loss)
    found: dict[str, Diagnosis] = {}
    left_out: dict[str, str] = {}
    misfits: list[str] = []
    for name, calls in walks.calls.items():
        reached = [call for call in calls if call.was_reached]
        if not reached:
            left_out[name] = "the loss does not depend on it"
            continue
        loop = max(loops_of(reached), key=lambda loop: sum(call.steps for call in loop))
        steps = _steps(loop)
        if steps < LEAST_STEPS:
            left_out[name] = f"it walked {steps} steps; at least {LEAST_STEPS} are needed to see a gradient fade"
            continue
        own = None if d is None else _targets(d, loop, getattr(walks.modules[name], "batch_first", False))
        if d is not None and own is None:
            misfits.append(f"{called(name)} walked {steps} steps of {_batch(loop)} sequences")
        with torch.no_grad():
            found[name] = _of_loop(name, loop, own, lags, d is not None)
    if not found:
        raise ValueError("; ".join(f"{called(name)}: {why}" for name, why in left_out.items()))
    if d is not None and len(misfits) == len(found):
        raise ValueError(
            f"d has shape {tuple(d.shape)}, but {', and '.join(misfits)}; d needs one row a step, (T, B, ...) or "
            "(B, T, ...), or one target a sequence, (B)"
        )
    return ModelDiagnosis(found, left_out)


def _steps(loop: list[ModuleCall]) -> int:
    return sum(call.steps for call in loop)


def _batch(loop: list[ModuleCall]) -> int:
    return max(call.batch for call in loop)


def _targets(d: Tensor, loop: list[ModuleCall], batch_first: bool) -> Tensor | None:
    """d by step and sequence, as a loop's own rows stand; None where it has not its steps and sequences."""
    T, order, sizes = _steps(loop), loop[0].order, loop[0].batch_sizes
    lengths = torch.full((_batch(loop),), T, device="cpu")
    if len(loop) == 1 and sizes is not None:
        lengths = (torch.tensor(sizes, device="cpu")[:, None] > torch.arange(sizes[0], device="cpu")).sum(0)
    if order is None:
        return targets_by_step(d.detach(), T, lengths, batch_first)
    order = order.cpu()
    found = targets_by_step(d.detach(), T, lengths[order.argsort()], batch_first)
    return None if found is None else found[:, order]


def _of_loop(name: str, loop: list[ModuleCall], d: Tensor | None, lags: int, is_given: bool) -> Diagnosis:
    """The diagnosis of one loop of calls, taken as one walk."""
    T, errors, rows = _steps(loop), errors_of(loop), _sequences(loop)
    dh = errors.d_outputs[:, rows.to(errors.d_outputs.device)].to("cpu", torch.float64)
    asked, lags = lags, lags_before(dh, lags)
    records = _in_double(name, loop, rows)
    listed = [r for layer in records for r in layer]
    weights = {n: w for r in listed for n, w in zip(r.names, r.weights, strict=True) if n and w is not None}
    if (trouble := trouble_in(weights.items(), listed)) is not None:
        return not_finite(trouble, T, lags)
    deltas = [node.adjoint.delta_hh for call in loop for node in call.nodes if node.adjoint is not None]
    if not all(bool(delta.isfinite().all()) for delta in deltas):
        return not_finite("The gradient is not finite, though every state is.", T, lags)
    if errors.elsewhere:
        by_lag = {} if dh[:-1].any() else _by_lag_of_final_states(loop, rows, lags)
    else:
        by_lag = mean_by_lag_of(records, dh, lags, sum(w.numel() for w in weights.values()))
    layers = [diagnose_layer(r.layer, r, by_lag.get(r.layer), lags) for r in listed]
    norm = _gradient_norm(loop)
    silent = not any(bool(delta.any()) for delta in deltas)
    memory = memory_of(_inputs(loop), d, asked, is_given)
    found = diagnosis_from(layers, listed, memory, silent, T, lags, GradientNorms(T, norm[None], norm.item()))
    if len(loop) > 1:
        found.notes.append(f"Looked at: {len(loop)} calls as one walk of {T} steps that hands its state on.")
    if any(call.drew_dropout for call in loop):
        found.notes.append(
            "Dropout was drawn between its layers; the gradient by lag of the lower ones is without it."
        )
    return found


def _by_lag_of_final_states(loop: list[ModuleCall], rows: Tensor, lags: int) -> dict[str, Tensor]:
    """The gradient by lag of the one error that enters by the final states of all layers: that of the whole loss.

    Empty for a loop of calls or two directions, and where it enters by an LSTM's cell state alone.
    """
    call, found = loop[0], {}
    if len(loop) > 1 or call.directions == 2:
        return {}
    for number, adjoint in enumerate(node.adjoint for node in call.nodes):
        if adjoint is None:
            return {}
        dh = call.in_time(adjoint.dh, number)[:, rows.to(adjoint.dh.device)]
        found[call.layer(number)] = dh.double().norm(dim=-1).mean(1).flip(0)[: lags + 1].cpu()
    return found if all(by_lag[0] > 0 for by_lag in found.values()) else {}


def _sequences(loop: list[ModuleCall]) -> Tensor:
    """Which rows of the batch are looked at: a few of those that go on to the last step, spread evenly."""
    whole = min(call.batch if call.batch_sizes is None else call.batch_sizes[-1] for call in loop)
    return some_of(whole)


def _inputs(loop: list[ModuleCall]) -> Tensor:
    """x of the sequences that all calls have, (T, B, I)."""
    whole = min(call.batch for call in loop)
    rows = [call.in_time(call.nodes[0].recording.x, 0)[:, :whole] for call in loop]
    return torch.cat(rows).detach().cpu()


def _gradient_norm(loop: list[ModuleCall]) -> Tensor:
    """The norm of the gradient of all the module's weights, as far as it came by these calls."""
    norms = []
    for number in range(len(loop[0].nodes)):
        for of_weight in zip(*(call.factors(number) for call in loop), strict=True):
            if of_weight[0] is not None:
                norms.append(joined(of_weight).summed().norm())
    return torch.stack(norms).norm().cpu()


def _in_double(name: str, loop: list[ModuleCall], rows: Tensor) -> list[list[Record]]:
    """A loop's walks in float64, with the weights' names in the model."""
    prefix = f"{name}." if name else ""
    layers = records_of(loop, rows, change=lambda t: t.to("cpu", torch.float64))
    return [[r._replace(names=r.names.each(lambda n: prefix + n)) for r in layer] for layer in layers]
