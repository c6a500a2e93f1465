"""What a reach needs of a model: to walk it over some steps from a state, and to know where time stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..calls import check_takes, pair_of
from ..cell import Cell
from ..checks import check_state
from ..networks import Elman, SequenceModel
from ..recurrent import Recurrent
from ..trees import Tree, check_same_form, form, leaves, mapped
from .parts import layouts, roots_of
from .surroundings import undisturbed

Model = Callable[[Any, Any], tuple[Tensor, Any]]

FORM = "(x, state) -> (y, state)"  # what is wanted of a model
OURS = (Cell, Elman, Recurrent, SequenceModel, nn.RNNBase)  # models that lay out x, y and the state in a known way


class Walker:
    """A model that can be walked piece by piece.

    Args:
        model: a module or function (x, state) -> (y, state) that reads x from its first step to its last and takes
            None for its own initial state: bptt's and torch.nn's recurrent modules, a `bptt.SequenceModel`,
            `bptt.Elman`, `bptt.Cell`, or anything of that form.
        time: which axis of x, d and y is time, 0 for (T, B, ·) or 1 for (B, T, ·). Default: as the model has it.

    Time is axis 1 where the model, or else the recurrent modules inside it or those that a function names, have
    `batch_first` true, and axis 0 where it is false or there are none. Floating x of two dimensions is one
    sequence (T, I), integers of two dimensions are class numbers (T, B) or (B, T). Pass `time` where the modules
    differ, and where a batch_first model of your own takes floating x of two dimensions, which may be (B, T).

    Raises:
        TypeError: the model cannot be called with (x, state), or time is no int.
        ValueError: it walks in both directions, so that its pieces are not its whole; time is neither 0 nor 1.
    """

    def __init__(self, model: Any, time: int | None = None) -> None:
        if isinstance(model, type):
            raise TypeError(f"model is the class {model.__name__}; pass a model made of it, {model.__name__}(...)")
        if not callable(model):
            raise TypeError(f"model must be a module or function {FORM}, got {_name(model)}")
        if time is not None and (isinstance(time, bool) or not isinstance(time, int)):
            raise TypeError(f"time must be 0, 1 or None, got {type(time).__name__}")
        if time not in (None, 0, 1):
            raise ValueError(f"time must be 0, for x (T, B, ·), or 1, for (B, T, ·), got {time}")
        self.model, self.name, self.time = model, _name(model), time
        roots = roots_of(model)
        self.modules = [module for root in roots for module in root.modules()]
        for module in self.modules:
            if getattr(module, "bidirectional", False):
                raise ValueError(
                    f"{_name(module)} is bidirectional: its first output needs the last step of x, so it cannot "
                    "be walked piece by piece; use full backpropagation, or bidirectional=False"
                )
        check_model(model)
        own = getattr(model, "batch_first", None)
        inside = [told for root in roots for told in layouts(root)]
        self._looked = False  # at the state of a first piece
        self.layouts = inside if own is None else [(self.name, bool(own))]  # who is batch_first, and who is not

    def time_axis(self, x: Tree) -> int:
        """Which axis of x, and with it of d and y, is time.

        Raises:
            ValueError: it cannot be told, or the model has another than the one that was passed.
        """
        batch_first, tensors = {told for _, told in self.layouts}, leaves(x, "x")
        batched = isinstance(self.model, Cell) or any(leaf.dim() > _alone(leaf) for leaf in tensors)
        if isinstance(self.model, OURS):
            axis = int(batched and True in batch_first)
            if self.time not in (None, axis):
                raise ValueError(
                    f"time={self.time}, but for this {self.name} time is axis {axis} of x {_shapes(x)}; build it "
                    f"with batch_first={not axis}, or leave time out"
                )
            return axis
        if self.time is not None:
            return self.time
        if len(batch_first) > 1:
            said = " and ".join(f"{who} has batch_first={told}" for who, told in self.layouts)
            raise ValueError(f"which axis of x is time? In {self.name}, {said}; pass {_CHOICE}")
        if True in batch_first and not batched and any(leaf.dim() == 2 for leaf in tensors):
            raise ValueError(
                f"which axis of x is time? {self.name} is batch_first, so that x {_shapes(x)} may be one sequence "
                "(T, I), time=0, or a batch (B, T), time=1; pass one of them"
            )
        return int(batched and True in batch_first)

    def walk(self, x: Tree, state: Tree, axis: int) -> tuple[Tensor, Tree]:
        """Outputs of the steps in x and the state after them.

        Raises:
            TypeError, ValueError: the model returns something else, or a state of another form; it changes x.
        """
        tensors = leaves(x, "x")
        if isinstance(self.model, nn.RNNBase) and state is not None:
            self._check_hx(self.model, tensors[0], state, axis)
        versions = [_version(leaf) for leaf in tensors]
        try:
            result = self.model(x, state)
        except RuntimeError as error:
            self._check_given(tensors[0], state, axis, error)
            raise
        y, after = pair_of(result, self.name, "a pair (y, state)")
        if versions != [_version(leaf) for leaf in tensors]:
            raise ValueError(
                f"{self.name} changed x in place, and with it the data, which is walked more than once; let it "
                "work on a copy: x = x.clone()"
            )
        steps = tensors[0].shape[axis]
        if y.dim() <= axis or y.shape[axis] != steps:
            raise ValueError(
                f"{self.name} put out y {tuple(y.shape)} for {steps} steps of x; it needs one output for each, "
                f"time on axis {axis} as in x. If time is another axis of x, pass {_CHOICE}"
            )
        if not leaves(after):
            raise TypeError(f"{self.name} returned no state to carry to the next steps; it must be {FORM}")
        if state is not None:
            check_same_form(state, after, self.name)
        if self.time is None and not isinstance(self.model, OURS):
            self._check_rows(tensors[0], after, axis)
            if not self._looked:
                self._looked = True
                self._look(x, after, axis)
        return y, after

    def _check_hx(self, model: nn.RNNBase, x: Tensor, state: Tree, axis: int) -> None:
        """A state of torch.nn's modules, which name neither it nor what is wrong with it."""
        rows = [] if (B := _rows(x, axis)) is None else [B]
        layers = model.num_layers  # in one direction
        shapes = [(layers, *rows, model.proj_size or model.hidden_size), (layers, *rows, model.hidden_size)]
        names = ("h_0", "c_0") if isinstance(model, nn.LSTM) else ("h_0",)
        check_state(self.name, state, names, shapes[: len(names)], model.all_weights[0][0])

    def _check_rows(self, x: Tensor, state: Tree, axis: int) -> None:
        """A state after x has rows for the sequences of the batch, not for what is taken for the steps."""
        steps, rows = x.shape[axis], _rows(x, axis)
        sizes = [leaf.shape for leaf in leaves(state)]
        if steps in (1, rows) or rows is None or not any(steps in size for size in sizes):
            return
        if not any(rows in size for size in sizes):
            raise ValueError(
                f"the state that {self.name} returned has a row for each of {steps} steps of x {tuple(x.shape)}, "
                f"taken along axis {axis}, and none for its {rows} sequences: it does not fit the next steps. "
                f"Pass time={1 - axis} if that axis of x is time, or time={axis} if this is meant"
            )

    def _look(self, x: Tree, state: Tree, axis: int) -> None:
        """A first piece of as many steps as sequences, or of one step, is no evidence by its state alone."""
        first = leaves(x, "x")[0]
        steps, rows = first.shape[axis], _rows(first, axis)
        if rows is None or rows < 2 or self.layouts:
            return
        if steps == rows:  # one step fewer tells them apart
            with torch.no_grad(), undisturbed(self, leaves(x, "x")):
                shorter = mapped(lambda leaf: leaf.narrow(axis, 0, steps - 1).clone(), x)
                _, state = pair_of(self.model(shorter, None), self.name, "a pair (y, state)")
            self._check_rows(first.narrow(axis, 0, steps - 1), state, axis)
        sizes = [leaf.shape for leaf in leaves(state)]
        if steps == 1 and any(1 in size for size in sizes) and not any(rows in size for size in sizes):
            raise ValueError(
                f"x {tuple(first.shape)} would be a single step of {rows} sequences, but the state that "
                f"{self.name} returned has no row for each of them: pass {_CHOICE}"
            )

    def _check_given(self, x: Tensor, state: Tree, axis: int, error: RuntimeError) -> None:
        """A state that the model failed with has rows for the sequences of the batch."""
        rows, given = _rows(x, axis), leaves(state)
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
        if rows.all():
            return self._initial(state, len(rows) if rows.dim() else len(leaves(state)[0]))
        B = rows.shape[0]
        fresh = iter(leaves(self._initial(state, B)))

        def mixed(leaf: Tensor) -> Tensor:
            shape = [1] * leaf.dim()
            shape[self._batch_axis(leaf, B)] = B
            return torch.where(rows.to(leaf.device).view(shape), next(fresh), leaf)

        return mapped(mixed, state)

    def _initial(self, state: Tree, batch: int) -> Tree:
        if isinstance(self.model, Cell):
            return self.model.initial_state(batch)
        return mapped(torch.zeros_like, state)

    def _batch_axis(self, leaf: Tensor, batch: int) -> int:
        """Which axis of a state's tensor is the batch."""
        if isinstance(self.model, Cell | Elman):
            return 0
        if isinstance(self.model, OURS):
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
        weights = (weight for module in self.modules for weight in module.parameters(recurse=False))
        return next((weight for weight in weights if weight.is_floating_point()), None)


def check_model(model: Any) -> None:
    """A model takes (x, state).

    Raises:
        TypeError: it does not; the message has what it takes.
    """
    inside = isinstance(model, nn.Module)
    function = getattr(model, "forward", model) if inside else model  # a scripted module may have none
    check_takes(
        function,
        _name(model) + (".forward" if inside else ""),
        f"{FORM}, state=None for its own initial one",
        "x",
        "state",
    )


_CHOICE = "time=0 for (T, B, ·) or time=1 for (B, T, ·)"


def _alone(leaf: Tensor) -> int:
    """The dimensions of x for one sequence: (T, I), or class numbers (T)."""
    return 2 if leaf.is_floating_point() or leaf.is_complex() else 1


def _rows(x: Tensor, axis: int) -> int | None:
    """The sequences of a batch; None for one sequence."""
    return None if x.dim() <= _alone(x) else x.shape[1 - axis]


def _version(leaf: Tensor) -> int:
    return 0 if leaf.is_inference() else leaf._version


def _shapes(x: Tree) -> str:
    return ", ".join(str(tuple(leaf.shape)) for leaf in leaves(x, "x"))


def _name(thing: Any) -> str:
    return getattr(thing, "__name__", None) or type(thing).__name__
