"""What each step contributed to the gradient of every recurrent weight inside a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ...reach.layout import called
from ...walks.unfold import Factor
from ..contributions_result import BySteps, Contributions
from ..pairs import ErrorNorms, norms_by_pair
from .calls import EnteringErrors, ModuleCall, joined, loops_of
from .model_contributions import ModelContributions, ModuleContributions
from .record import Walks


def contributions_of_walks(walks: Walks, loss: Tensor, *, pairs: bool = False) -> ModelContributions:
    """What each step contributes to the gradient of a loss, by module, from one backward pass of it.

    Args:
        loss: a scalar; or E_t of each step, (T,) or (T, B), whose sum is the loss.
        pairs: as `contributions` takes it; of errors (T,) each goes back through the whole model on its own.
    """
    errors = _checked(walks, loss)
    of_errors = _errors_by_pair(walks, errors) if pairs and errors is not None else {}
    whole = loss if errors is None else errors.sum()
    _backward(walks, whole)
    modules = {}
    for name, calls in walks.calls.items():
        reached = [call for call in calls if call.was_reached]
        if reached:
            modules[name] = _of_module(walks, name, reached, whole.detach(), pairs, of_errors.get(name))
    return ModelContributions(walks, whole.detach(), modules)


def backward_of_walks(walks: Walks, loss: Tensor) -> None:
    """Take a loss back through all recorded walks; every .grad stays as it is."""
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
    """Take a loss back through all recorded walks; every .grad stays as it is."""
    nodes = [node for calls in walks.calls.values() for call in calls for node in call.nodes]
    for node in nodes:
        node.forget()
    walks.ticket.is_asked = True
    try:
        (reached,) = torch.autograd.grad(loss, [walks.ticket.tensor], retain_graph=True, allow_unused=True)
    except RuntimeError as error:
        if "a second time" not in str(error):
            raise
        raise RuntimeError(
            "the graph of this loss is gone: ask for contributions before loss.backward(), or call "
            "loss.backward(retain_graph=True)"
        ) from error
    finally:
        walks.ticket.is_asked = False
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
    walks.ticket.is_asked = True  # the walks give no gradient of their weights now
    try:
        others = torch.autograd.grad(loss, of, retain_graph=True, materialize_grads=True)
    finally:
        walks.ticket.is_asked = False
    return [a + b for a, b in zip(of_walks, others, strict=True)]


def _of_module(
    walks: Walks, name: str, calls: Sequence[ModuleCall], loss: Tensor, pairs: bool, of_errors: ErrorNorms | None
) -> ModuleContributions:
    module = walks.modules[name]
    found = loops_of(calls)
    errors = {call: call.errors(after) for loop in found for call, after in zip_longest(loop, loop[1:])}
    loops = tuple(_contributions(module, loop, errors, loss) for loop in found)
    whole = loops[0] if len(loops) == 1 else _contributions(module, calls, errors, loss)
    by_pair = of_errors or (whole._sweep() if pairs else None)
    return ModuleContributions(
        None, loss, whole.by_step, by_pair, whole.steps, whole._sweep, name, len(calls), loops
    )


def _contributions(
    module: nn.Module, calls: Sequence[ModuleCall], errors: Mapping[ModuleCall, EnteringErrors], loss: Tensor
) -> Contributions:
    """The contributions of some calls, one after the other."""
    ends, first = [], 0
    for call in calls:
        ends += [first + step for step in errors[call].steps.tolist()]
        first += call.steps
    parts = _factors(calls)
    one = calls[0] if len(calls) == 1 and calls[0].batch_sizes is None else None
    records, (d_outputs, elsewhere) = one and one.records(), errors[calls[0]]

    def sweep() -> ErrorNorms:
        if records is None:
            raise ValueError(
                "pairs and lags need one call over sequences of one length; this module was called "
                + (f"{len(calls)} times" if len(calls) > 1 else "with packed sequences")
                + ": pass the errors (T,) of each step as the loss, with pairs=True"
            )
        if elsewhere:
            raise ValueError(
                "errors enter this module by a lower layer's final state or by the cell state c_n, which pairs "
                "and lags do not tell apart by step; by_step is right, and errors (T,) as the loss work"
            )
        if calls[0].drew_dropout:
            raise ValueError(
                "dropout was drawn between the layers of this module, and pairs and lags are computed without it: "
                "record the model in eval mode, or pass the errors (T,) of each step as the loss, with pairs=True"
            )
        return norms_by_pair(records, d_outputs, ends)

    by_step = BySteps(parts | _parametrized(module, calls, parts))
    return Contributions(None, loss, by_step, None, tuple(end + 1 for end in ends), sweep)


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


def _errors_by_pair(walks: Walks, errors: Tensor) -> dict[str, ErrorNorms]:
    """Every error against every step of each module that walked as many: a backward pass for each error."""
    T = len(errors)
    found = {
        name: ErrorNorms({}, {}) for name, calls in walks.calls.items() if sum(call.steps for call in calls) == T
    }

    def put(into: dict[str, Tensor], name: str, t: int, norms: Tensor, first: int) -> None:
        into.setdefault(name, norms.new_zeros(T, T))[t, first : first + len(norms)] = norms

    for t, error in enumerate(errors):
        if not error.requires_grad:
            continue
        _backward(walks, error)
        for name, norms in found.items():
            first = 0
            for call in walks.calls[name]:
                if call.was_reached:
                    for layer, of_states in call.state_norms().items():
                        put(norms.states, layer, t, of_states, first)
                    for weight, factor in _factors([call]).items():
                        put(norms.weights, weight, t, factor.norms(), first)
                first += call.steps
    return found
