"""Each earlier step's contribution to the gradient of one error, the lesson's question, in numbers.

The forward pass is recorded; then the error at step t alone is backpropagated by the same adjoint that trains the
network, and the products with `delta` are kept per step, not summed (Werbos 1990, equations 8-13).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from ...networks import squared_error
from ..recorded import Criterion, factors_by_name, readout_factors
from .backward import ErrorBackward, LayerBackward, backward_of_error, criterion_name
from .drawing import unfolded_svg
from .explanation import Explanation
from .notation import LessonNetwork


def explain(
    model: LessonNetwork, x: Tensor, d: Tensor, criterion: Criterion = squared_error, *, t: int | None = None
) -> Explanation:
    """Split the gradient of E_t, the error at one step, by the steps that contributed to it.

    The network is explained without dropout; its weights and their .grad stay as they are.

    Args:
        model: a `bptt.Elman` or `bptt.SequenceModel`.
        x: the input, as the network takes it: (T, I) or batched.
        d: the target of every step, laid out as y; class numbers lack y's last axis.
        criterion: (y_t, d_t) -> scalar: `bptt.squared_error`, the default; `bptt.cross_entropy`, which takes what
            is before a softmax; or any other function.
        t: the step whose error is explained, 1 to T. Default T, the last.

    Returns:
        the error, the gradients and their parts; print it.

    Raises:
        TypeError: model or criterion is of another type.
        ValueError: t is outside 1..T, d does not fit y, or the error is no scalar.

    >>> import torch
    >>> from bptt import Elman
    >>> net = Elman(2, 3, 1)
    >>> e = explain(net, torch.ones(4, 2), torch.zeros(4, 1), t=3)
    >>> tuple(e.contributions["W_s"].shape)
    (3, 3, 3)
    """
    back = backward_of_error(model, x, d, criterion, t)
    return explanation_of(model, back, criterion, one_sequence=x.dim() == 2)


def explanation_of(
    net: LessonNetwork, back: ErrorBackward, criterion: Criterion, *, one_sequence: bool = True
) -> Explanation:
    """A backward pass as an explanation; of one sequence its tensors have no batch axis."""
    layers = back.layers.values()

    def by_layer(rows_of: Callable[[LayerBackward], Tensor | None]) -> dict[str, Tensor]:
        rows = {name: rows_of(layer) for name, layer in back.layers.items()}
        return {name: shown(part) for name, part in rows.items() if part is not None}

    def shown(rows: Tensor) -> Tensor:
        return rows.squeeze(-2) if one_sequence else rows

    factors = factors_by_name(net, [layer.walk for layer in layers])
    contributions = {name: factor.by_step() for name, factor in factors.items()}
    steps = len(next(iter(layers)).dx)
    for name, factor in readout_factors(net, back.dz, back.h_t).items():
        part = factor.summed()
        contributions[name] = part.new_zeros(steps, *part.shape)
        contributions[name][back.t - 1] = part
    return Explanation(
        t=back.t,
        loss=criterion_name(criterion),
        error=back.error,
        gradient={name: parts.sum(0) for name, parts in contributions.items()},
        contributions=contributions,
        deltas=by_layer(lambda layer: layer.walk.delta),
        state_gradients=by_layer(lambda layer: layer.walk.dh),
        output_gradient=shown(back.dz),
        input_gradients=by_layer(lambda layer: layer.dx),
        recurrent_gradients=by_layer(lambda layer: layer.over_s),
        cell_gradients=by_layer(lambda layer: layer.over_c),
        draw=partial(unfolded_svg, net),
    )
