"""cuDNN's walks as registered operators, for torch.compile and torch.export.

They work as those of `operators` do. cuDNN's reserve is an output, of a size that only cuDNN knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .cudnn_calls import Terms

_library = torch.library.Library("bptt", "FRAGMENT")
_TERMS = "int mode, int hidden, int projected, int directions, int per_layer, int[]? batch_sizes"
_TENSORS = "Tensor x, Tensor h0, Tensor? c0, Tensor[] weights"
_library.define(
    f"cudnn_walk({_TERMS}, bool train, {_TENSORS}) -> (Tensor y, Tensor h_n, Tensor c_n, Tensor reserve)"
)
_library.define(
    f"cudnn_walk_backward({_TERMS}, bool[] wanted, {_TENSORS}, Tensor y, Tensor reserve, "
    "Tensor? dy, Tensor? dh_n, Tensor? dc_n) -> Tensor[]"
)


def cudnn_operator_walk(
    terms: Terms, train: bool, x: Tensor, h0: Tensor, c0: Tensor | None, weights: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """y, h_n and c_n by the operator; `train`: whether a gradient is wanted."""
    y, h_n, c_n, _ = torch.ops.bptt.cudnn_walk(*terms, train, x, h0, c0, weights)
    return y, h_n, None if c0 is None else c_n


def _terms(inputs: Sequence[Any]) -> Terms:
    from .cudnn_calls import Terms

    return Terms(*inputs)


def _walk(*inputs: Any) -> tuple[Tensor, ...]:
    from .cudnn_calls import cudnn_forward

    terms, (train, x, h0, c0, weights) = _terms(inputs[:6]), inputs[6:]
    _check_rows(terms, x)
    y, h_n, c_n, reserve, _ = cudnn_forward(terms, train, x, h0, c0, weights)
    return y, h_n, x.new_empty(0) if c_n is None else c_n, reserve


def _walk_fake(*inputs: Any) -> tuple[Tensor, ...]:
    terms, (train, x, h0, c0, _) = _terms(inputs[:6]), inputs[6:]
    y = x.new_empty((*x.shape[:-1], (terms.projected or terms.hidden) * terms.directions))
    size = torch.library.get_ctx().new_dynamic_size() if train else 0
    reserve = x.new_empty(size, dtype=torch.uint8)
    return y, h0.new_empty(h0.shape), x.new_empty(0 if c0 is None else c0.shape), reserve


def _walk_backward(*inputs: Any) -> list[Tensor]:
    from .cudnn_calls import cudnn_backward, flat_weights

    terms, (wanted, x, h0, c0, weights, y, reserve, *seeds) = _terms(inputs[:6]), inputs[6:]
    _check_rows(terms, x)
    saved = y, reserve.clone(), flat_weights(terms, x.shape[-1], weights)  # an operator changes none of its inputs
    found = cudnn_backward(terms, wanted, (x, h0, c0), weights, saved, seeds)
    # Clones, as the weights' gradients lie in one buffer, and an operator's outputs share no memory.
    return [x.new_empty(0) if g is None else g if number < 3 else g.clone() for number, g in enumerate(found)]


def _backward_fake(*inputs: Any) -> list[Tensor]:
    wanted, x, h0, c0, weights = inputs[6:11]
    sources = (x, h0, c0, *weights)
    return [x.new_empty(s.shape if want and s is not None else 0) for s, want in zip(sources, wanted, strict=True)]


def _check_rows(terms: Terms, x: Tensor) -> None:
    sizes = terms.batch_sizes
    if sizes is not None and (sum(sizes) != len(x) or sorted(sizes, reverse=True) != sizes or sizes[-1] < 1):
        raise ValueError(f"batch_sizes {sizes} must not increase, and sum up to the {len(x)} rows of x")


def _setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
    _, x, h0, c0, weights = inputs[6:]
    y, _, _, reserve = output
    ctx.terms = _terms(inputs[:6])
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(reserve)
    ctx.save_for_backward(y, reserve, x, h0, c0, *weights)


def _backward(ctx: Any, dy: Tensor | None, dh_n: Tensor | None, dc_n: Tensor | None, _: Any) -> tuple:
    from .cudnn_autograd import differentiable

    y, reserve, x, h0, c0, *weights = ctx.saved_tensors
    operands, of_weights = (x, h0, c0), ctx.needs_input_grad[10]
    wanted = [
        *ctx.needs_input_grad[7:10],
        *(of_weights if isinstance(of_weights, list | tuple) else [of_weights] * len(weights)),
    ]
    seeds = dy, dh_n, dc_n if c0 is not None else None
    if torch.is_grad_enabled():
        found = differentiable(ctx.terms, wanted, operands, weights, seeds)
    else:
        found = torch.ops.bptt.cudnn_walk_backward(*ctx.terms, wanted, *operands, weights, y, reserve, *seeds)
        found = [g if want else None for g, want in zip(found, wanted, strict=True)]
    return (None,) * 7 + (*found[:3], found[3:])


_library.impl("cudnn_walk", _walk, "CompositeExplicitAutograd")
_library.impl("cudnn_walk_backward", _walk_backward, "CompositeExplicitAutograd")
torch.library.register_fake("bptt::cudnn_walk", _walk_fake, lib=_library)
torch.library.register_fake("bptt::cudnn_walk_backward", _backward_fake, lib=_library)
torch.library.register_autograd("bptt::cudnn_walk", _backward, setup_context=_setup_context, lib=_library)
