"""The two launches of the CUDA kernels for a layer and direction, as calls on tensors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from ..cuda.arguments import SIZES, Arguments, operands
from ..equations.protocol import State, Weights
from .call import Call, lacks_memory
from .cuda_variants import Variant
from .recording import Saved
from .unfold import Adjoint, layer_gradients, previous_states


class Launched(NamedTuple):
    """The result of a forward launch."""

    saved: Saved
    state: State  # after each sequence's last step, each (B, H)


def launch_forward(variant: Variant, call: Call, keep: bool) -> Launched:
    """Walk a layer forward.

    Args:
        keep: whether to keep what the backward pass needs.
    """
    if lacks_memory(call.tensors()):
        call.check_memory()
    cell, x, weights, (B, H) = variant.plan.cell, call.x, call.weights, call.state[0].shape
    with torch.no_grad():
        p = linear(x, weights.W_ih, _input_bias(weights, cell.one_delta)).contiguous()
        y = x.new_empty(*x.shape[:-1], H)
        kept = x.new_empty(*x.shape[:-1], cell.keeps * H) if keep and cell.keeps else None
        c = torch.empty_like(y, dtype=torch.float32) if keep and cell.has_c else None
        final = [_float32(x, B, H) for _ in call.state]
        b_hh = None if cell.one_delta or weights.b_hh is None else _as_read(weights.b_hh)
        tensors = {"p": p, "b_hh": b_hh, "y": y, "kept": kept, "c": c}
        _launch(variant, False, call, (len(x), B), tensors | _named(("h_n", "c_n"), final))
        return Launched(Saved(y, c, kept), tuple(s.to(x.dtype) for s in final))


def launch_backward(
    variant: Variant,
    call: Call,
    saved: Saved,
    d_outputs: Tensor | None,
    d_state: Sequence[Tensor | None] | None = None,
    steps: int | None = None,
    copies: int = 1,
    with_dh: bool = True,
) -> Adjoint:
    """Walk a layer's adjoint back.

    Args:
        saved: by the forward launch.
        d_outputs: ∂E/∂h as it enters at each step; None for zero.
        d_state: ∂E/∂(final state), each (B, H); None for zero.
        steps: how many, from the first on, of sequences of one length. Default all.
        copies: of the batch, rows (copy, row of the batch). Default 1.
        with_dh: whether ∂E/∂h after each step is written, of which a gradient has no need; else it is empty.
    """
    cell, y, (B, H) = variant.plan.cell, saved.y, call.state[0].shape
    T, B = steps or len(y), copies * B
    rows = (T, B) if call.batch_sizes is None else (len(y),)
    delta_ih = y.new_empty(*rows, cell.gates * H)
    dh = y.new_empty((*rows, H) if with_dh else 0)  # the address of an empty tensor is null
    delta_hh = delta_ih if cell.one_delta else torch.empty_like(delta_ih)
    dy = None if d_outputs is None else _as_read(d_outputs.to(y.dtype))
    d_initial = [_float32(y, B, H) for _ in call.state]
    tensors = {**saved._asdict(), "dy": dy, "delta_ih": delta_ih, "delta_hh": delta_hh, "dh": dh}
    tensors |= _named(("dh_n", "dc_n"), d_state or ()) | _named(("d_h0", "d_c0"), d_initial)
    _launch(variant, True, call, (T, B), tensors)
    return Adjoint(delta_ih, delta_hh, dh, tuple(d.to(y.dtype) for d in d_initial))


def gradients_of(call: Call, y: Tensor, adjoint: Adjoint, wanted: Sequence[bool]) -> list[Tensor | None]:
    """∂E/∂ of each of a call's `tensors`, from h after each step and the adjoint, as `layer_gradients`."""
    h0, sizes = call.state[0], call.batch_sizes
    h_prev = previous_states(torch.cat([h0 if sizes else h0[None], y]), sizes)
    return layer_gradients(call, adjoint, wanted, h_prev, None)


def _launch(
    variant: Variant, back: bool, call: Call, steps_and_rows: tuple[int, int], tensors: dict[str, Tensor | None]
) -> None:
    """Launch a kernel with a call's weights and initial state, and other tensors, named as in `Arguments`.

    Of an empty batch there is nothing to be computed, and a launch of no blocks is an error.
    """
    (T, B), (recorded, H), sizes = steps_and_rows, call.state[0].shape, call.batch_sizes
    if B == 0:
        return
    steps = None if sizes is None else _on_device(tuple(sizes), call.x.device)
    W_hh = _as_read(call.weights.W_hh.detach())
    streamed = operands(W_hh, variant.plan, back) if variant.plan.shared else None
    tensors |= _named(("h0", "c0"), call.state) | {"W_hh": W_hh, "operands": streamed, "sizes": steps}
    numbers = (T if sizes is None else len(sizes), B, H, T * B if sizes is None else len(call.x), recorded)
    arguments = Arguments(
        **dict(zip(SIZES, numbers, strict=True)),
        leak=getattr(call.cell, "leak", 1.0),
        **{name: t.data_ptr() for name, t in tensors.items() if t is not None},
    )
    variant.launcher.launch(variant.plan, back, arguments, call.x.device)


def _named(names: tuple[str, str], state: Sequence[Tensor | None]) -> dict[str, Tensor | None]:
    """Each part of a state, or of its adjoint, in float32."""
    pairs = zip(names, state, strict=False)
    return {name: None if s is None else _as_read(s.detach().float()) for name, s in pairs}


def _as_read(t: Tensor) -> Tensor:
    """t with its numbers in memory as a kernel reads them: one after the other, and no view that negates them."""
    return t.resolve_neg().contiguous()


def _float32(like: Tensor, B: int, H: int) -> Tensor:
    return like.new_empty(B, H, dtype=torch.float32)


def _input_bias(weights: Weights[Tensor], one_delta: bool) -> Tensor | None:
    """Every bias that is added before the gates: all, but b_hh of the GRU's last gate."""
    b_ih, b_hh = weights.b_ih, weights.b_hh
    if b_hh is not None and not one_delta:
        b_hh = b_hh.clone()
        b_hh[len(b_hh) // 3 * 2 :] = 0
    return b_ih if b_hh is None else b_hh if b_ih is None else b_ih + b_hh


@lru_cache(maxsize=64)
def _on_device(sizes: tuple[int, ...], device: torch.device) -> Tensor:
    """Each step's rows, copied once: a CUDA graph cannot capture the copy."""
    return torch.tensor(sizes, dtype=torch.int32, device=device)
