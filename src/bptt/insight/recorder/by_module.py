"""What each step contributed to the gradient of every recurrent weight inside a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ...reach.layout import called
from ...walks.unfold import Factor
from ..contributions_result import BySteps, Contributions
from ..pairs import norms_by_pair
from .by_pair import naming_a_freed_graph, norms_of_entering, norms_of_errors
from .calls import ModuleCall, NodeErrors
from .loops import joined, loops_of
from .model_contributions import ModelContributions, ModuleContributions
from .record import Walks


def contributions_of_walks(walks: Walks, loss: Tensor, *, pairs: bool = False) -> ModelContributions:
    """What each step contributes to the gradient of a loss, by module, from one backward pass of it.

    Args:
        loss: a scalar; or E_t of each step, (T,) or (T, B), whose sum is the loss.
        pairs: as `contributions` takes it; errors (T,) are each backpropagated through the whole model.
    """
    errors = _checked(walks, loss)
    of_errors = norms_of_errors(walks, errors) if pairs and errors is not None else {}
    whole = loss if errors is None else errors.sum()
    _backward(walks, whole)
    reached = {name: [call for call in calls if call.was_reached] for name, calls in walks.calls.items()}
    parts = {name: _Parts.of(walks.modules[name], calls, whole) for name, calls in reached.items() if calls}
    modules = {}
    for name, (loops, contribution) in parts.items():
        by_pair = of_errors.get(name) or (contribution._sweep() if pairs else None)
        modules[name] = ModuleContributions(
            None,
            contribution.loss,
            contribution.by_step,
            by_pair,
            contribution.steps,
            contribution._sweep,
            name,
            len(reached[name]),
            loops,
        )
    return ModelContributions(walks, whole.detach(), modules)


def backward_of_walks(walks: Walks, loss: Tensor) -> None:
    """Backpropagate a loss through all recorded walks; every .grad stays as it is."""
    errors = _checked(walks, loss)
    _backward(walks, loss if errors is None else errors.sum())


def _checked(walks: Walks, loss: Any) -> Tensor | None:
    """The errors by step, (T,); None for a scalar loss."""
    if not isinstance(loss, Tensor):
        raise TypeError(
            f"loss must be a scalar tensor, or E_t of each step (T,) or (T, B), got {type(loss).__name__}"
        )
    if loss.is_complex():
        raise TypeError(f"loss is {loss.dtype}, but a gradient is of a real loss; pass its .real or .abs()")
    if not any(walks.calls.values()):
        under = f"; {walks.skipped} calls were made under torch.no_grad()" if walks.skipped else ""
        under += ", as torch.utils.checkpoint makes them without use_reentrant=False" if walks.skipped else ""
        raise ValueError(f"no walk was recorded: call the model inside `with record(model)`{under}")
    if not loss.requires_grad:
        raise ValueError(
            "the loss depends on no recorded walk: compute it from the outputs of recorded calls, under autograd"
        )
    if shared := walks.ticket.shared_with_others(loss):
        names = ", ".join(called(name) for name, module in walks.modules.items() if module in shared)
        raise ValueError(
            f"the loss depends on calls of {names} in another `record` too, whose part would be left out: make "
            "all calls inside one `with bptt.record(model) as walks`"
        )
    if loss.numel() == 1:
        return None
    if loss.dim() > 2:
        raise ValueError(
            f"loss must be a scalar, or E_t of each step (T,) or (T, B), got shape {tuple(loss.shape)}"
        )
    lengths = {sum(call.steps for call in calls) for calls in walks.calls.values() if calls}
    if len(loss) not in lengths:
        raise ValueError(
            f"there are {len(loss)} errors E_t, but the recorded modules walked "
            f"{' or '.join(map(str, sorted(lengths)))} steps; pass one error a step, or their sum as a scalar loss"
        )
    return loss.flatten(1).sum(1) if loss.dim() == 2 else loss


def _backward(walks: Walks, loss: Tensor) -> None:
    """Backpropagate a loss through all recorded walks; every .grad stays as it is."""
    nodes = [node for calls in walks.calls.values() for call in calls for node in call.nodes]
    for node in nodes:
        node.forget()
    with walks.ticket.asked(), naming_a_freed_graph():
        (reached,) = torch.autograd.grad(loss, [walks.ticket.tensor], retain_graph=True, allow_unused=True)
    if reached is None or all(node.adjoint is None for node in nodes):
        raise ValueError("the loss depends on no recorded walk, or on walks of another `record` alone")
    if any(node.differentiable for node in nodes):
        raise ValueError(
            "the loss holds gradients of the walks (a gradient penalty, for example), and second derivatives are "
            "not recorded; pass the loss without them"
        )


def gradient_of_walks(walks: Walks, loss: Tensor, of: Sequence[Tensor]) -> list[Tensor]:
    """∂L/∂(each tensor): the contributions of all walks, summed over their steps, and autograd's of all else."""
    _checked(walks, loss)
    _backward(walks, loss)
    parts = [
        (weight, factor.summed())
        for calls in walks.calls.values()
        for call in calls
        for node in call.nodes
        if node.adjoint is not None
        for weight, factor in zip(node.weights, node.recording.factors(node.adjoint), strict=True)
        if weight is not None and weight.requires_grad and factor is not None
    ]
    weights, sums = zip(*parts, strict=True) if parts else ((), ())
    of_walks = torch.autograd.grad(weights, of, sums, retain_graph=True, materialize_grads=True)
    with walks.ticket.asked():  # the walks give no gradient of their weights now
        others = torch.autograd.grad(loss, of, retain_graph=True, materialize_grads=True)
    return [a + b for a, b in zip(of_walks, others, strict=True)]


