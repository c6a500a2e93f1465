"""Models that the functions of insight refuse, each with the way to one that they take."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..cell import Cell


def refused(model: Any, function: str) -> str:
    """A refused model's type, and how to use the function with it."""
    if isinstance(model, type):
        return f"the class {model.__name__}; pass a module made of it, {model.__name__}(...)"
    name = type(model).__name__
    if not isinstance(model, nn.Module):
        return name
    if isinstance(model, Cell):
        return f"{name}, a bptt.Cell; contributions, check_gradient, truncated and checkpointed take it"
    return (
        f"{name}; record the model as it runs:\n"
        "    with bptt.record(model) as walks:\n"
        "        loss = criterion(model(x), d)\n"
        f"    bptt.{function}(walks, loss)"
    )
