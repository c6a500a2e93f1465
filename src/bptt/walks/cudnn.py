"""cuDNN as a backend: standard cells on CUDA, a whole stack in one call."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.compiler import is_compiling

from ..equations import ElmanEquations
from ..equations.protocol import Equations, State
from . import cudnn_operators
from .backend import Recorded
from .call import Call, alias, is_transformed
from .cpu_autograd import must_be_an_operator
from .cudnn_autograd import CudnnWalk
from .cudnn_calls import Terms, cudnn_forward, mode_of, tf32_is_on
from .reference import REFERENCE
from .stack import Stack

_HAS_CUDNN = torch.backends.cudnn.is_available()  # once, as torch.compile cannot ask
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class Cudnn:
    """One cuDNN call forward and one back, for all layers and directions."""

    name = "cuDNN"

    def refuses(self, call: Call) -> str | None:
        device = call.x.device
        missing = unavailable(device)
        if missing is not None:
            return missing
        if is_transformed():
            return "vmap, grad, jvp or forward mode is active, which takes plain operations"
        if call.x.dtype not in DTYPES:
            return f"cuDNN has no {call.x.dtype}"
        if call.x.dtype == torch.bfloat16 and not _has_bfloat16(device):
            return f"cuDNN needs compute capability 8.0 for bfloat16, and {device} has less"
        if mode_of(call.cell) is None:
            return f"cuDNN has no {_named(call.cell)}"
        if call.state[0].shape[0] == 0:
            return "the batch is empty"
        return None

    def describe(self, call: Call) -> str:
        through = ", through TF32 as torch.backends.cudnn.rnn.fp32_precision says"
        return "cuDNN, all layers in one call" + (
            through if call.x.dtype == torch.float32 and tf32_is_on() else ""
        )

    def walk(self, call: Call) -> tuple[Tensor, State]:
        initial = tuple(s.unsqueeze(0) for s in call.state)
        y, state = self.walk_stack(Stack(call.cell, call.x, initial, (call.weights,), 1, call.batch_sizes))
        return y, tuple(s.squeeze(0) for s in state)

    def walk_stack(self, stack: Stack) -> tuple[Tensor, State]:
        train = stack.wants_gradients()
        terms, operands, weights = Terms.of(stack.each(alias) if train and not is_compiling() else stack)
        try:
            if must_be_an_operator((*operands, *weights)):
                y, h_n, c_n = cudnn_operators.cudnn_operator_walk(terms, train, *operands, weights)
            elif train:
                y, h_n, c_n = CudnnWalk.apply(terms, *operands, *weights)  # pyright: ignore
            else:
                y, h_n, c_n, *_ = cudnn_forward(terms, False, *operands, weights)
        except RuntimeError as error:
            if "CUDNN_STATUS_NOT_SUPPORTED" not in str(error):  # sizes that cuDNN has no kernel for
                raise
            return stack.walk(REFERENCE.walk)
        return y, (h_n,) if c_n is None else (h_n, c_n)

    def record(self, call: Call) -> Recorded:
        return REFERENCE.record(call)

    def quick_walk_of(self, cell: Equations) -> None:
        return None


CUDNN = Cudnn()


def unavailable(device: torch.device) -> str | None:
    """Why cuDNN cannot be used on a device; None where it can."""
    if device.type != "cuda":
        return f"cuDNN runs on CUDA, and this is on {device}"
    if torch.version.hip is not None:
        return "this torch is built for ROCm, which has no cuDNN"
    if not _HAS_CUDNN:
        return "this torch has no cuDNN"
    if not torch.backends.cudnn.enabled:
        return "torch.backends.cudnn.enabled is False"
    return None


@lru_cache(maxsize=64)
def _has_bfloat16(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= (8, 0)


# What torch.compiler.assume_constant_result does; calling it would load the compiler with every `import bptt`.
vars(_has_bfloat16)["_dynamo_marked_constant"] = True


def _named(cell: Equations) -> str:
    """A cell as a refusal names it."""
    if not isinstance(cell, ElmanEquations):
        return type(cell).__name__
    return "leaky units" if cell.leak != 1 else f"activation {cell.activation.name!r}"