class _Parts(NamedTuple):
    """A module's contributions: those of each loop of calls, and of all."""

    loops: tuple[Contributions, ...]
    whole: Contributions

    @classmethod
    def of(cls, module: nn.Module, calls: Sequence[ModuleCall], loss: Tensor) -> _Parts:
        found = loops_of(calls)
        followed = (pair for loop in found for pair in zip_longest(loop, loop[1:]))
        errors = {call: call.errors_by_node(after) for call, after in followed}
        loops = tuple(_contributions(module, loop, [loop], errors, loss) for loop in found)
        return cls(loops, loops[0] if len(loops) == 1 else _contributions(module, calls, found, errors, loss))


def _contributions(
    module: nn.Module,
    calls: Sequence[ModuleCall],
    loops: Sequence[Sequence[ModuleCall]],
    errors: Mapping[ModuleCall, Sequence[NodeErrors]],
    loss: Tensor,
) -> Contributions:
    """The contributions of some calls, one after the other, which are these loops."""
    ends, first = [], 0
    for call in calls:
        ends += [first + step for step in call.entered_steps(errors[call]).tolist()]
        first += call.steps
    parts = _factors(calls)
    sweep = partial(norms_of_entering, calls, loops, errors)
    if len(calls) == 1 and calls[0].batch_sizes is None and not calls[0].drew_dropout:
        d_outputs, elsewhere = calls[0].entering(errors[calls[0]])
        if not elsewhere:  # a sweep needs no graph, and shares one forward pass
            sweep = partial(norms_by_pair, calls[0].records(), d_outputs, ends)
    by_step = BySteps(parts | _parametrized(module, calls, parts))
    return Contributions(None, loss.detach(), by_step, None, tuple(end + 1 for end in ends), sweep)


def _factors(calls: Sequence[ModuleCall]) -> dict[str, Factor]:
    """The factors of each weight over all calls."""
    found: dict[str, list[Factor]] = {}
    for call in calls:
        for number, names in enumerate(call.names):
            for weight, factor in zip(names, call.factors(number), strict=True):
                if weight is not None and factor is not None:
                    found.setdefault(weight, []).append(factor)
    return {weight: joined(factors) for weight, factors in found.items()}


def _parametrized(
    module: nn.Module, calls: Sequence[ModuleCall], parts: Mapping[str, Factor]
) -> dict[str, Tensor]:
    """Contributions to the parameters that a parametrized weight is computed from, (T, *shape), by name."""
    if not parametrize.is_parametrized(module):
        return {}
    found: dict[str, Tensor] = {}
    weights = {
        name: weight
        for names, node in zip(calls[0].names, calls[0].nodes, strict=True)
        for name, weight in zip(names, node.weights, strict=True)
        if name is not None and weight is not None
    }
    parametrizations: Any = module.parametrizations
    for name, of_weight in parametrizations.items():
        own = {f"parametrizations.{name}.{key}": p for key, p in of_weight.named_parameters() if p.requires_grad}
        rows = [
            torch.autograd.grad(weights[name], list(own.values()), row, retain_graph=True, materialize_grads=True)
            for row in parts[name].by_step()
        ]
        found |= {key: torch.stack(of_steps) for key, of_steps in zip(own, zip(*rows, strict=True), strict=True)}
    return found
