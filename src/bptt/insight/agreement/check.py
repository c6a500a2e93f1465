"""`check_gradient`: one gradient by every route, each judged by the plainest one, finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor, nn

from ...trees import Tree
from ..plain_models import Criterion
from . import differences, routes
from .problems import CriterionLoss, ModelLoss, Problem, problem_of_model, problem_of_sequences
from .result import DIFFERENCES, TOLERANCE, GradientCheck, Route, RouteError
from .routes import RouteGradients

ROUNDINGS = 10  # how many times its own uncertainty a derivative may be off

OF_SEQUENCES: dict[str, Callable[[CriterionLoss], RouteGradients]] = {
    "fused": routes.by_kernels,
    "reference": routes.by_reference,
    "checkpointed": routes.by_checkpointing,
    "torch.nn": routes.by_torch_nn,
    "autograd": routes.by_autograd,
}
OF_MODELS: dict[str, Callable[[ModelLoss], RouteGradients]] = {
    "fused": routes.by_kernels,
    "reference": routes.by_reference,
    "recorded": routes.by_recording,
    "torch.nn": routes.by_torch_nn,
    "autograd": routes.by_autograd,
}


class Probed(NamedTuple):
    """A tensor's derivatives by finite differences."""

    probes: list[differences.Direction]
    values: Tensor  # one for each probe
    uncertainty: float  # the length of all their uncertainties

    @property
    def error(self) -> RouteError:
        """How far they may be trusted, relative to their length."""
        size = self.values.norm().item()
        return RouteError(self.uncertainty / size if size else 0.0, "", size, size)


@overload
def check_gradient(
    model: nn.Module, loss: Callable[[Any], Tensor], /, *, looks: int = 8, seed: int = 0
) -> GradientCheck: ...
@overload
def check_gradient(
    model: nn.Module, *, loss: Callable[[Any], Tensor], looks: int = 8, seed: int = 0
) -> GradientCheck: ...
@overload
def check_gradient(
    model: nn.Module,
    x: Tensor,
    d: Any,
    criterion: Criterion,
    *,
    t: int | None = None,
    state: Tree = None,
    looks: int = 8,
    seed: int = 0,
) -> GradientCheck: ...
def check_gradient(
    model: nn.Module,
    x: Any = None,
    d: Any = None,
    criterion: Any = None,
    *,
    loss: Callable[[Any], Any] | None = None,
    t: int | None = None,
    state: Tree = None,
    looks: int = 8,
    seed: int = 0,
) -> GradientCheck:
    """Compute the gradient of a loss by every available route, and compare.

    Of any model: ``check_gradient(model, loss)`` with a function ``loss(model)`` that runs the model and returns a
    scalar. It is called with copies of the model in float64, in the mode the model is in, and draws the same
    random numbers each time; tensors that it takes from elsewhere are converted. By the fused kernels and by the
    cells' own adjoints in the place of torch.nn's modules, by recorded walks summed over their steps, by
    torch.nn's modules, by autograd through the equations, and by finite differences of the loss, which use no
    derivatives and judge all others.

    Of a sequence model: ``check_gradient(model, x, d, criterion)``, the gradient of criterion(y, d), without
    dropout; by `checkpointed` instead of recorded walks, and by the fused kernels in float32 too.

    The model, its `.grad` and the random generators stay as they are.

    Args:
        model: any module with recurrent modules in it; with x, a module (x, state) -> (y, state): bptt's,
            torch.nn's, one that holds some of them, a `bptt.Cell`.
        loss: loss(model) -> scalar. A detached part counts in finite differences, and not in autograd.
        x: the input, a tensor.
        d: the targets, as the criterion takes them.
        criterion: (y, d) -> scalar.
        t: the step whose error E_t alone is differentiated, from 1 to T: the loss as a function of y_t, the
            other outputs held as they are. Default None: the whole loss.
        state: the initial state; None for the model's own.
        looks: at how many places of each tensor finite differences are taken, at least 3: at all entries where
            there are no more; else at random entries, and along two directions through all entries. Default 8.
        seed: of these places. Default 0.

    Returns:
        the errors of each route, and a verdict.

    Raises:
        TypeError, ValueError: the arguments do not fit, the model cannot be copied, or the loss is not finite or
            does not depend on the copy it is given.

    >>> from bptt import GRU, squared_error
    >>> x, d = torch.ones(5, 2, 3), torch.zeros(5, 2, 4)
    >>> check_gradient(GRU(3, 4), x, d, squared_error).passed
    True
    >>> tagger = nn.ModuleDict({"rnn": nn.LSTM(3, 4), "head": nn.Linear(4, 2)})
    >>> check_gradient(tagger, lambda model: model["head"](model["rnn"](x)[0]).square().mean()).passed
    True
    """
    if isinstance(looks, bool) or not isinstance(looks, int):
        raise TypeError(f"looks must be an int, got {type(looks).__name__}")
    if looks < 3:
        raise ValueError(f"looks must be at least 3, got {looks}: at an entry and along two directions")
    if loss is None and not isinstance(x, Tensor) and callable(x):
        x, loss = None, x
    with torch.enable_grad():
        if loss is not None:
            if x is not None or d is not None or criterion is not None or t is not None or state is not None:
                raise TypeError("check_gradient(model, loss) takes no x, d, criterion, t or state")
            problem = problem_of_model(model, loss)
            found = [(name, torch.float64, route(problem)) for name, route in OF_MODELS.items()]
        else:
            problem = problem_of_sequences(model, x, d, criterion, state, t)
            found = [(name, torch.float64, route(problem)) for name, route in OF_SEQUENCES.items()]
            found.insert(1, ("fused", torch.float32, routes.by_kernels(problem.converted(torch.float32))))
        probed = _probed(problem, looks, torch.Generator().manual_seed(seed))
    autograd = found[-1][2]
    sound = _judged("autograd", torch.float64, autograd, probed, None).passed
    judged = [_judged(name, dtype, route, probed, autograd if sound else None) for name, dtype, route in found]
    judged.append(Route(DIFFERENCES, torch.float64, None, {n: p.error for n, p in probed.items()}, {}, True))
    places = [probe for p in probed.values() for probe in p.probes]
    directions = sum(probe.place.startswith("direction") for probe in places)
    return GradientCheck(
        tuple(judged),
        sum(g.numel() for g in autograd.gradients.values()),
        len(places) - directions,
        directions,
    )


