"""Which axis of x is time, (T, B, ·) or (B, T, ·), read from the model and the modules it is made of."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from torch import Tensor, nn

from ..cell import Cell
from ..networks import Elman, SequenceModel
from ..recurrent import Recurrent
from ..trees import Tree, leaves

KNOWN = (Cell, Elman, Recurrent, SequenceModel, nn.RNNBase)  # they lay out x, y and the state in a known way
CHOICE = "time=0 for (T, B, ·) or time=1 for (B, T, ·)"

Said = list[tuple[str, bool]]  # who is batch_first, and who is not


def time_axis(model: Any, x: Tree, time: int | None = None, said: Said | None = None) -> int:
    """Which axis of x, and with it of d and y, is time.

    Args:
        model: a module or function (x, state) -> (y, state).
        x: a tensor, or a tree of them.
        time: the axis as the user says it; None to read it from the model.
        said: `batch_firsts(model)`, if it is known.

    Raises:
        ValueError: the model does not determine it, or has another than `time`.
    """
    said = batch_firsts(model) if said is None else said
    name, tensors, answers = name_of(model), leaves(x, "x"), {batch_first for _, batch_first in said}
    batched = isinstance(model, Cell) or any(leaf.dim() > _dims_of_one(leaf) for leaf in tensors)
    axis = int(batched and True in answers)
    shapes = ", ".join(str(tuple(leaf.shape)) for leaf in tensors)
    if isinstance(model, KNOWN):
        if time not in (None, axis):
            raise ValueError(
                f"time={time}, but for this {name} time is axis {axis} of x {shapes}; build it with "
                f"batch_first={not axis}, or leave time out"
            )
        return axis
    if time is not None:
        return time
    if len(answers) > 1:
        both = " and ".join(f"{who} has batch_first={batch_first}" for who, batch_first in said)
        raise ValueError(f"which axis of x is time? In {name}, {both}; pass {CHOICE}")
    if True in answers and not batched and any(leaf.dim() == 2 for leaf in tensors):
        raise ValueError(
            f"which axis of x is time? {name} is batch_first, so that x {shapes} may be one sequence (T, I), "
            "time=0, or a batch (B, T), time=1; pass one of them"
        )
    return axis


def sequences_in(x: Tensor, axis: int) -> int | None:
    """How many sequences a batch x has, time on this axis; None where x is one sequence."""
    return None if x.dim() <= _dims_of_one(x) else x.shape[1 - axis]


def _dims_of_one(leaf: Tensor) -> int:
    """The dimensions of x for one sequence: (T, I), or class numbers (T)."""
    return 2 if leaf.is_floating_point() or leaf.is_complex() else 1


def name_of(thing: Any) -> str:
    """A model's name for messages: a function's own, else its type's."""
    return getattr(thing, "__name__", None) or type(thing).__name__


def called(name: str) -> str:
    """A module's name inside a model for messages; the model's own is empty."""
    return name or "the model"


def batch_firsts(model: Any) -> Said:
    """The names of the outermost modules of a model that have `batch_first`, and its value."""
    own = getattr(model, "batch_first", None)
    if own is not None:
        return [(name_of(model), bool(own))]
    return [found for root in roots_of(model) for found in _batch_firsts(root)]


def _batch_firsts(module: nn.Module) -> Iterator[tuple[str, bool]]:
    """Those inside a module; modules of torch.nn that are not recurrent (attention) do not count."""
    own = getattr(module, "batch_first", None)
    recurrent = isinstance(module, nn.RNNBase) or not type(module).__module__.startswith("torch.nn.")
    if own is not None and recurrent:
        yield type(module).__name__, bool(own)
        return
    for name, child in module.named_children():
        for inner, batch_first in _batch_firsts(child):
            yield f"{name} ({inner})" if "(" not in inner else f"{name}.{inner}", batch_first


def roots_of(model: Any) -> list[nn.Module]:
    """The modules that a model is or refers to, each standing for all those inside it.

    A module is its own only root. Those of a function are the modules it names, in its closure or in the globals
    of its file, and those of the functions it names there; of a method or another object that is called, those it
    holds.

    >>> gru = nn.GRU(1, 1)
    >>> roots_of(lambda x, state: gru(x, state)) == [gru]
    True
    """
    found: list[nn.Module] = []
    waiting, seen = [model], set()
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, nn.Module):
            found.append(thing)
        else:
            waiting += _named_in(thing)
    return found


def _named_in(thing: Any) -> list[Any]:
    if isinstance(thing, MethodType):
        return [thing.__self__, thing.__func__]
    if isinstance(thing, partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, FunctionType):
        named = inspect.getclosurevars(thing)
        here = [g for g in named.globals.values() if getattr(g, "__globals__", None) is thing.__globals__]
        there = [g for g in named.globals.values() if isinstance(g, nn.Module)]
        called = (nn.Module, FunctionType, MethodType, partial)
        return [*here, *there, *(value for value in named.nonlocals.values() if isinstance(value, called))]
    held = [value for value in getattr(thing, "__dict__", {}).values() if isinstance(value, nn.Module)]
    return held if isinstance(thing, type) else [*held, type(thing).__dict__.get("__call__")]
