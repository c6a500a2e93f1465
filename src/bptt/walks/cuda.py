"""The CUDA kernels as a backend: one launch forward and one back for each layer and direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._C._autograd import _top_saved_tensors_default_hooks

from ..cuda.plan import KernelPlan
from ..equations.protocol import Equations, State
from .backend import Recorded
from .call import Call, alias, is_transformed
from .cpu_autograd import must_be_an_operator
from .cuda_calls import Launched, gradients_of, launch_backward, launch_forward
from .cuda_operators import cuda_operator_walk
from .cuda_variants import VARIANTS, Variant, Variants
from .cudnn_autograd import saved_tensors_of
from .double_backward import are_batched, differentiable_gradients
from .kernels import Choices
from .recording import Saved, SavedRecording
from .reference import REFERENCE
from .sweep import Errors, Swept, swept_of
from .unfold import Adjoint, walk_unfolded


class CudaKernels:
    """The kernels of `bptt.cuda`."""

    name = "CUDA kernels"
    walk_stack = None

    def __init__(self, variants: Variants) -> None:
        self.variants = variants

    def refuses(self, call: Call) -> str | None:
        missing = self.variants.launcher.unavailable(call.x.device)
        if missing is not None:
            return missing
        if is_transformed():
            return "vmap, grad, jvp or forward mode is active, which takes plain operations"
        if call.weights.W_hr is not None:
            return "the CUDA kernels have no projected LSTM"
        if call.state[0].shape[0] == 0:
            return "the batch is empty"
        if not must_be_an_operator(call.tensors()):
            chosen = self.variants.of_call(call)
            return chosen if isinstance(chosen, str) else None
        choices, H, packed = Choices.of(call.cell), call.weights.W_hh.shape[1], call.batch_sizes is not None
        if choices is None:
            return "the cell has no CUDA kernel"
        return self._refuses_operator(*choices, call.x.dtype, H, packed, call.x.device)

    def describe(self, call: Call) -> str:
        return f"a launch for each layer and direction, {self._variant(call).plan.layout}"

    def walk(self, call: Call) -> tuple[Tensor, State]:
        if must_be_an_operator(call.tensors()):
            return cuda_operator_walk(call)
        variant, keep = self._variant(call), call.wants_gradients()
        launched = launch_forward(variant, call, keep)
        return _in_graph(variant, call, launched) if keep else (launched.saved.y, launched.state)

    def record(self, call: Call) -> Recorded:
        if must_be_an_operator(call.tensors()):
            return REFERENCE.record(call)
        variant = self._variant(call)
        launched = launch_forward(variant, call, True)
        saved = launched.saved._replace(y=launched.saved.y.detach())
        recording = CudaRecording(call.each(Tensor.detach), saved, variant)
        outputs = launched.saved.y, launched.state
        return Recorded(*(_in_graph(variant, call, launched) if call.wants_gradients() else outputs), recording)

    def quick_walk_of(self, cell: Equations) -> None:
        return None

    def _refuses_operator(
        self,
        cell: str,
        activation: str,
        leak: float,
        dtype: torch.dtype,
        H: int,
        packed: bool,
        device: torch.device,
    ) -> str | None:
        """`refuses` where a compiler asks."""
        equations = Choices(cell, activation, leak).equations()
        chosen = self.variants.of_any_length(equations, dtype, H, packed, device)
        return chosen if isinstance(chosen, str) else None

    def _variant(self, call: Call) -> Variant:
        chosen = self.variants.of_call(call)
        assert isinstance(chosen, KernelPlan)
        return Variant(self.variants.launcher, chosen)


# What torch.compiler.assume_constant_result does; calling it would load the compiler with every `import bptt`.
vars(CudaKernels._refuses_operator)["_dynamo_marked_constant"] = True
CUDA_KERNELS = CudaKernels(VARIANTS)


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
        with torch.autocast(y.device.type, enabled=False):  # which may be on for the backward pass alone
            saved = launch_forward(ctx.variant, call, True).saved if ctx.y_changed else Saved(y, c, kept)
            adjoint = launch_backward(ctx.variant, call, saved, dy, d_state, with_dh=False)
            return None, None, None, *gradients_of(call, saved.y, adjoint, wanted)
