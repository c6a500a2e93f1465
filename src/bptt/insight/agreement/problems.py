"""The losses that `check_gradient` differentiates, in float64, on copies of the model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from ...cell import Cell
from ...networks import Elman, SequenceModel
from ...reach.device_errors import naming_devices
from ...reach.gradients import scalar_loss
from ...reach.layout import time_axis
from ...reach.side_effects import GeneratorState, generator_states
from ...reach.walker import FORM, check_model
from ...recurrent import Recurrent
from ...trees import Tree, leaves, mapped
from ...user_functions import check_takes, pair_of
from ..plain_models import Criterion, OneError, check_call, checked_step
from ..recorder.record import recurrent_modules


class CriterionLoss(NamedTuple):
    """criterion(model(x, state)[0], d)."""

    model: nn.Module
    x: Tensor
    d: Tree
    criterion: Criterion
    state: Tree  # None where the model makes its own

    def loss(self) -> Tensor:
        return self.criterion(self.model(self.x, self.state)[0], self.d)

    def with_leaves(self) -> Self:
        """The same with x and state as leaves of their own, in which gradients are taken."""

        def leaf(t: Tensor) -> Tensor:
            return t.detach().clone().requires_grad_(t.is_floating_point())

        return self._replace(x=leaf(self.x), state=mapped(leaf, self.state))

    def sources(self) -> dict[str, Tensor]:
        """The tensors to differentiate with respect to, by name: every parameter, x, and the initial state."""
        state = leaves(self.state)
        names = ["state"] if len(state) == 1 else [f"state[{i}]" for i in range(len(state))]
        named = {**dict(self.model.named_parameters()), "x": self.x, **dict(zip(names, state, strict=True))}
        return {name: t for name, t in named.items() if t.requires_grad}

    def converted(self, dtype: torch.dtype) -> CriterionLoss:
        """The same on copies in another floating dtype, dropout off."""

        def cast(t: Tensor) -> Tensor:
            return t.detach().to(dtype) if t.is_floating_point() else t.detach()

        model = copied(self.model).to(dtype).eval()
        _let_rnns_train(model)
        if isinstance(model, Cell):
            model.initial_state = partial(_initial_state, model.initial_state, dtype)
        criterion = self.criterion
        if isinstance(criterion, nn.Module):
            criterion = copy.deepcopy(criterion).to(dtype)
        x, d, state = (mapped(cast, tree) for tree in (self.x, self.d, self.state))
        return CriterionLoss(model, x, d, criterion, state)


class ModelLoss(NamedTuple):
    """function(model), a scalar, with the same draws each time."""

    model: nn.Module
    function: Callable[[Any], Tensor]
    draws: list[GeneratorState]

    def loss(self) -> Tensor:
        """The loss of a copy that shares the model's parameters; whatever else it changes is forgotten."""
        model = copied(self.model, self.model.parameters())
        with _drawing(self.draws, self.model), _InDouble() as mode:
            for module in recurrent_modules(model).values():  # whose kernels read memory
                module.register_forward_pre_hook(mode.convert_inputs, with_kwargs=True)
            return self.function(model)

    def with_leaves(self) -> Self:
        return self

    def sources(self) -> dict[str, Tensor]:
        """The parameters to differentiate with respect to, by name."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}


Problem = CriterionLoss | ModelLoss


def problem_of_sequences(
    model: nn.Module, x: Tensor, d: Any, criterion: Criterion, state: Tree, t: int | None = None
) -> CriterionLoss:
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
    problem = CriterionLoss(model, x, d, criterion, state).converted(torch.float64)
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
        one = OneError(problem.criterion, y, checked_step(t, problem.x.shape[axis]), axis)
        problem = problem._replace(criterion=one)
    _check_finite(scalar_loss(problem.criterion, y, problem.d), "x, d and the weights")
    if state is None and isinstance(model, Recurrent | SequenceModel | Elman | nn.RNNBase):
        problem = problem._replace(state=mapped(lambda s: torch.zeros_like(s).detach(), after))
    return problem


def problem_of_model(model: nn.Module, function: Callable[[Any], Any]) -> ModelLoss:
    """The problem in float64, the model in the mode that it is in.

    Raises:
        TypeError, ValueError: the model has no recurrent module, or the function is no loss of it.
    """
    recurrent_modules(model)
    check_call(function)
    check_takes(function, "the loss", "loss(model) -> scalar", "model")
    problem = ModelLoss(copied(model).to(torch.float64), function, generator_states(model.parameters()))
    _let_rnns_train(problem.model)
    loss = problem.loss()
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        what = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise TypeError(f"loss(model) must return a scalar tensor, got {what}")
    sources = list(problem.sources().values())
    if not sources:
        raise ValueError("no parameter of this model requires a gradient")
    gradients = torch.autograd.grad(loss, sources, allow_unused=True) if loss.requires_grad else ()
    if all(g is None for g in gradients):
        raise ValueError(
            "the loss does not depend on the parameters of the model it is given: compute it from the argument of "
            "loss(model), which is a copy in float64, under autograd"
        )
    _check_finite(loss, "the input and the weights")
    return problem


def _check_finite(loss: Tensor, what: str) -> None:
    if not abs(loss.item()) < float("inf"):
        raise ValueError(f"the loss is {loss.item()}, which has no gradient; check {what} for NaN and Inf")


def copied(model: nn.Module, shared: Iterable[nn.Parameter] = ()) -> nn.Module:
    """A copy with some of its parameters; what modules keep of a forward pass is without its history."""
    values = [value for module in model.modules() for value in vars(module).values()]
    tensors = [t for value in values for t in (value if isinstance(value, list) else [value])]
    computed = {id(t): t.detach() for t in tensors if isinstance(t, Tensor) and t.grad_fn is not None}
    try:
        return copy.deepcopy(model, computed | {id(p): p for p in shared})
    except RuntimeError as error:
        raise TypeError(f"this {type(model).__name__} cannot be copied: {error}") from error


def _let_rnns_train(model: nn.Module) -> None:
    """Let torch.nn's modules in eval mode have a backward pass, which a vendor's kernel refuses them."""
    for module in model.modules():
        if isinstance(module, nn.RNNBase) and not module.training:
            module.dropout = 0.0
            module.train()


def _initial_state(made: Callable[[int], Tree], dtype: torch.dtype, batch: int) -> Tree:
    """A cell's initial state in the dtype of its copy: ``torch.zeros(batch, units)`` makes float32 everywhere."""
    return mapped(lambda leaf: leaf.to(dtype) if leaf.is_floating_point() else leaf, made(batch))


