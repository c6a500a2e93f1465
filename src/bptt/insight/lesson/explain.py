"""The lesson's question, answered with numbers: what did every step contribute to the gradient of E_t?

The forward walk is recorded, then the error at step t alone is taken back with the same adjoint that trains
the network; the products with `delta` are kept per step and not summed (Werbos 1990, equations 8-13).
"""

from __future__ import annotations

from functools import partial

from torch import Tensor

from ..walks import Loss, factors_by_name, readout_factors
from .diagram import diagram
from .edges import Network, TakenBack, take_back
from .explanation import Explanation


def explain(net: Network, x: Tensor, d: Tensor, t: int | None = None, loss: Loss = "squared_error") -> Explanation:
    """Take the error at step t back through all steps before it and say what each contributed.

    The network is explained as it is without dropout; its weights and their .grad stay as they are.

    Args:
        net: a `bptt.Elman` or `bptt.SequenceModel`.
        x: the input, as the network takes it: (T, I) or batched.
        d: what was desired at every step, laid out as y; class numbers lack y's last axis.
        t: the step whose error is explained, 1 to T. Default T, the last.
        loss: "squared_error" (of y_t), "cross_entropy" (computed from what is before the softmax), or a
            callable (y_t, d_t) -> scalar.

    Returns:
        the error, the gradients and their parts; print it.

    Raises:
        TypeError: net or loss is of another type.
        ValueError: t is outside 1..T, d does not fit y, or the loss is no scalar.

    >>> import torch
    >>> from bptt import Elman
    >>> net = Elman(2, 3, 1)
    >>> e = explain(net, torch.ones(4, 2), torch.zeros(4, 1), t=3)
    >>> tuple(e.contributions["W_s"].shape)
    (3, 3, 3)
    """
    return explained(net, take_back(net, x, d, t, loss), loss, one=x.dim() == 2)


def explained(net: Network, taken: TakenBack, loss: Loss, one: bool) -> Explanation:
    """What was taken back, as an explanation; `one` is for a sequence without a batch."""
    walks = taken.walks

    def shown(rows: Tensor) -> Tensor:
        return rows.squeeze(-2) if one else rows

    contributions = {name: factor.by_step() for name, factor in factors_by_name(net, taken.back).items()}
    for name, factor in readout_factors(net, taken.dz, taken.h_t).items():
        part = factor.summed()
        contributions[name] = part.new_zeros(len(walks[0].dh), *part.shape)
        contributions[name][taken.t - 1] = part
    return Explanation(
        t=taken.t,
        loss=loss if isinstance(loss, str) else getattr(loss, "__name__", "loss"),
        error=taken.error,
        gradient={name: steps.sum(0) for name, steps in contributions.items()},
        contributions=contributions,
        deltas={walk.layer: shown(walk.delta) for walk in walks},
        state_gradients={walk.layer: shown(walk.dh) for walk in walks},
        output_gradient=shown(taken.dz),
        input_gradients={walk.layer: shown(walk.dx) for walk in walks},
        recurrent_gradients={walk.layer: shown(walk.over_s) for walk in walks},
        cell_gradients={walk.layer: shown(walk.over_c) for walk in walks if walk.over_c is not None},
        draw=partial(_svg, net),
    )


def _svg(net: Network, e: Explanation) -> str:
    return diagram(net, "unfolded", e).svg
