"""One gradient by several routes: the same model, its forward and backward pass computed by other code each time.

Each route works on a copy of the model; the model, its `.grad` and the random generators stay as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...cell import Cell
from ...convert import THEIRS, from_torch, to_torch
from ...networks import Elman, SequenceModel
from ...reach.checkpointed import checkpointed
from ...reach.devices import naming_devices
from ...reach.gradients import scalar_loss
from ...reach.layout import time_axis
from ...reach.walker import FORM, check_model
from ...recurrent import Recurrent, Walk
from ...trees import Tree, leaves, mapped
from ...user_functions import pair_of
from ...walks import door
from ...walks.call import Call
from ...walks.cpu import FUSED
from ...walks.plain import PLAIN
from ...walks.reference import REFERENCE
from ..recorded import Criterion, OneError, check_call, checked_step

SEGMENTS = 4  # that checkpointed cuts the sequence into


class Problem(NamedTuple):
    """The loss to differentiate: criterion(model(x, state)[0], d)."""

    model: nn.Module
    x: Tensor
    d: Tree
    criterion: Criterion
    state: Tree  # None where the model makes its own


class RouteGradients(NamedTuple):
    """One route's loss and gradients."""

    loss: Tensor | None  # None where the way does not apply
    gradients: dict[str, Tensor]  # by parameter, "x", "state"
    note: str | None = None  # why it does not apply, or in which part it does


def posed(model: nn.Module, x: Tensor, d: Any, criterion: Criterion, state: Tree, t: int | None = None) -> Problem:
    """The problem in float64, without dropout, its initial state spelled out where that is zeros.

    Raises:
        TypeError, ValueError: the arguments are no problem of this kind.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module {FORM}, got {type(model).__name__}")
    check_model(model)
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a torch.Tensor, got {type(x).__name__}")
    check_call(criterion)
    leaves(d, "d")
    problem = converted(Problem(model, x, d, criterion, state), torch.float64)
    leaves(problem.state)
    for weight in problem.model.parameters():
        if weight.is_floating_point():
            weight.requires_grad_()
    name = type(model).__name__
    weight = next(problem.model.parameters(), None)
    with naming_devices(f"the weights of this {name} are", weight, x=x, state=state):
        y, after = pair_of(problem.model(problem.x, problem.state), name, "a pair (y, state)")
    if t is not None:
        axis = time_axis(problem.model, problem.x)
        one = OneError(problem.criterion, y, checked_step("t", t, problem.x.shape[axis]), axis)
        problem = problem._replace(criterion=one)
    loss = scalar_loss(problem.criterion, y, problem.d).item()
    if not abs(loss) < float("inf"):
        raise ValueError(f"the loss is {loss}, which has no gradient; check x, d and the weights for NaN and Inf")
    if state is None and isinstance(model, Recurrent | SequenceModel | Elman | nn.RNNBase):
        problem = problem._replace(state=mapped(lambda s: torch.zeros_like(s).detach(), after))
    return problem


def converted(problem: Problem, dtype: torch.dtype) -> Problem:
    """The same problem on copies in another floating dtype, dropout off."""

    def cast(t: Tensor) -> Tensor:
        return t.detach().to(dtype) if t.is_floating_point() else t.detach()

    try:
        model = copy.deepcopy(problem.model).to(dtype).eval()
    except RuntimeError as error:
        raise TypeError(f"this {type(problem.model).__name__} cannot be copied: {error}") from error
    for module in model.modules():
        if isinstance(module, nn.RNNBase):  # a vendor's kernel refuses a backward pass in eval mode
            module.dropout = 0.0
            module.train()
    if isinstance(model, Cell):
        model.initial_state = partial(_initial_state, model.initial_state, dtype)
    criterion = problem.criterion
    if isinstance(criterion, nn.Module):
        criterion = copy.deepcopy(criterion).to(dtype)
    x, d, state = (mapped(cast, tree) for tree in (problem.x, problem.d, problem.state))
    return Problem(model, x, d, criterion, state)


def _initial_state(made: Callable[[int], Tree], dtype: torch.dtype, batch: int) -> Tree:
    """A cell's initial state in the dtype of its copy: ``torch.zeros(batch, units)`` makes float32 everywhere."""
    return mapped(lambda leaf: leaf.to(dtype) if leaf.is_floating_point() else leaf, made(batch))


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


def by_checkpointing(problem: Problem) -> RouteGradients:
    """By `bptt.checkpointed`, the sequence cut into segments that are replayed."""
    model = _ours(problem.model)
    own = with_leaves(problem._replace(model=model))
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
    found = {n: torch.zeros_like(t) if t.grad is None else t.grad for n, t in sources(own).items()}
    return RouteGradients(loss, found)


def by_torch_nn(problem: Problem) -> RouteGradients:
    """By torch.nn's modules in the place of ours."""
    try:
        model = to_torch(copy.deepcopy(problem.model))
    except ValueError as error:
        return RouteGradients(None, {}, str(error))
    ours = next((m for m in model.modules() if isinstance(m, Recurrent | Elman)), None)
    if ours is not None:
        return RouteGradients(None, {}, f"torch.nn has no {type(ours).__name__}")
    if not any(type(module) in THEIRS.values() for module in model.modules()):
        return RouteGradients(None, {}, _nothing_to_walk(model))
    return _taken(problem._replace(model=model))


def by_autograd(problem: Problem) -> RouteGradients:
    """By autograd through the equations, which knows nothing of the adjoints."""
    return _taken(problem._replace(model=equations_only(problem.model)))


def equations_only(model: nn.Module) -> nn.Module:
    """A copy that computes the plain equations under autograd."""
    model = _ours(model)
    _walked_by(model, PLAIN.walk)
    return model


def with_leaves(problem: Problem) -> Problem:
    """The same problem, its x and state leaves of their own that gradients are taken in."""

    def leaf(t: Tensor) -> Tensor:
        return t.detach().clone().requires_grad_(t.is_floating_point())

    return problem._replace(x=leaf(problem.x), state=mapped(leaf, problem.state))


def sources(problem: Problem) -> dict[str, Tensor]:
    """The tensors to differentiate with respect to, by name: every parameter, x, and the initial state."""
    state = leaves(problem.state)
    names = ["state"] if len(state) == 1 else [f"state[{i}]" for i in range(len(state))]
    named = {**dict(problem.model.named_parameters()), "x": problem.x, **dict(zip(names, state, strict=True))}
    return {name: t for name, t in named.items() if t.requires_grad}


def loss_of(problem: Problem) -> Tensor:
    """criterion(y, d), a scalar."""
    return problem.criterion(problem.model(problem.x, problem.state)[0], problem.d)


def _taken(problem: Problem) -> RouteGradients:
    """The gradients by autograd, through whatever the problem's model does."""
    problem = with_leaves(problem)
    named = sources(problem)
    loss = loss_of(problem)
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True, materialize_grads=True)
    return RouteGradients(loss.detach(), dict(zip(named, found, strict=True)))


def _ours(model: nn.Module) -> nn.Module:
    """A copy with our modules in the place of torch.nn's."""
    return from_torch(copy.deepcopy(model))


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
            model(problem.x, problem.state)
    return reasons


def _nothing_to_walk(model: nn.Module) -> str:
    who = type(model).__name__
    if isinstance(model, Cell):
        return f"{who} defines its own step and leaves the backward pass to autograd"
    return f"{who} holds no recurrent module of bptt or torch.nn"
