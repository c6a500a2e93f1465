"""Plain operations under autograd, without the cell's adjoint: for vmap, forward mode and compilers."""

from __future__ import annotations

from torch import Tensor

from ..equations.protocol import Equations, State
from .backend import Recorded
from .call import Call
from .reference import ReferenceRecording
from .unfold import unfold_layer, walk_unfolded


class Plain:
    """The equations under autograd; refuses nothing."""

    name = "autograd"
    walk_stack = None

    def refuses(self, call: Call) -> str | None:
        return None

    def describe(self, call: Call) -> str:
        return "plain operations under autograd"

    def walk(self, call: Call) -> tuple[Tensor, State]:
        return walk_unfolded(call)

    def record(self, call: Call) -> Recorded:
        unfolded = unfold_layer(call)
        kept = unfolded.kept._make(field.detach() for field in unfolded.kept)
        recording = ReferenceRecording(call.each(Tensor.detach), unfolded.states.detach(), kept)
        return Recorded(unfolded.y, unfolded.state, recording)

    def quick_walk_of(self, cell: Equations) -> None:
        return None


PLAIN = Plain()
