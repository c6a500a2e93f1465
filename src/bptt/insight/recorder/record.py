"""Record the walks of every recurrent module inside a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._C import _current_graph_task_id, _get_tracing_state
from torch._C._autograd import _top_saved_tensors_default_hooks
from torch._subclasses.fake_tensor import is_fake
from torch.autograd.graph import saved_tensors_hooks
from torch.compiler import is_compiling
from torch.nn.utils.rnn import PackedSequence

from ...convert import OURS, built_like
from ...equations import Weights
from ...equations.protocol import State
from ...networks import Elman
from ...reach.layout import called
from ...recurrent import Recurrent, Walk
from ...walks import door
from ...walks.call import Call, is_transformed
from .calls import ModuleCall
from .taken_over import TORCH, take_over
from .torch_cells import CELL_NAMES, CELLS, call_of_cell
from .walk_node import RecordedWalk, Ticket, recorded_walk


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
        self.ticket = Ticket(self.modules.values())

    def clear(self) -> None:
        """Forget all calls, and free what they hold."""
        for calls in self.calls.values():
            calls.clear()

    def __repr__(self) -> str:
        counts = ", ".join(f"{called(name)}: {len(calls)}" for name, calls in self.calls.items())
        return f"Walks(calls of {counts})"

    def add(
        self, name: str, walked: list[RecordedWalk], names: list[Weights[str]], initial: Any, returned: tuple
    ) -> None:
        """Keep one call of a module; arguments as `ModuleCall` has them."""
        module: Any = self.modules[name]
        directions = 1 + getattr(module, "bidirectional", False)
        drawn = bool(getattr(module, "dropout", 0)) and module.training and len(walked) > directions
        order = returned[0].sorted_indices if isinstance(returned[0], PackedSequence) else None
        nodes, edges = [walk.node for walk in walked], [walk.edges for walk in walked]
        call = ModuleCall(nodes, edges, names, directions, _tensors(initial), _tensors(returned), order)
        call.row_vectors, call.drew_dropout = getattr(module, "row_vectors", False), drawn
        self.calls[name].append(call)


@contextmanager
def record(model: nn.Module) -> Iterator[Walks]:
    """Record the calls of the recurrent modules inside a model, to see its gradient before it is summed over time.

    torch.nn.RNN, GRU, LSTM and their cells, bptt's of these names and `Elman` are taken over while the context
    is open: their calls give the same results and gradients, dropout as drawn, and keep what
    `bptt.contributions(walks, loss)` reads. The model, its parameters, buffers and `.grad` stay as they are.
    A model under torch.compile runs without it meanwhile. A copy of the model, or a file, is not recorded.

    Args:
        model: any module. Of a subclass of torch.nn's modules the calls of its `super().forward` are recorded.

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
    with ExitStack() as restored, _WithoutCompile():
        for name, module in walks.modules.items():
            replaced_by = partial(_Recorder(walks, name).replacement, module)
            restored.callback(take_over(module, name, replaced_by))
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
    modules = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (Recurrent, Elman, *TORCH)) and not isinstance(module, torch.jit.ScriptModule)
    }
    if not modules:
        scripted = [name for name, module in model.named_modules() if isinstance(module, torch.jit.ScriptModule)]
        raise ValueError(
            f"this {type(model).__name__} has no recurrent module: record takes over torch.nn.RNN, GRU and LSTM, "
            "their cells, their subclasses, bptt.RNN, GRU, LSTM and Elman"
            + (
                f"; {', '.join(scripted)} are scripted, use the modules before torch.jit.script"
                if scripted
                else ""
            )
        )
    return modules


class _WithoutCompile:
    """Keeps torch.compile off while any record is open, in whatever order they are closed."""

    opened = 0
    stance: Any = None

    def __enter__(self) -> None:
        kind = type(self)
        if kind.opened == 0:
            kind.stance = torch.compiler.set_stance("force_eager")
        kind.opened += 1

    def __exit__(self, *_: object) -> None:
        kind = type(self)
        kind.opened -= 1
        if kind.opened == 0:
            kind.stance.__exit__(None, None, None)


