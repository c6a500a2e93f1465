"""How far back the gradient reaches: its size by lag, over all steps of a sequence at once."""

from __future__ import annotations

import torch
from torch import Tensor

from .walks import Loss, Network, error_and_adjoint, into_hidden, record, walk_back


def gradient_by_lag(
    net: Network,
    x: Tensor,
    d: Tensor,
    loss: Loss = "squared_error",
    lags: int = 40,
    most: int = 512,
) -> dict[str, Tensor]:
    """The mean over steps t of ‖∂E_t/∂s_{t-lag}‖, for each layer.

    Every error is taken back on its own, exactly, all of them side by side as one batch.

    Args:
        net: a `bptt.Elman` or a unidirectional `bptt.SequenceModel`.
        x: one sequence, (T, I).
        d: what was desired at every step, laid out as y.
        loss: as `bptt.explain` takes it; a callable must be a sum over steps.
        lags: the longest lag; shortened to T - 1. Default 40.
        most: how many steps t are taken at most, spread evenly over those that have an error. Default 512.

    Returns:
        by layer ("l0", "l1", ...) a tensor (lags + 1); entry 0 is ‖∂E_t/∂s_t‖.

    Raises:
        ValueError: x is batched, or a direction walks backwards in time.
    """
    if x.dim() != 2:
        raise ValueError(f"x must be one sequence (T, I), got {tuple(x.shape)}")
    h, records = record(net, x)
    if len(records[0]) != 1:
        raise ValueError("a bidirectional network has no lag: its error reaches later steps as well")
    _, dz = error_and_adjoint(net, h, d, loss)
    dh = into_hidden(net, dz)
    T = len(x)
    lags = min(lags, T - 1)
    able = torch.arange(lags, T, device=x.device)
    able = able[dh[lags:].any(-1)] if dh[lags:].any() else able  # the steps that have an error, if any has
    ends = able[torch.linspace(0, len(able) - 1, min(most, len(able)), device=x.device).round().long()]
    steps = ends + torch.arange(-lags, 1, device=x.device)[:, None]  # (lags+1, windows): each column a window
    d_outputs = dh.new_zeros(lags + 1, len(ends), dh.shape[-1])
    d_outputs[-1] = dh[ends]
    walks = walk_back([[r.windows(steps)] for (r,) in records], d_outputs)
    return {walk.layer: walk.dh.norm(dim=-1).mean(1).flip(0) for walk in walks}
