"""The modules a model is made of, and how they lay out a batch: (T, B, ·) or (B, T, ·)."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from torch import nn


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


def layouts(module: nn.Module) -> Iterator[tuple[str, bool]]:
    """The names of the outermost modules that say so, and whether they are batch_first.

    Those of torch.nn that are not recurrent (attention) do not count.
    """
    own = getattr(module, "batch_first", None)
    recurrent = isinstance(module, nn.RNNBase) or not type(module).__module__.startswith("torch.nn.")
    if own is not None and recurrent:
        yield type(module).__name__, bool(own)
        return
    for name, child in module.named_children():
        for inner, batch_first in layouts(child):
            yield f"{name} ({inner})" if "(" not in inner else f"{name}.{inner}", batch_first
