"""The CUDA kernels as a backend: one launch forward and one back for each layer and direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._C._autograd import _top_saved_tensors_default_hooks

from ..cuda.compiling import KernelError, warn_once
from ..cuda.launching import Driver, Launcher
from ..cuda.plan import KernelPlan, plan
from ..equations.protocol import Equations, State
from .backend import Recorded
from .call import Call, alias, is_transformed
from .cpu_autograd import is_watched
from .cuda_calls import Launched, Variant, launch_backward, launch_forward
from .cudnn_autograd import saved_tensors_of
from .double_backward import are_batched, differentiable_gradients
from .recording import Saved, SavedRecording
from .sweep import Errors, Swept, swept_of
from .unfold import Adjoint, layer_gradients, previous_states, walk_unfolded


class CudaKernels:
    """The kernels of `bptt.cuda`.

    Args:
        launcher: runs them.
    """

    name = "CUDA kernels"
    walk_stack = None

    def __init__(self, launcher: Launcher) -> None:
        self.launcher = launcher
        self.failures: dict[tuple[KernelPlan, torch.device], str] = {}

    def refuses(self, call: Call) -> str | None:
        chosen = self._chosen(call)
        return chosen if isinstance(chosen, str) else None

    def describe(self, call: Call) -> str:
        return f"a launch for each layer and direction, {self._variant(call).plan.layout}"

    def walk(self, call: Call) -> tuple[Tensor, State]:
        variant, keep = self._variant(call), call.wants_gradients()
        launched = launch_forward(variant, call, keep)
        return _in_graph(variant, call, launched) if keep else (launched.saved.y, launched.state)

    def record(self, call: Call) -> Recorded:
        variant = self._variant(call)
        launched = launch_forward(variant, call, True)
        saved = launched.saved._replace(y=launched.saved.y.detach())
        recording = CudaRecording(call.each(Tensor.detach), saved, variant)
        outputs = launched.saved.y, launched.state
        return Recorded(*(_in_graph(variant, call, launched) if call.wants_gradients() else outputs), recording)

    def quick_walk_of(self, cell: Equations) -> None:
        return None

    def _chosen(self, call: Call) -> KernelPlan | str:
        """The variant that walks a call, compiled and loaded; or, in words, why there is none."""
        device, (B, H), sizes = call.x.device, call.state[0].shape, call.batch_sizes
        missing = self.launcher.unavailable(device)
        if missing is not None:
            return missing
        if is_transformed():
            return "vmap, grad, jvp or forward mode is active, which takes plain operations"
        if is_watched():
            return "a compiler, a tracer or a dispatch mode needs to see operators"
        if call.weights.W_hr is not None:
            return "the CUDA kernels have no projected LSTM"
        if B == 0:
            return "the batch is empty"
        steps, capability = len(call.x if sizes is None else sizes), self.launcher.capability(device)
        chosen = plan(call.cell, call.x.dtype, H, B, steps, sizes is not None, capability)
        return chosen if isinstance(chosen, str) else self._loaded(chosen, device)

    def _loaded(self, chosen: KernelPlan, device: torch.device) -> KernelPlan | str:
        if (chosen, device) not in self.failures:
            try:
                self.launcher.load(chosen, device)
            except KernelError as error:
                self.failures[chosen, device] = str(error)
                warn_once(f"the CUDA kernels are not used, as {error}")
        return self.failures.get((chosen, device), chosen)

    def _variant(self, call: Call) -> Variant:
        chosen = self._chosen(call)
        assert isinstance(chosen, KernelPlan)
        return Variant(self.launcher, chosen)


CUDA_KERNELS = CudaKernels(Driver())


@dataclass(frozen=True)
class CudaRecording(SavedRecording):
    """Every step's values that the CUDA kernels saved."""

    variant: Variant

    def adjoint(self, d_outputs: Tensor | None, d_state: State | None = None) -> Adjoint:
        return launch_backward(self.variant, self.call, self.saved, d_outputs, d_state)

    def sweep(self, steps: int, errors: Errors, wanted: bool) -> Swept:
        B = self.saved.y.shape[1]
        d_outputs = errors.dense(steps, B)
        copies = d_outputs.shape[1] // B
        adjoint = launch_backward(self.variant, self.call, self.saved, d_outputs, steps=steps, copies=copies)
        return swept_of(adjoint, self.weights, copies, wanted)


def _in_graph(variant: Variant, call: Call, launched: Launched) -> tuple[Tensor, State]:
    """h after each step and the final state, in autograd's graph."""
    y, *state = _CudaWalk.apply(variant, call, launched, *call.each(alias).tensors())  # pyright: ignore
    return y, tuple(state)


class _CudaWalk(torch.autograd.Function):
    """The place in autograd's graph of a layer that was walked outside it."""

    @staticmethod
    def forward(ctx: Any, variant: Variant, call: Call, launched: Launched, *tensors: Tensor | None) -> tuple:
        y, c, kept = launched.saved
        ctx.variant, ctx.call, ctx.y_changed = variant, call.with_tensors(None for _ in call.tensors()), False
        ctx.set_materialize_grads(False)
        # Where hooks say how tensors are saved, a change of y in place is not noticed.
        saved = y if _top_saved_tensors_default_hooks(True) is None else y.clone()
        ctx.save_for_backward(saved, c, kept, *tensors)
        return y, *launched.state

    @staticmethod
    def backward(ctx: Any, *seeds: Tensor | None) -> tuple:
        y, c, kept, *tensors = saved_tensors_of(ctx)
        call, (dy, *d_state), wanted = ctx.call.with_tensors(tensors), seeds, ctx.needs_input_grad[3:]
        if torch.is_grad_enabled() or are_batched(seeds):
            return None, None, None, *differentiable_gradients(call, walk_unfolded, wanted, dy, d_state)
        saved = launch_forward(ctx.variant, call, True).saved if ctx.y_changed else Saved(y, c, kept)
        adjoint = launch_backward(ctx.variant, call, saved, dy, d_state)
        h0, y = call.state[0], saved.y
        h_prev = previous_states(torch.cat([h0 if call.batch_sizes else h0[None], y]), call.batch_sizes)
        return None, None, None, *layer_gradients(call, adjoint, wanted, h_prev, None)