@contextmanager
def _drawing(states: list[GeneratorState], model: nn.Module) -> Iterator[None]:
    """Draw from these states on; afterwards the generators are as they were."""
    before = generator_states(model.parameters())
    for state in states:
        state.restore()
    try:
        yield
    finally:
        for state in before:
            state.restore()


class _InDouble(TorchFunctionMode):
    """Computes everything in float64, with tensors from outside converted once."""

    def __init__(self) -> None:
        super().__init__()
        self.converted: dict[int, tuple[Tensor, Tensor]] = {}  # by id: the tensor, kept, and its twin

    def convert_inputs(self, _: Any, args: Any, kwargs: Any) -> Any:
        """A module's inputs in float64."""
        with torch._C.DisableTorchFunction():  # else every tensor says that it is of float64
            return tree_map(self._double, (args, kwargs))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = {name: self._double(value) for name, value in (kwargs or {}).items()}
        result = func(*map(self._double, args), **named)
        return result.double() if _is_narrow(result) else result

    def _double(self, value: Any) -> Any:
        if type(value) in (list, tuple):
            return type(value)(map(self._double, value))
        if not _is_narrow(value):
            return value
        if id(value) not in self.converted:
            self.converted[id(value)] = value, value.double()
        return self.converted[id(value)][1]


def _is_narrow(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype in (torch.float32, torch.float16, torch.bfloat16)
