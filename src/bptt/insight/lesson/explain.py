"""Each earlier step's contribution to the gradient of one error, the lesson's question, in numbers.

The forward pass is recorded; then the error at step t alone is backpropagated by the same adjoint that trains the
network, and the products with `delta` are kept per step, not summed (Werbos 1990, equations 8-13).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, overload

import torch
from torch import Tensor

from ...equations import LSTMEquations
from ...losses import squared_error
from ..plain_models import Criterion, factors_by_name, readout_factors
from ..recorder.record import Walks
from ..walks_or_model import or_of_walks
from .backward import ErrorBackward, backward_of_error, criterion_name, over_cell_state
from .chosen_walk import WalkPlace, backward_of_walk, linearized_loss
from .drawing import unfolded_svg
from .explanation import Explanation
from .notation import DrawnNetwork, LessonNetwork, WalkedModule, letters


def _explain_walk(
    walks: Walks,
    loss: Tensor,
    *,
    t: int | None = None,
    module: str | None = None,
    loop: int | None = None,
    sequence: int | None = None,
) -> Explanation:
    place = WalkPlace(module, loop, sequence)
    return explanation_of(*backward_of_walk(walks, loss, t, place), linearized_loss)


@overload
def explain(
    walks: Walks,
    loss: Tensor = ...,
    *,
    errors: Tensor = ...,
    t: int | None = None,
    module: str | None = None,
    loop: int | None = None,
    sequence: int | None = None,
) -> Explanation: ...
@overload
def explain(
    model: LessonNetwork, x: Tensor, d: Tensor, criterion: Criterion = squared_error, *, t: int | None = None
) -> Explanation: ...
@or_of_walks(_explain_walk)
def explain(
    model: LessonNetwork, x: Tensor, d: Any, criterion: Criterion = squared_error, *, t: int | None = None
) -> Explanation:
    """Split the gradient of E_t, the error at one step, by the steps that contributed to it.

    Of any model: ``explain(walks, loss, module="encoder.rnn")``, with the walks of `bptt.record` and the loss, or
    ``errors=``, as `bptt.contributions` takes them. The network is then the recurrent module from its own input
    on, y_t = s_t, and E_t is the part of the loss whose gradient enters step t of its output from above, linear in
    y_t.

    The network is explained without dropout; its weights and their .grad stay as they are.

    Args:
        model: a `bptt.Elman` or `bptt.SequenceModel`, or the walks of a recorded model.
        x: the input, as the network takes it: (T, I) or batched.
        d: the target of every step, laid out as y; class numbers lack y's last axis.
        criterion: (y_t, d_t) -> scalar: `bptt.squared_error`, the default; `bptt.cross_entropy`, which takes what
            is before a softmax; or any other function.
        t: the step whose error is explained, 1 to T. Default T, the last; of walks the last where errors enter.
        module: of walks, the recurrent module's name. Default the only one.
        loop: of walks, which of its loops, as in `ModelContributions`, from 0. Default the only one.
        sequence: of walks, which sequence of the batch, from 0. Default the first.

    Returns:
        the error, the gradients and their parts; print it.

    Raises:
        TypeError: model or criterion is of another type.
        ValueError: t is outside 1..T, d does not fit y, or the error is no scalar; of walks, there is no such
            walk, or its errors enter elsewhere than at its output.

    >>> import torch
    >>> from bptt import Elman
    >>> net = Elman(2, 3, 1)
    >>> e = explain(net, torch.ones(4, 2), torch.zeros(4, 1), t=3)
    >>> tuple(e.contributions["W_s"].shape)
    (3, 3, 3)
    """
    back = backward_of_error(model, x, d, criterion, t)
    return explanation_of(model, back, criterion, one_sequence=x.dim() == 2)


@torch.no_grad()
def explanation_of(
    net: DrawnNetwork, back: ErrorBackward, criterion: Criterion, *, one_sequence: bool = True
) -> Explanation:
    """A backward pass as an explanation; of one sequence its tensors have no batch axis."""
    walks = back.walks
    contributions = {
        name: factor.by_step() for name, factor in factors_by_name(net.row_vectors, list(walks.values())).items()
    }
    of_readout = {} if isinstance(net, WalkedModule) else readout_factors(net, back.dz, back.h_t)
    for name, factor in of_readout.items():
        part = factor.summed()
        contributions[name] = part.new_zeros(len(back.d_outputs), *part.shape)
        contributions[name][back.t - 1] = part
    of_lstms = ((name, walk) for name, walk in walks.items() if isinstance(walk.record.cell, LSTMEquations))
    dx = {name: walk.delta @ walk.record.weights.W_ih for name, walk in walks.items()}

    def by_layer(rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: rows[name].squeeze(-2) if one_sequence else rows[name] for name in walks if name in rows}

    return Explanation(
        t=back.t,
        loss=criterion_name(criterion),
        error=back.error,
        gradient={name: parts.sum(0) for name, parts in contributions.items()},
        contributions=contributions,
        deltas=by_layer({name: walk.delta for name, walk in walks.items()}),
        state_gradients=by_layer({name: walk.dh for name, walk in walks.items()}),
        output_gradient=back.dz.squeeze(-2) if one_sequence else back.dz,
        input_gradients=by_layer(dx),
        recurrent_gradients=by_layer(_over_states(net, back, dx)),
        cell_gradients=by_layer({name: over_cell_state(walk) for name, walk in of_lstms}),
        draw=partial(unfolded_svg, net),
    )


def _over_states(net: DrawnNetwork, back: ErrorBackward, dx: dict[str, Tensor]) -> dict[str, Tensor]:
    """The part of ∂E_t/∂s_k that comes from the step after k, by layer: all but what enters from above."""
    found, entering = {}, back.d_outputs
    for layer in reversed(letters(net)):
        for at, share in zip(layer, entering.chunk(len(layer), -1), strict=True):
            found[at.name] = back.walks[at.name].dh - share
        entering = torch.stack([dx[at.name] for at in layer]).sum(0)
    return found
