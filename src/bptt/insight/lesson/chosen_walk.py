"""One error's backward pass through a recorded walk, from the recurrent module's own input on."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...networks import Elman
from ...reach.layout import called
from ..plain_models import checked_step, walk_back
from ..recorder.by_module import backward_of_walks
from ..recorder.calls import ModuleCall
from ..recorder.loops import errors_of, loops_of, records_of
from ..recorder.record import Walks
from .backward import ErrorBackward
from .notation import WalkedModule


class WalkPlace(NamedTuple):
    """Which walk of a recorded model is meant; None where there is only one, and for the first sequence."""

    module: str | None = None  # its name in the model
    loop: int | None = None  # of `ModuleContributions.loops`
    sequence: int | None = None  # of the batch


def linearized_loss(y: Tensor, d: Tensor) -> Tensor:
    """E_t = ∂L/∂y_t y_tᵀ, which has the loss's own gradient; d is ∂L/∂y_t."""
    return (y * d).sum()


@torch.no_grad()
def backward_of_walk(
    walks: Walks, loss: Any, t: int | None, place: WalkPlace
) -> tuple[WalkedModule, ErrorBackward]:
    """The backward pass of what enters step t of a module's output from above, over one of its sequences.

    Args:
        loss: as `bptt.contributions` takes it.
        t: the step, from 1; None for the last one where an error enters.
    """
    with torch.enable_grad():
        backward_of_walks(walks, loss)
    name, loop = _chosen(walks, place)
    who = called(name)
    row = place.sequence or 0
    batch = min(call.batch for call in loop)
    if not 0 <= row < batch:
        raise ValueError(f"sequence is {row}, but {who} was called with {batch} sequences, counted from 0")
    errors = errors_of(loop)
    if errors.elsewhere:
        raise ValueError(
            f"errors enter {who} by a lower layer's final state, by the cell state c_n or by a state that was "
            "changed between two calls, not at a row of its output; bptt.contributions(walks, loss) counts them"
        )
    if any(call.drew_dropout for call in loop):
        raise ValueError(
            f"dropout was drawn between the layers of {who}, and the lesson's network has none; record the "
            "model in eval mode"
        )
    sizes = loop[0].batch_sizes
    steps = sum(call.steps for call in loop) if sizes is None else sum(size > row for size in sizes)
    d_outputs = errors.d_outputs[:steps, row : row + 1]
    records = records_of(loop, torch.tensor([row], device="cpu"), steps)
    entering = [int(step) + 1 for step in (d_outputs != 0).flatten(1).any(1).nonzero()]
    if not entering:
        raise ValueError(f"no error enters sequence {row} of {who} from above")
    t = entering[-1] if t is None else checked_step(t, steps)
    if t not in entering:
        shown = f"{', '.join(map(str, entering[:6]))}{', ...' if len(entering) > 6 else ''}"
        raise ValueError(f"no error enters {who} at step {t}; errors enter at {shown}")
    y = torch.cat([r.in_time(r.recording.y) for r in records[-1]], -1)
    alone = torch.zeros_like(d_outputs if len(records[0]) == 2 else d_outputs[:t])
    alone[t - 1] = dz = d_outputs[t - 1]
    error = linearized_loss(y[t - 1], dz)
    names = [[r.names for r in layer] for layer in records]
    lessons = isinstance(walks.modules[name], Elman)
    net = WalkedModule(records[0][0].cell, names, torch.eye(dz.shape[1], device="cpu").to(dz), row_vectors=lessons)
    walked = {walk.layer: walk for walk in walk_back(records, alone)}
    return net, ErrorBackward(t, error, dz, y[t - 1], alone, walked)


def _chosen(walks: Walks, place: WalkPlace) -> tuple[str, list[ModuleCall]]:
    """The module's name, and the calls that are joined to one walk."""
    reached = {name: [call for call in calls if call.was_reached] for name, calls in walks.calls.items()}
    reached = {name: calls for name, calls in reached.items() if calls}
    names = ", ".join(map(repr, reached))
    if place.module is not None and place.module not in reached:
        raise ValueError(f"the loss reaches no recorded module {place.module!r}; it reaches {names}")
    if place.module is None and len(reached) > 1:
        raise ValueError(f"the loss reaches {len(reached)} recurrent modules; choose one by module=: {names}")
    name = next(iter(reached)) if place.module is None else place.module
    loops = loops_of(reached[name])
    if place.loop is None and len(loops) > 1:
        raise ValueError(f"{called(name)} has {len(loops)} walks; choose one by loop=0 to {len(loops) - 1}")
    if not 0 <= (place.loop or 0) < len(loops):
        raise ValueError(f"loop is {place.loop}, but {called(name)} has {len(loops)}, counted from 0")
    return name, loops[place.loop or 0]
