"""Record the walks of every recurrent module inside a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ...convert import OURS, plain_type, to_ours
from ...equations import Weights
from ...equations.protocol import State
from ...networks import Elman
from ...recurrent import Recurrent, Walk
from ...walks import door
from ...walks.call import Call, is_transformed
from .calls import ModuleCall
from .cells import CELL_NAMES, call_of_cell, is_cell
from .walk_node import Ticket, WalkNode, recorded_walk


class Walks:
    """The calls of a model's recurrent modules while it was recorded.

    Attributes:
        model: the model.
        modules: the recurrent modules in it, by name; "" is the model itself.
        calls: of each of them, in order, by name.
        skipped: how many calls were made under torch.no_grad(), which records nothing.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.modules = recurrent_modules(model)
        self.calls: dict[str, list[ModuleCall]] = {name: [] for name in self.modules}
        self.skipped = 0
        self.keeps_weights = False  # whether each call keeps a copy of its weights
        self.ticket = Ticket()

    def clear(self) -> None:
        """Forget all calls, and free what they hold."""
        for calls in self.calls.values():
            calls.clear()

    def __repr__(self) -> str:
        counts = ", ".join(f"{name or 'the model'}: {len(calls)}" for name, calls in self.calls.items())
        return f"Walks(calls of {counts})"

    def add(
        self, name: str, nodes: list[WalkNode], names: list[Weights[str]], initial: Any, returned: tuple
    ) -> None:
        directions = getattr(
            self.modules[name], "num_directions", 1 + getattr(self.modules[name], "bidirectional", 0)
        )
        self.calls[name].append(ModuleCall(nodes, names, directions, _tensors(initial), _tensors(returned)))


@contextmanager
def record(model: nn.Module) -> Iterator[Walks]:
    """Record the calls of the recurrent modules inside a model, to see its gradient before it is summed over time.

    torch.nn.RNN, GRU, LSTM and their cells, `bptt.RNN`, `GRU`, `LSTM` and `Elman` are taken over while the context
    is open: their calls give the same results and gradients, dropout as drawn, and keep what
    `bptt.contributions(walks, loss)` reads. The model, its parameters, buffers and `.grad` stay as they are.
    A model under torch.compile runs without it meanwhile.

    Args:
        model: any module. Subclasses of torch's modules are left alone.

    Yields:
        the walks.

    Raises:
        TypeError: model is no module.
        ValueError: there is no recurrent module in it, or it is being recorded already.

    >>> model = nn.ModuleDict({"rnn": nn.GRU(2, 3), "head": nn.Linear(3, 1)})
    >>> with record(model) as walks:
    ...     loss = model["head"](model["rnn"](torch.ones(5, 4, 2))[0]).square().mean()
    >>> from bptt import contributions
    >>> c = contributions(walks, loss)
    >>> tuple(c["rnn"].by_step["weight_hh_l0"].shape)  # (T, *shape of the weight); their sum is the gradient
    (5, 9, 3)
    """
    walks = Walks(model)
    with ExitStack() as restored, torch.compiler.set_stance("force_eager"):
        for name, module in walks.modules.items():
            method, replacement = _replacement(walks, name, module)
            if method in vars(module):
                who = name or "the model"
                raise ValueError(f"{who} is being recorded already, or has a {method} of its own")
            setattr(module, method, replacement)
            restored.callback(delattr, module, method)
        yield walks


def recurrent_modules(model: Any) -> dict[str, nn.Module]:
    """The recurrent modules inside a model, by name."""
    if not isinstance(model, nn.Module):
        what = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"record takes a torch.nn.Module, got {what}")
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError(
            "record cannot take over the modules of a scripted model; pass the model that was scripted"
        )
    modules = {name: module for name, module in model.named_modules() if _is_recurrent(module)}
    if not modules:
        near = [
            name or type(m).__name__
            for name, m in model.named_modules()
            if isinstance(m, nn.RNNBase | nn.RNNCellBase)
        ]
        besides = f"; {', '.join(near)} are subclasses, which may do something else" if near else ""
        raise ValueError(
            f"this {type(model).__name__} has no recurrent module: record takes over torch.nn.RNN, GRU and LSTM, "
            f"their cells, bptt.RNN, GRU, LSTM and Elman{besides}"
        )
    return modules


def _is_recurrent(module: nn.Module) -> bool:
    return isinstance(module, Recurrent | Elman) or plain_type(module) in OURS or is_cell(module)


def _replacement(walks: Walks, name: str, module: nn.Module) -> tuple[str, Callable[..., Any]]:
    """Which method of a module records, and what takes its place."""
    recorder = _Recorder(walks, name)
    if is_cell(module):
        return "forward", recorder.around_cell(module)
    if isinstance(module, Recurrent | Elman):
        return "run", recorder.around_run(module, module.run)
    twin = to_ours(module)
    run = recorder.around_run(twin, twin.run)
    object.__setattr__(twin, "run", run)

    def forward(input: Any, hx: Any = None) -> Any:
        twin.training = module.training
        return twin.forward(input, hx)

    return "forward", forward


class _Recorder:
    """Adds the calls of one module to the walks."""

    def __init__(self, walks: Walks, name: str) -> None:
        self.walks, self.name = walks, name

    def around_run(self, module: Any, run: Callable[..., Any]) -> Callable[..., Any]:
        """`run` of a module that walks layers and directions, recorded."""
        names = [of_direction for layer in module.weight_names() for of_direction in layer]

        def recorded(input: Any, hx: Any = None, walk: Walk = door.walk) -> Any:
            if walk not in (door.walk, door.one_step) or not self.is_on():
                return run(input, hx, walk)
            nodes: list[WalkNode] = []
            y, state = run(input, hx, lambda call: self.walk(call, nodes))
            self.walks.add(self.name, nodes, names, hx, (y, *state))
            return y, state

        return recorded

    def around_cell(self, module: Any) -> Callable[..., Any]:
        """`forward` of one of torch's cells, recorded as a walk of one step."""
        forward = module.forward

        def recorded(input: Tensor, hx: Any = None) -> Any:
            call = call_of_cell(module, input, hx) if self.is_on() else None
            if call is None:
                return forward(input, hx)
            nodes: list[WalkNode] = []
            _, walked = self.walk(call, nodes)
            state = [s.squeeze(0) for s in walked] if input.dim() == 1 else list(walked)
            self.walks.add(self.name, nodes, [CELL_NAMES], hx, tuple(state))
            return tuple(state) if len(state) > 1 else state[0]

        return recorded

    def is_on(self) -> bool:
        """Whether calls are recorded now: not without gradients, nor while a backward pass computes them again."""
        self.walks.skipped += not torch.is_grad_enabled()
        return torch.is_grad_enabled() and not self.walks.ticket.is_asked

    def walk(self, call: Call, nodes: list[WalkNode]) -> tuple[Tensor, State]:
        if is_transformed():
            raise RuntimeError(
                f"{self.name or 'the model'} is called under vmap, grad, jvp or forward mode, where walks are not "
                "recorded; record the model outside of it"
            )
        y, state, node = recorded_walk(call, self.walks.ticket)
        if self.walks.keeps_weights:
            node.recording = node.recording.with_own_weights()
        nodes.append(node)
        return y, state


def _tensors(state: Any) -> list[Tensor]:
    """The tensors of a module's state, or of what it returned."""
    parts = [] if state is None else [state] if isinstance(state, Tensor) else state
    return [part.data if isinstance(part, PackedSequence) else part for part in parts]