def _probed(problem: Problem, looks: int, generator: torch.Generator) -> dict[str, Probed]:
    """Finite differences of the equations' loss, in every tensor there is a gradient of."""
    problem = problem._replace(model=routes.equations_only(problem.model)).with_leaves()
    return {name: _probed_tensor(problem, source, looks, generator) for name, source in problem.sources().items()}


def _probed_tensor(problem: Problem, source: Tensor, looks: int, generator: torch.Generator) -> Probed:
    origin = source.detach().clone()
    places, found = differences.probes(origin, looks, generator), []
    with torch.no_grad():
        for probe in places:

            def moved(step: float, direction: Tensor = probe.direction) -> float:
                source.copy_(origin + step * direction)
                return problem.loss().item()

            found.append(differences.derivative(moved))
            source.copy_(origin)
    values = torch.tensor([d.value for d in found], dtype=torch.float64, device="cpu")
    return Probed(places, values, math.hypot(*(d.uncertainty for d in found)))


def _judged(
    name: str,
    dtype: torch.dtype,
    found: RouteGradients,
    probed: dict[str, Probed],
    autograd: RouteGradients | None,
) -> Route:
    """One route judged by finite differences, and by autograd where that is sound itself."""
    route = Route(name, dtype, found.note, {}, {}, None)
    if found.loss is None:
        return route
    route = replace(route, by_differences=_against_differences(found, probed, dtype))
    if autograd is not None and found is not autograd:
        route = replace(route, by_autograd=_against_autograd(found, autograd, dtype))
    judge, _, worst = route.worst()
    return replace(route, passed=worst.error <= route.allowed(judge))


def _against_differences(
    found: RouteGradients, probed: dict[str, Probed], dtype: torch.dtype
) -> dict[str, RouteError]:
    allowed, errors = max(TOLERANCE[DIFFERENCES], TOLERANCE[dtype]), {}
    for name, (probes, wanted, uncertainty) in probed.items():
        gradient = found.gradients[name].double()
        seen = torch.stack([(gradient * probe.direction).sum() for probe in probes]).cpu()
        places = [probe.place for probe in probes]
        errors[name] = _error(seen, wanted, uncertainty + _rounding(found, dtype), allowed, places.__getitem__)
    return errors


def _against_autograd(
    found: RouteGradients, autograd: RouteGradients, dtype: torch.dtype
) -> dict[str, RouteError]:
    assert found.loss is not None
    assert autograd.loss is not None
    allowed = TOLERANCE[dtype]
    errors = {"loss": _error(found.loss, autograd.loss, 0.0, allowed, lambda _: "")}
    for name, wanted in autograd.gradients.items():
        place = partial(differences.entry_name, wanted)
        errors[name] = _error(found.gradients[name], wanted, _rounding(autograd, dtype), allowed, place)
    return errors


def _rounding(found: RouteGradients, dtype: torch.dtype) -> float:
    """Rounding of the largest gradient, which cancellation may leave where a derivative is next to nothing."""
    return torch.finfo(dtype).eps * max(g.norm().item() for g in found.gradients.values())


def _error(seen: Tensor, wanted: Tensor, blur: float, allowed: float, place: Callable[[int], str]) -> RouteError:
    """‖seen - wanted‖ / ‖wanted‖; where that is next to nothing, `ROUNDINGS` of blur are allowed."""
    seen = seen.double()
    apart = (seen - wanted).norm().item()
    scale = max(wanted.norm().item(), ROUNDINGS * blur / allowed)
    error = apart / scale if scale else math.inf if apart else 0.0
    worst = int((seen - wanted).abs().argmax())
    return RouteError(
        math.inf if math.isnan(error) else error,
        place(worst),
        seen.flatten()[worst].item(),
        wanted.flatten()[worst].item(),
    )
