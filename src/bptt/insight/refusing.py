"""Models that the functions of insight refuse, each with the way to one that they take."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..cell import Cell
from ..convert import OURS
from ..recurrent import Recurrent


def refused(model: Any) -> str:
    """A refused model's type, and what to do instead."""
    if isinstance(model, type):
        return f"the class {model.__name__}; pass a module made of it, {model.__name__}(...)"
    name = type(model).__name__
    if not isinstance(model, nn.Module):
        return name
    if type(model) in OURS:
        return (
            f"torch.nn.{name}; bptt.from_torch(module) converts it, and bptt.SequenceModel(module, output_size) "
            "adds a read-out"
        )
    if isinstance(model, Recurrent):
        return f"{name} alone; add a read-out: bptt.SequenceModel(module, output_size)"
    if isinstance(model, Cell):
        return f"{name}, a bptt.Cell; contributions, check_gradient, truncated and checkpointed take it"
    return (
        f"{name}; write a recurrent module with a read-out as bptt.SequenceModel(recurrent, output_size), after "
        "bptt.from_torch if it is torch.nn's; contributions also takes a bptt.Cell with the whole step in `step`"
    )
