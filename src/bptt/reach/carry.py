"""The states that a model's recurrent modules carry from one call to the next."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._autograd import _top_saved_tensors_default_hooks
from torch.nn.utils.rnn import PackedSequence

from ..cell import Cell
from ..networks import Elman
from ..recurrent import Recurrent
from ..trees import Tree, cloned, leaves, mapped
from ..user_functions import check_takes
from ..walks.call import is_transformed
from .layout import called, name_of, roots_of
from .state_rows import check_saved_state, reset_rows, row_mask, rows_of_input, rows_of_state

RECURRENT = (Cell, Elman, Recurrent, nn.RNNBase, nn.RNNCellBase)


class Carry:
    """The states that the recurrent modules inside a model carry from one call to the next; see `bptt.stateful`.

    Attributes:
        modules: the recurrent modules, by name in the model; "" is the model itself.
        before: the states that their next calls start from, by name; no entry for a module's own initial state.
        after: the final states of the calls since the window began, by name.
        asked: the modules that were called without a state of the caller's since then.
    """

    def __init__(self, model: Any) -> None:
        self.modules = carrying_modules(model)
        self.before: dict[str, Tree] = {}
        self.after: dict[str, Tree] = {}
        self.asked: set[str] = set()

    def __repr__(self) -> str:
        names = ", ".join(called(name) for name in self.modules)
        return f"Carry(states of {names})"

    def next_window(self) -> None:
        """Cut: the next calls start from the final states of the last ones, without their history."""
        self.before |= {name: cloned(state) for name, state in self.after.items()}
        self.after, self.asked = {}, set()

    def reset(self, rows: Any = None) -> None:
        """Go back to the initial state, where new sequences begin.

        Args:
            rows: which sequences of the batch: booleans (B,), or their numbers. Default all.

        Raises:
            ValueError, TypeError: rows are no rows of the batch whose states are carried.
        """
        self.next_window()
        if rows is None:
            self.before = {}
        elif self.before:
            self.before = reset_rows(self.modules, self.before, row_mask(rows, self._batch()))

    def state_dict(self) -> dict[str, Tree]:
        """A copy of the states that the next calls start from, by module."""
        self.next_window()
        return {name: cloned(state) for name, state in self.before.items()}

    def load_state_dict(self, states: Mapping[str, Tree]) -> None:
        """Continue from saved states.

        Raises:
            ValueError: they are of modules that this model does not have, or of other shapes than theirs.
            TypeError: they are not states by module.
        """
        self._check_names(states)
        for name, state in states.items():
            check_saved_state(name, self.modules[name], state)
        self.start_from(states)
        self.before = {name: cloned(state) for name, state in states.items()}

    def start_from(self, states: Mapping[str, Tree]) -> None:
        """Begin a window with these states themselves, history and all; errors as `load_state_dict`."""
        self._check_names(states)
        self.before, self.after, self.asked = dict(states), {}, set()

    def _check_names(self, states: Any) -> None:
        if not isinstance(states, Mapping):
            raise TypeError(f"states are a dict, by module, got {type(states).__name__}")
        unknown = [name for name in states if name not in self.modules]
        if unknown:
            raise ValueError(
                f"there are states of {', '.join(map(repr, unknown))}, but the recurrent modules here are "
                f"{', '.join(map(repr, self.modules))}"
            )

    def _batch(self) -> int:
        name, state = next(iter(self.before.items()))
        batch = rows_of_state(self.modules[name], leaves(state)[0])
        if batch is None:
            raise ValueError("the state is of one sequence without a batch; reset it by reset(), without rows")
        return batch

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """While it is open, the modules start from `before` and leave their final states in `after`."""
        handles = []
        try:
            for name, module in self.modules.items():
                if any(isinstance(hook, _Give) for hook in module._forward_pre_hooks.values()):
                    raise ValueError(
                        f"{called(name)} carries its state already; leave the other bptt.stateful first, and call "
                        "bptt.truncated and bptt.checkpointed outside of it"
                    )
                handles.append(module.register_forward_pre_hook(_Give(self, name), with_kwargs=True))
                handles.append(module.register_forward_hook(Hook(partial(self._take, name))))
            # Compiled code would not see the hooks. Without dynamo nothing is compiled.
            eager = "torch._dynamo" in sys.modules
            with torch.compiler.set_stance("force_eager") if eager else nullcontext():
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _take(self, name: str, module: nn.Module, _: Any, output: Any) -> None:
        """Keep the final state of a call."""
        self.after[name] = output if isinstance(module, nn.RNNCellBase) else output[1]


class Hook:
    """A hook of a module while states are carried; a copy of the module, or a file, has one that does nothing."""

    def __init__(self, called: Callable[..., Any]) -> None:
        self.called = called

    def __call__(self, *arguments: Any) -> Any:
        return self.called(*arguments)

    def __reduce__(self) -> tuple:
        return Hook, (_nothing,)


def _nothing(*_: Any) -> None:
    """What the hooks of a copy do."""


class _Give(Hook):
    """The pre-hook of a module: where the caller gives it no state, the carried one."""

    def __init__(self, carry: Carry, name: str) -> None:
        super().__init__(self._give)
        self.carry, self.name = carry, name
        _, self.parameter, *_ = inspect.signature(carry.modules[name].forward).parameters

    def _give(self, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict] | None:
        if is_transformed():
            raise RuntimeError(
                f"{called(self.name)} is called under vmap, grad, jvp or forward mode, which its state cannot "
                "leave; carry states outside of it"
            )
        given = args[1] if len(args) > 1 else kwargs.get(self.parameter)
        if given is not None:
            return None
        if self.name in self.carry.after:
            raise ValueError(
                f"{called(self.name)} was called twice in one window, and which state its next call goes on from "
                "is not known. Call the model once a window (or carry.next_window() between two windows, where "
                "you call its parts yourself); if the model uses the module twice, let it take and return the "
                "states, (x, state) -> (y, state)"
            )
        if _is_checkpointed():
            raise ValueError(
                f"{called(self.name)} is called under torch.utils.checkpoint, whose second walk would not start "
                "from the carried state; use bptt.checkpointed, which walks again from it"
            )
        self.carry.asked.add(self.name)
        state = self.carry.before.get(self.name)
        if state is None:
            return None
        state = self._fitted(module, state, args[0] if args else next(iter(kwargs.values())))
        return ((args[0], state, *args[2:]), kwargs) if args else (args, {**kwargs, self.parameter: state})

    def _fitted(self, module: nn.Module, state: Tree, input: Any) -> Tree:
        """The state for this input: of as many sequences, on its device, in its dtype."""
        batch = rows_of_input(module, input)
        like = input.data if isinstance(input, PackedSequence) else input

        def fitted(leaf: Tensor) -> Tensor:
            rows = rows_of_state(module, leaf)
            if rows != batch:
                raise ValueError(
                    f"{called(self.name)} carries the states of {_sequences(rows)}, but its input has "
                    f"{_sequences(batch)}: call carry.reset() where other sequences begin, and leave out a last, "
                    "smaller batch (drop_last=True of a DataLoader)"
                )
            if leaf.is_inference() and not torch.is_inference_mode_enabled():
                leaf = leaf.clone()
            return leaf.to(like.device, like.dtype if leaf.is_floating_point() else None)

        return mapped(fitted, state)


def carrying_modules(model: Any) -> dict[str, nn.Module]:
    """The recurrent modules inside a model or those a function names, by name, each once.

    Raises:
        TypeError: one takes no state.
        ValueError: there is none, or one is bidirectional.
    """
    roots = roots_of(model)
    found: dict[str, nn.Module] = {}
    for number, root in enumerate(roots):
        for name, module in _outermost(root, "" if len(roots) == 1 else str(number)):
            if all(module is not other for other in found.values()):
                _check_carries(name, module)
                found[name] = module
    if not found:
        raise ValueError(
            f"{name_of(model)} has no recurrent module whose state could be carried: torch.nn.RNN, GRU, LSTM and "
            "their cells are, and bptt's modules and cells"
        )
    return found


def _outermost(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(module, RECURRENT):
        yield name, module
        return
    for child_name, child in module.named_children():
        yield from _outermost(child, f"{name}.{child_name}".lstrip("."))


def _check_carries(name: str, module: nn.Module) -> None:
    """Check that a module's calls can go on from each other."""
    if any(getattr(inner, "bidirectional", False) for inner in module.modules()):
        raise ValueError(
            f"{called(name)} is bidirectional: its other direction starts from the end of the sequence, which a "
            "window has not reached; build it with bidirectional=False, or call it on whole sequences"
        )
    check_takes(module.forward, f"{called(name)}.forward", "forward(input, hx=None)", "input", "hx")


def _is_checkpointed() -> bool:
    """Whether torch.utils.checkpoint will walk again what is walked now."""
    hooks = _top_saved_tensors_default_hooks(True)
    return hooks is not None and getattr(hooks[0], "__module__", "") == "torch.utils.checkpoint"


def _sequences(rows: int | None) -> str:
    return "one sequence without a batch" if rows is None else f"{rows} sequences"
