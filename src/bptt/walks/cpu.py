"""The fused CPU kernels as a backend: float32 and float64, and halves through float32."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, is_grad_enabled
from torch._C import _is_any_autocast_enabled

from ..equations import ElmanEquations, Weights
from ..equations.protocol import Equations, State
from . import kernels, operators
from .backend import QuickWalk, Recorded
from .call import HALF, Call, is_transformed
from .cpu_autograd import is_traced, is_watched, must_be_an_operator, put_in_graph
from .kernels import Choices, Operands, Seeds, Stops, Walked
from .recording import SavedRecording
from .reference import REFERENCE
from .sweep import Errors, Swept
from .unfold import Adjoint


class Fused:
    """One native call for a layer and direction, forward or back."""

    name = "fused"
    walk_stack = None

    def refuses(self, call: Call) -> str | None:
        if not kernels.available():
            return kernels.missing()
        if is_transformed():
            return "vmap, grad, jvp or forward mode is active, which takes plain operations"
        if call.x.device.type != "cpu":
            return f"the native kernels run on CPUs, and this is on {call.x.device}"
        if call.x.dtype not in (torch.float32, torch.float64, *HALF):
            return f"the native kernels have no {call.x.dtype}"
        if Choices.of(call.cell) is None and isinstance(call.cell, ElmanEquations):
            return f"the activation {call.cell.activation.name!r} is the user's own"
        if Choices.of(call.cell) is None:
            return f"{type(call.cell).__name__} has no native kernel"
        if call.weights.W_hr is not None:
            return "a projected LSTM has no native kernel"
        if call.state[0].shape[0] == 0:
            return "the batch is empty"
        return None

    def describe(self, call: Call) -> str:
        computed = ", computed in float32" if call.x.dtype in HALF else ""
        return f"the native kernels ({kernels.isa()}){computed}"

    def walk(self, call: Call) -> tuple[Tensor, State]:
        if call.x.dtype in HALF:  # computed in float32, rounded once
            call.check_memory()
            y, state = self.walk(call.in_dtype(torch.float32))
            return y.to(call.x.dtype), tuple(s.to(call.x.dtype) for s in state)
        operands, keep = _operands(call), call.wants_gradients()
        if must_be_an_operator(operands):
            keep = keep or is_traced()  # with gradients or without, by whoever calls the traced module
            return operators.operator_walk(_choices(call), call.batch_sizes, keep, operands)
        return _outputs(call, operands, kernels.forward(_choices(call), call.batch_sizes, keep, operands), keep)

    def record(self, call: Call) -> Recorded:
        if call.x.dtype in HALF:
            return REFERENCE.record(call)
        operands = _operands(call)
        walked = kernels.forward(_choices(call), call.batch_sizes, True, operands)
        recording = FusedRecording(call.each(Tensor.detach), walked.saved._replace(y=walked.y.detach()))
        return Recorded(*_outputs(call, operands, walked, call.wants_gradients()), recording)

    def quick_walk_of(self, cell: Equations) -> QuickWalk | None:
        choices = Choices.of(cell) if kernels.available() else None
        if choices is None:
            return None
        return QuickWalk(partial(_quick_walk, choices), partial(_quick_stack, choices))


FUSED = Fused()


def _choices(call: Call) -> Choices:
    return cast("Choices", Choices.of(call.cell))


def _operands(call: Call) -> Operands:
    h0, c0 = call.state if _choices(call).has_c() else (call.state[0], None)
    return Operands(call.x, h0, c0, *call.weights[:4])


def _outputs(call: Call, operands: Operands, walked: Walked, in_graph: bool) -> tuple[Tensor, State]:
    """h after each step and the final state, where wanted in autograd's graph."""
    y, _, _, h_n, c_n, _ = walked
    if in_graph:
        y, h_n, c_n = put_in_graph(_choices(call), call.batch_sizes, walked, *operands)
    return y, (h_n,) if c_n is None else (h_n, c_n)


@dataclass(frozen=True)
class FusedRecording(SavedRecording):
    """Every step's values that the native kernels saved."""

    def adjoint(self, d_outputs: Tensor | None, d_state: State | None = None) -> Adjoint:
        y, choices = self.saved.y, _choices(self.call)
        delta_hh = y.new_empty((*y.shape[:-1], self.cell.gates * y.shape[-1]))
        delta_ih = delta_hh if self._one_delta else torch.empty_like(delta_hh)
        dh = torch.empty_like(y)
        _, d_h0, d_c0, *_ = kernels.backward(
            choices,
            self.call.batch_sizes,
            (False, True, choices.has_c(), False, False, False, False),
            _operands(self.call),
            self.saved,
            Seeds(d_outputs, *(d_state or ())),
            Stops(None if self._one_delta else delta_ih, delta_hh, dh),
        )
        d_initial = (d_h0,) if d_c0 is None else (d_h0, d_c0)
        return Adjoint(delta_ih, delta_hh, dh, cast("State", d_initial))

    def sweep(self, steps: int, errors: Errors, wanted: bool) -> Swept:
        B = self.saved.y.shape[1]
        entering, ends = errors
        rows = entering.shape[-2]
        squares = self.x.new_empty(steps, rows // B)
        hh = self.x.new_empty(steps, rows // B, B, B)
        ih = hh if self._one_delta else torch.empty_like(hh)
        d_inputs, *_ = kernels.backward(
            _choices(self.call),
            None,
            (wanted, *[False] * 6),
            _operands(self.call)._replace(x=self.x[:1, :1].expand(steps, rows, -1)),  # its shape alone is read
            self.saved,
            Seeds(None, entering) if entering.dim() == 2 else Seeds(entering),
            Stops(squares=squares, products_ih=None if self._one_delta else ih, products_hh=hh),
            shared=B,
            active=None if ends is None else [B * sum(t <= end for end in ends) for t in range(steps)],
        )
        return Swept(squares, ih, hh, None, d_inputs)

    @property
    def _one_delta(self) -> bool:
        return kernels.CELLS[self.cell.name].one_delta


def _quick_walk(
    choices: Choices, names: Weights[str], I: int, H: int, parameters: dict[str, Any], x: Any, hx: Any
) -> tuple[Tensor, State] | None:
    """The walk of one layer of a module in a few microseconds, where nothing is out of the ordinary.

    With plain tensors of one dtype in main memory, shaped as they must be, and nothing that must see operators,
    one native call checks and walks. None for any other call, which goes through the module's own checks.

    Args:
        choices, names, I, H, parameters, x, hx: as `kernels.forward_of_module` takes them.

    Returns:
        y (T, B, H), and the final state, each (1, B, H); all (B, H) of one step x (B, I).
    """
    if _needs_other_operations():
        return None
    found = kernels.forward_of_module(choices, names, parameters, x, hx, I, H, is_grad_enabled())
    if found is None:
        return None
    walked, operands = found
    if operands is None:
        return walked  # pyright: ignore[reportReturnType]
    y, h_n, c_n = put_in_graph(choices, None, walked, *operands)
    h_n = y if h_n is None else h_n  # of one step
    return y, (h_n,) if c_n is None else (h_n, c_n)


def _quick_stack(choices: Choices, *arguments: Any) -> tuple[Tensor, Any] | None:
    """`kernels.stack_of_module`; None where operators must be seen, too."""
    return None if _needs_other_operations() else kernels.stack_of_module(choices, *arguments)


def _needs_other_operations() -> bool:
    """Whether operators must be seen, or a transform or autocast is active."""
    return is_watched() or is_transformed() or _is_any_autocast_enabled()
