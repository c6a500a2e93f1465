"""Plain operations under autograd, without the cell's adjoint: for vmap, forward mode and compilers."""

from __future__ import annotations

from torch import Tensor

from ..equations.protocol import State
from .backend import Recorded
from .call import Call
from .reference import REFERENCE
from .unfold import unfold_layer


class Plain:
    """The equations under autograd; refuses nothing."""

    name = "autograd"

    def refuses(self, call: Call) -> str | None:
        return None

    def describe(self, call: Call) -> str:
        return "plain operations under autograd"

    def walk(self, call: Call) -> tuple[Tensor, State]:
        unfolded = unfold_layer(call, keep=False)
        return unfolded.y, unfolded.state

    def record(self, call: Call) -> Recorded:
        return REFERENCE.record(call)


PLAIN = Plain()