class _Recorder:
    """Adds the calls of one module to the walks."""

    def __init__(self, walks: Walks, name: str) -> None:
        self.walks, self.name = walks, name

    def replacement(self, module: Any, base: Any) -> Callable[..., Any]:
        """What takes the place of `run` of one of our modules, or of `forward` of torch.nn's class `base`."""
        plain = module.run if base is None else partial(base.forward, module)
        if base in CELLS:
            recorded = partial(self.call_cell, module, plain)
        elif base is None:
            recorded = partial(self.call_run, module, plain)
        else:
            recorded = partial(self.call_torch, module, _twin(module))

        def call(input: Any, hx: Any = None, *walk: Walk) -> Any:
            if any(w is not door.walk for w in walk) or not self.is_on():
                return plain(input, hx, *walk)
            self.check_values(input)
            with _past_checkpoints(plain, input, hx):
                return recorded(input, hx)

        return call

    def call_run(self, module: Any, run: Callable[..., Any], input: Any, hx: Any) -> Any:
        """`run` of a module that walks layers and directions, recorded."""
        walked: list[RecordedWalk] = []
        y, state = run(input, hx, lambda call: self.walk(call, walked))
        names = [of_direction for layer in module.weight_names() for of_direction in layer]
        self.walks.add(self.name, walked, names, hx, (y, *state))
        return y, state

    def call_torch(self, module: Any, twin: Recurrent, input: Any, hx: Any) -> Any:
        """`forward` of torch.nn.RNN, GRU or LSTM, recorded by a module of ours with its weights."""
        twin.training = module.training
        y, state = self.call_run(twin, twin.run, input, hx)
        return y, state if len(state) > 1 else state[0]

    def call_cell(self, cell: Any, forward: Callable[..., Any], input: Tensor, hx: Any) -> Any:
        """`forward` of a cell, recorded as a walk of one step."""
        call = call_of_cell(cell, input, hx)
        if call is None:
            return forward(input, hx)
        walked: list[RecordedWalk] = []
        _, after = self.walk(call, walked)
        state = [s.squeeze(0) for s in after] if input.dim() == 1 else list(after)
        self.walks.add(self.name, walked, [CELL_NAMES], hx, tuple(state))
        return tuple(state) if len(state) > 1 else state[0]

    def is_on(self) -> bool:
        """Whether calls are recorded now: not without gradients, nor while a backward pass computes them again."""
        if _current_graph_task_id() != -1:
            return False
        self.walks.skipped += not torch.is_grad_enabled()
        return torch.is_grad_enabled()

    def check_values(self, input: Any) -> None:
        """A call computes values, which walks hold."""
        if is_transformed():
            why = "under vmap, grad, jvp or forward mode"
        elif is_compiling() or _get_tracing_state() is not None:
            why = "by torch.export, torch.jit.trace or another tracer"
        elif any(x.is_meta or is_fake(x) for x in _tensors([input])):
            why = "with tensors without values (meta or fake)"
        else:
            return
        raise RuntimeError(
            f"{called(self.name)} is called {why}, where walks are not recorded; record the model outside of it"
        )

    def walk(self, call: Call, walked: list[RecordedWalk]) -> tuple[Tensor, State]:
        found = recorded_walk(call, self.walks.ticket)
        if self.walks.keeps_weights:
            found.node.recording = found.node.recording.with_own_weights()
        walked.append(found)
        return found.y, found.state


def _twin(module: Any) -> Recurrent:
    """A module of ours for one of torch.nn's, whose weights are those that torch.nn would use in a call."""
    twin = built_like(module, next(OURS[kind] for kind in type(module).__mro__ if kind in OURS))

    def weights() -> list[list[Weights[Tensor]]]:
        module._update_flat_weights()
        flat = dict(zip(module._flat_weights_names, module._flat_weights, strict=True))
        return [[names.each(flat.__getitem__) for names in layer] for layer in twin.weight_names()]

    object.__setattr__(twin, "weights", weights)
    return twin


@contextmanager
def _past_checkpoints(plain: Callable[..., Any], input: Any, hx: Any) -> Iterator[None]:
    """Keep what a walk saves from `torch.utils.checkpoint`, which compares it with that of the plain module.

    It computes the call again when the model may no longer be recorded, and counts the tensors saved; so the plain
    module saves its own here, and the walk keeps what it needs.
    """
    if _top_saved_tensors_default_hooks(False) is None:
        yield
        return
    device = next(t.device for t in _tensors(input))
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        plain(input, hx)
    with saved_tensors_hooks(lambda t: t, lambda t: t):
        yield


def _tensors(state: Any) -> list[Tensor]:
    """The tensors of an input, of a state, or of what a module returned."""
    parts = [] if state is None else [state] if isinstance(state, Tensor) else state
    return [part.data if isinstance(part, PackedSequence) else part for part in parts]
