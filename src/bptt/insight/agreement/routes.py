"""One gradient by several routes: the same model, its forward and backward pass computed by other code each time.

Each route works on a copy of the model; the model, its `.grad` and the random generators stay as they are.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...cell import Cell
from ...convert import OURS, plain_type, to_torch, with_ours
from ...networks import Elman
from ...reach.checkpointed import checkpointed
from ...reach.layout import time_axis
from ...recurrent import Recurrent, Walk
from ...walks import door
from ...walks.call import Call
from ...walks.cpu import FUSED
from ...walks.plain import PLAIN
from ...walks.reference import REFERENCE
from ..recorder.by_module import gradient_of_walks
from ..recorder.record import record
from .problems import CriterionLoss, ModelLoss, Problem, copied

SEGMENTS = 4  # that checkpointed cuts the sequence into


class RouteGradients(NamedTuple):
    """One route's loss and gradients."""

    loss: Tensor | None  # None where the way does not apply
    gradients: dict[str, Tensor]  # by parameter, "x", "state"
    note: str | None = None  # why it does not apply, or in which part it does


def by_kernels(problem: Problem) -> RouteGradients:
    """By the native kernels, called as a user calls them."""
    reasons = _without_kernel(problem)
    if not reasons:
        return RouteGradients(None, {}, _nothing_to_walk(problem.model))
    missing = list(dict.fromkeys(reason for reason in reasons if reason is not None))
    if None not in reasons:
        return RouteGradients(None, {}, "; ".join(missing))
    note = f"in part: {'; '.join(missing)}" if missing else None
    return _taken(problem._replace(model=_ours(problem.model)))._replace(note=note)


def by_reference(problem: Problem) -> RouteGradients:
    """By each cell's own adjoint, written down in `equations`, step after step."""
    model = _ours(problem.model)
    if not _walked_by(model, REFERENCE.walk):
        return RouteGradients(None, {}, _nothing_to_walk(model))
    return _taken(problem._replace(model=model))


def by_checkpointing(problem: CriterionLoss) -> RouteGradients:
    """By `bptt.checkpointed`, the sequence cut into segments that are replayed."""
    model = _ours(problem.model)
    own = problem._replace(model=model).with_leaves()
    try:
        axis = time_axis(model, own.x)
        steps = own.x.shape[axis]
        of_sequences = own.x.dim() == 3 and isinstance(own.d, Tensor) and own.d.shape == (own.x.shape[1 - axis],)
        if of_sequences and len(own.d) != steps:
            return RouteGradients(None, {}, "d has one label a sequence, not one target a step")
        segment = max(1, steps // SEGMENTS)
        loss, _ = checkpointed(model, own.x, own.d, own.criterion, segment=segment, state=own.state)
    except (TypeError, ValueError) as error:  # what the other ways take without complaint
        return RouteGradients(None, {}, str(error).split(": ")[0].split(";")[0])
    found = {n: torch.zeros_like(t) if t.grad is None else t.grad for n, t in own.sources().items()}
    return RouteGradients(loss, found)


def by_torch_nn(problem: Problem) -> RouteGradients:
    """By torch.nn's modules in the place of ours."""
    try:
        model = to_torch(copied(problem.model))
    except ValueError as error:
        return RouteGradients(None, {}, str(error))
    ours = next((m for m in model.modules() if isinstance(m, Recurrent | Elman)), None)
    if ours is not None:
        return RouteGradients(None, {}, f"torch.nn has no {type(ours).__name__}")
    if not any(plain_type(module) in OURS for module in model.modules()):
        return RouteGradients(None, {}, _nothing_to_walk(model))
    return _taken(problem._replace(model=model))


def by_autograd(problem: Problem) -> RouteGradients:
    """By autograd through the equations, which knows nothing of the adjoints."""
    return _taken(problem._replace(model=equations_only(problem.model)))


def by_recording(problem: ModelLoss) -> RouteGradients:
    """By the recorded walks' contributions, summed over their steps."""
    named, kept = problem.sources(), []

    def recorded(model: nn.Module) -> Tensor:
        with record(model) as walks:
            kept.append(walks)
            return problem.function(model)

    try:
        loss = problem._replace(function=recorded).loss()
        found = gradient_of_walks(kept[0], loss, list(named.values()))
    except (TypeError, ValueError) as error:  # walks that cannot be recorded
        return RouteGradients(None, {}, str(error).split(": ")[0].split(";")[0])
    return RouteGradients(loss.detach(), dict(zip(named, found, strict=True)))


def equations_only(model: nn.Module) -> nn.Module:
    """A copy that computes the plain equations under autograd."""
    model = _ours(model)
    _walked_by(model, PLAIN.walk)
    return model


def _taken(problem: Problem) -> RouteGradients:
    """The gradients by autograd, through whatever the problem's model does."""
    problem = problem.with_leaves()
    named = problem.sources()
    loss = problem.loss()
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True, materialize_grads=True)
    return RouteGradients(loss.detach(), dict(zip(named, found, strict=True)))


def _ours(model: nn.Module) -> nn.Module:
    """A copy with our modules in the place of torch.nn's."""
    return with_ours(copied(model))


def _walked_by(model: nn.Module, walk: Walk) -> int:
    """Have a model's forward passes computed by another function; returns how many modules there are."""
    modules: list[Any] = [m for m in model.modules() if isinstance(m, Recurrent | Elman)]
    for module in modules:
        module.run = partial(module.run, walk=walk)
    return len(modules)


def _without_kernel(problem: Problem) -> list[str | None]:
    """For every layer and direction of a call why it has no kernel, or None where it has one."""
    reasons: list[str | None] = []

    def looked_at(call: Call) -> Any:
        reasons.append(FUSED.refuses(call))
        return door.walk(call)

    model = _ours(problem.model)
    if _walked_by(model, looked_at):
        with torch.no_grad():
            problem._replace(model=model).loss()
    return reasons


def _nothing_to_walk(model: nn.Module) -> str:
    who = type(model).__name__
    if isinstance(model, Cell):
        return f"{who} defines its own step and leaves the backward pass to autograd"
    return f"{who} holds no RNN, GRU or LSTM of bptt or torch.nn; cells and subclasses run as they are"
