"""The trust check: every way to the gradient side by side, each judged by the plainest one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...trees import Tree
from ..walks import Criterion
from . import differences, routes
from .result import DIFFERENCES, TOLERANCE, Check, Error, Way
from .routes import Found, Problem

ROUNDINGS = 10  # how many times its own uncertainty a derivative may be off

WAYS: dict[str, Callable[[Problem], Found]] = {
    "fused": routes.fused,
    "reference": routes.reference,
    "checkpointed": routes.checkpointed,
    "torch.nn": routes.torch_nn,
    "autograd": routes.autograd,
}


class Probed(NamedTuple):
    """A tensor's derivatives by finite differences."""

    probes: list[differences.Probe]
    values: Tensor  # one for each probe
    uncertainty: float  # the length of all their uncertainties

    @property
    def error(self) -> Error:
        """How far they may be trusted, relative to their length."""
        size = self.values.norm().item()
        return Error(self.uncertainty / size if size else 0.0, "", size, size)


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
) -> Check:
    """Take the gradient of criterion(y, d) by every way there is, and compare.

    In float64, on copies without dropout: by the fused kernels, by the cells' own adjoints, by `checkpointed`, by
    torch.nn's modules, by autograd through the equations, and by finite differences of the loss, which know
    nothing of derivatives and judge all others; and by the fused kernels in float32. The model, its `.grad` and
    the random generators stay as they are.

    Args:
        model: any module (x, state) -> (y, state): bptt's, torch.nn's, one that holds some of them, a `bptt.Cell`.
        x, state: as the model takes them, x a tensor; state None for the model's own.
        d: what is desired, as the criterion takes it.
        criterion: (y, d) -> scalar.
        t: the step whose error E_t alone is differentiated, from 1 to T: the loss as a function of y_t, the
            other outputs held as they are. Default None: the whole loss.
        looks: at how many places finite differences look in each tensor, at least 3: all entries where these are
            no more; else entries drawn by the seed, and two directions through all entries. Default 8.
        seed: of these places. Default 0.

    Returns:
        the errors of each way, and a verdict.

    Raises:
        TypeError, ValueError: the arguments do not fit, the model cannot be copied, or the loss is not finite.

    >>> from bptt import GRU, squared_error
    >>> x, d = torch.ones(5, 2, 3), torch.zeros(5, 2, 4)
    >>> check_gradient(GRU(3, 4), x, d, squared_error).passed
    True
    """
    if isinstance(looks, bool) or not isinstance(looks, int):
        raise TypeError(f"looks must be an int, got {type(looks).__name__}")
    if looks < 3:
        raise ValueError(f"looks must be at least 3, got {looks}: at an entry and along two directions")
    with torch.enable_grad():
        problem = routes.posed(model, x, d, criterion, state, t)
        found = [(name, torch.float64, way(problem)) for name, way in WAYS.items()]
        found.insert(1, ("fused", torch.float32, routes.fused(routes.converted(problem, torch.float32))))
        probed = _probed(problem, looks, torch.Generator().manual_seed(seed))
    autograd = found[-1][2]
    sound = _judged("autograd", torch.float64, autograd, probed, None).passed
    judged = [_judged(name, dtype, way, probed, autograd if sound else None) for name, dtype, way in found]
    judged.append(Way(DIFFERENCES, torch.float64, None, {n: p.error for n, p in probed.items()}, {}, True))
    places = [probe for p in probed.values() for probe in p.probes]
    directions = sum(not _is_entry(probe) for probe in places)
    return Check(
        tuple(judged),
        sum(g.numel() for g in autograd.gradients.values()),
        len(places) - directions,
        directions,
    )


def _is_entry(probe: differences.Probe) -> bool:
    return not probe.place.startswith("direction")


def _probed(problem: Problem, looks: int, generator: torch.Generator) -> dict[str, Probed]:
    """Finite differences of the equations' loss, in every tensor there is a gradient of."""
    problem = routes.with_leaves(problem._replace(model=routes.plain(problem.model)))
    return {
        name: _probed_tensor(problem, source, looks, generator) for name, source in routes.sources(problem).items()
    }


def _probed_tensor(problem: Problem, source: Tensor, looks: int, generator: torch.Generator) -> Probed:
    origin = source.detach().clone()
    places, found = differences.probes(origin, looks, generator), []
    with torch.no_grad():
        for probe in places:

            def moved(step: float, direction: Tensor = probe.direction) -> float:
                source.copy_(origin + step * direction)
                return routes.loss_of(problem).item()

            found.append(differences.derivative(moved))
            source.copy_(origin)
    values = torch.tensor([d.value for d in found], dtype=torch.float64)
    return Probed(places, values, math.hypot(*(d.uncertainty for d in found)))


def _judged(name: str, dtype: torch.dtype, found: Found, probed: dict[str, Probed], autograd: Found | None) -> Way:
    """One way judged by finite differences, and by autograd where that is sound itself."""
    way = Way(name, dtype, found.note, {}, {}, None)
    if found.loss is None:
        return way
    way = replace(way, by_differences=_against_differences(found, probed, dtype))
    if autograd is not None and found is not autograd:
        way = replace(way, by_autograd=_against_autograd(found, autograd, dtype))
    judge, _, worst = way.worst()
    return replace(way, passed=worst.error <= way.allowed(judge))


def _against_differences(found: Found, probed: dict[str, Probed], dtype: torch.dtype) -> dict[str, Error]:
    errors = {}
    for name, (places, wanted, uncertainty) in probed.items():
        gradient = found.gradients[name].double()
        seen = torch.stack([(gradient * probe.direction).sum() for probe in places]).cpu()
        worst = int((seen - wanted).abs().argmax())
        blur = uncertainty + _rounding(found, dtype)
        error = _relative(seen, wanted, blur, max(TOLERANCE[DIFFERENCES], TOLERANCE[dtype]))
        errors[name] = Error(error, places[worst].place, seen[worst].item(), wanted[worst].item())
    return errors


def _against_autograd(found: Found, autograd: Found, dtype: torch.dtype) -> dict[str, Error]:
    assert found.loss is not None
    assert autograd.loss is not None
    pairs = {"loss": (found.loss, autograd.loss)}
    pairs |= {name: (found.gradients[name], wanted) for name, wanted in autograd.gradients.items()}
    errors = {}
    for name, (seen, wanted) in pairs.items():
        seen, blur = seen.double(), 0.0 if name == "loss" else _rounding(autograd, dtype)
        worst = int((seen - wanted).abs().argmax())
        place = differences.entry_name(wanted, worst)
        error = _relative(seen, wanted, blur, TOLERANCE[dtype])
        errors[name] = Error(error, place, seen.flatten()[worst].item(), wanted.flatten()[worst].item())
    return errors


def _rounding(found: Found, dtype: torch.dtype) -> float:
    """What cancellation may leave of the largest gradient where a derivative is next to nothing."""
    return torch.finfo(dtype).eps * max(g.norm().item() for g in found.gradients.values())


def _relative(found: Tensor, wanted: Tensor, blur: float, allowed: float) -> float:
    """‖found - wanted‖ / ‖wanted‖; where that is next to nothing, what `ROUNDINGS` of blur may be is allowed."""
    apart = (found - wanted).norm().item()
    scale = max(wanted.norm().item(), ROUNDINGS * blur / allowed)
    error = apart / scale if scale else math.inf if apart else 0.0
    return math.inf if math.isnan(error) else error
