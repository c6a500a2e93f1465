"""A model walked piece by piece: its outputs and state over some steps, checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..cell import Cell
from ..checks import check_state
from ..networks import Elman
from ..trees import Tree, check_same_form, form, leaves, mapped
from ..user_functions import check_takes, pair_of
from .device_errors import naming_devices
from .hidden_state import HiddenState, hides_state
from .layout import CHOICE, KNOWN, batch_firsts, name_of, roots_of, sequences_in, time_axis
from .side_effects import undisturbed
from .state_rows import replaced_rows

Model = Callable[[Any, Any], tuple[Tensor, Any]]

FORM = "(x, state) -> (y, state)"  # of a model


class Walker:
    """A model that can be walked piece by piece.

    Args:
        model: a module or function (x, state) -> (y, state) that reads x from its first step to its last and takes
            None for its own initial state: bptt's and torch.nn's recurrent modules, a `bptt.SequenceModel`,
            `bptt.Elman`, `bptt.Cell`, or anything of that form. Or one (x) -> y that hides its state: the
            recurrent modules it holds or names then carry theirs, each called once without a state, as in
            `bptt.stateful`; the state is a dict, by module.
        time: which axis of x, d and y is time, 0 for (T, B, ·) or 1 for (B, T, ·). Default: as the model has it.
        loss: a function of some steps of x that calls the model, in whatever way, and returns their loss. The
            model hides its state then, and y is that loss. Default None.

    Time is axis 1 where the model, or else the recurrent modules inside it or those that a function names, have
    `batch_first` true, and axis 0 where it is false or there are none. Floating x of two dimensions is one
    sequence (T, I), integers of two dimensions are class numbers (T, B) or (B, T). Pass `time` where the modules
    differ, and where a batch_first model of another class takes floating x of two dimensions, which may be (B, T).

    Raises:
        TypeError: the model cannot be called with (x, state), or time is no int.
        ValueError: it walks in both directions, so that its pieces are not its whole; time is neither 0 nor 1.
    """

    def __init__(self, model: Any, time: int | None = None, loss: Callable[[Any], Any] | None = None) -> None:
        if isinstance(model, type):
            raise TypeError(f"model is the class {model.__name__}; pass a model made of it, {model.__name__}(...)")
        if not callable(model):
            raise TypeError(f"model must be a module or function {FORM}, got {name_of(model)}")
        if time is not None and (isinstance(time, bool) or not isinstance(time, int)):
            raise TypeError(f"time must be 0, 1 or None, got {type(time).__name__}")
        if time not in (None, 0, 1):
            raise ValueError(f"time must be 0, for x (T, B, ·), or 1, for (B, T, ·), got {time}")
        self.name, self.time = name_of(model), time
        self.modules = [module for root in roots_of(model) for module in root.modules()]
        for module in self.modules:
            if getattr(module, "bidirectional", False):
                raise ValueError(
                    f"{name_of(module)} is bidirectional: its first output needs the last step of x, so it cannot "
                    "be walked piece by piece; use full backpropagation, or bidirectional=False"
                )
        if loss is not None:
            check_takes(loss, "loss", "loss(window) -> scalar", "window")
            self.model = HiddenState(model, loss)
        elif hides_state(model):
            self.model = HiddenState(model)
        else:
            check_model(model)
            self.model = model
        self.has_loss = loss is not None
        self._batch_firsts = batch_firsts(model)
        self._checked_first = False  # the state after the first piece

    def time_axis(self, x: Tree) -> int:
        """Which axis of x, and with it of d and y, is time: see `layout.time_axis`."""
        return time_axis(self.model, x, self.time, self._batch_firsts)

    def walk(self, x: Tree, state: Tree, axis: int) -> tuple[Tensor, Tree]:
        """Outputs of the steps in x and the state after them.

        Raises:
            TypeError, ValueError: the model returns something else, or a state of another form; it changes x; x or
                the state is on another device than the weights.
        """
        tensors = leaves(x, "x")
        if isinstance(self.model, nn.RNNBase) and state is not None:
            self._check_hx(self.model, tensors[0], state, axis)
        versions = [_version(leaf) for leaf in tensors]
        try:
            with naming_devices(f"the weights of this {self.name} are", self._at, x=x, state=state):
                result = self.model(x, state)
        except RuntimeError as error:
            self._check_given(tensors[0], state, axis, error)
            raise
        if isinstance(result, Tensor):
            raise TypeError(
                f"{self.name} must return a pair (y, state), got Tensor; of a model that hides its state, pass a "
                "function of x alone, lambda x: model(x)"
            )
        y, after = pair_of(result, self.name, "a pair (y, state)")
        if versions != [_version(leaf) for leaf in tensors]:
            raise ValueError(
                f"{self.name} changed x in place, and with it the data, which is walked more than once; let it "
                "work on a copy: x = x.clone()"
            )
        steps = tensors[0].shape[axis]
        if self.has_loss:
            check_same_form(after if state is None else state, after, self.name)
            return y, after
        if y.dim() <= axis or y.shape[axis] != steps:
            raise ValueError(
                f"{self.name} put out y {tuple(y.shape)} for {steps} steps of x; it needs one output for each, "
                f"time on axis {axis} as in x. If time is another axis of x, pass {CHOICE}"
            )
        if not leaves(after):
            raise TypeError(f"{self.name} returned no state to carry to the next steps; it must be {FORM}")
        if state is not None:
            check_same_form(state, after, self.name)
        if self.time is None and not isinstance(self.model, KNOWN):
            self._check_rows(tensors[0], after, axis)
            if not self._checked_first:
                self._checked_first = True
                self._check_first(x, after, axis)
        return y, after

    def _check_hx(self, model: nn.RNNBase, x: Tensor, state: Tree, axis: int) -> None:
        """A state of torch.nn's modules, which name neither it nor what is wrong with it."""
        B = sequences_in(x, axis)
        rows = [] if B is None else [B]
        layers = model.num_layers  # in one direction
        shapes = [(layers, *rows, model.proj_size or model.hidden_size), (layers, *rows, model.hidden_size)]
        names = ("h_0", "c_0") if isinstance(model, nn.LSTM) else ("h_0",)
        check_state(self.name, state, names, shapes[: len(names)], model.all_weights[0][0])

    def _check_rows(self, x: Tensor, state: Tree, axis: int) -> None:
        """A state after x has rows for the sequences of the batch, not for what is taken for the steps."""
        steps, rows = x.shape[axis], sequences_in(x, axis)
        sizes = [leaf.shape for leaf in leaves(state)]
        if steps in (1, rows) or rows is None or not any(steps in size for size in sizes):
            return
        if not any(rows in size for size in sizes):
            raise ValueError(
                f"the state that {self.name} returned has a row for each of {steps} steps of x {tuple(x.shape)}, "
                f"taken along axis {axis}, and none for its {rows} sequences: it does not fit the next steps. "
                f"Pass time={1 - axis} if that axis of x is time, or time={axis} if this is meant"
            )

    def _check_first(self, x: Tree, state: Tree, axis: int) -> None:
        """A first piece of as many steps as sequences, or of one step, is no evidence by its state alone."""
        first = leaves(x, "x")[0]
        steps, rows = first.shape[axis], sequences_in(first, axis)
        if rows is None or rows < 2 or self._batch_firsts:
            return
        if steps == rows:  # with one step fewer the two differ
            with torch.no_grad(), undisturbed(self, leaves(x, "x")):
                shorter = mapped(lambda leaf: leaf.narrow(axis, 0, steps - 1).clone(), x)
                _, state = pair_of(self.model(shorter, None), self.name, "a pair (y, state)")
            self._check_rows(first.narrow(axis, 0, steps - 1), state, axis)
        sizes = [leaf.shape for leaf in leaves(state)]
        if steps == 1 and any(1 in size for size in sizes) and not any(rows in size for size in sizes):
            raise ValueError(
                f"x {tuple(first.shape)} would be a single step of {rows} sequences, but the state that "
                f"{self.name} returned has no row for each of them: pass {CHOICE}"
            )

    def _check_given(self, x: Tensor, state: Tree, axis: int, error: RuntimeError) -> None:
        """A state that the model failed with has rows for the sequences of the batch."""
        rows, given = sequences_in(x, axis), leaves(state)
        if not given or rows is None:
            return
        if not any(rows in leaf.shape for leaf in given):
            raise ValueError(
                f"the state {form(state)} does not fit x {tuple(x.shape)}, whose axis {1 - axis} has {rows} "
                f"sequences and axis {axis} is time: {error}"
            ) from error

    def reset(self, state: Tree, rows: Tensor) -> Tree:
        """The state with some rows (B,) back at the initial state; a 0-dimensional `rows` means all of it."""
        if state is None or not rows.any():
            return state
        if isinstance(self.model, HiddenState):
            return self.model.reset(state, rows)
        if rows.all():
            return self._initial(state, len(rows) if rows.dim() else len(leaves(state)[0]))
        B = rows.shape[0]
        fresh = iter(leaves(self._initial(state, B)))
        return mapped(lambda leaf: replaced_rows(leaf, next(fresh), rows, self._batch_axis(leaf, B)), state)

    def _initial(self, state: Tree, batch: int) -> Tree:
        if isinstance(self.model, Cell):
            return self.model.initial_state(batch)
        return mapped(torch.zeros_like, state)

    def _batch_axis(self, leaf: Tensor, batch: int) -> int:
        """Which axis of a state's tensor is the batch."""
        if isinstance(self.model, Cell | Elman):
            return 0
        if isinstance(self.model, KNOWN):
            return 1
        found = [axis for axis, size in enumerate(leaf.shape) if size == batch]
        if len(found) != 1:
            raise ValueError(
                f"resets need the batch axis of each state of {self.name}, but a state {tuple(leaf.shape)} has "
                f"{len(found)} axes of {batch} rows; write the model as a bptt.Cell, whose states are (B, ·)"
            )
        return found[0]

    @property
    def weights(self) -> list[nn.Parameter]:
        """The weights of the model's modules, each once."""
        return list({id(w): w for module in self.modules for w in module.parameters(recurse=False)}.values())

    @property
    def like(self) -> Tensor | None:
        """The model's first floating weight: arrays are brought to its dtype and device."""
        return next((weight for weight in self.weights if weight.is_floating_point()), None)

    @property
    def _at(self) -> Tensor | None:
        """A weight on the device of all weights; None where they are on several or there are none."""
        return self.like if len({weight.device for weight in self.weights}) == 1 else None


def check_model(model: Any) -> None:
    """A model takes (x, state).

    Raises:
        TypeError: it does not; the message has what it takes.
    """
    inside = isinstance(model, nn.Module)
    function = getattr(model, "forward", model) if inside else model  # a scripted module may have none
    check_takes(
        function,
        name_of(model) + (".forward" if inside else ""),
        f"{FORM}, state=None for its own initial one",
        "x",
        "state",
    )


def _version(leaf: Tensor) -> int:
    return 0 if leaf.is_inference() else leaf._version
