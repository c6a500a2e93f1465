"""A trained network beside the linear part, with the share that validation gives it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch

from ...forecast_model import ForecastModel
from ...networks import SequenceModel
from ..transfer import device_of
from .linear_part import rows_spanned, share_of
from .series import Series
from .task import WholeModel


def whole_of(parts: Sequence[Series], network: SequenceModel) -> WholeModel:
    """A network trained on series beside the linear path to all their training steps; without one, itself.

    Its share is what the validation steps of all series say, those at one time in one block.
    """
    paths, held_out = parts[0].paths, [part.held_out(network) for part in parts]
    if paths is None:
        return WholeModel(network, held_out)
    whole = ForecastModel(copy.deepcopy(paths.final).to(device_of(network)), network)
    validated = {place: part for place, part in enumerate(parts) if part.has_validation}
    if validated:
        y, d = map(np.concatenate, zip(*(held_out[place] for place in validated), strict=True))
        at = most = None
        if len(validated) > 1:
            times = [part.held_out_times() for part in validated.values()]
            at = np.unique(np.array([*chain(*times)], dtype=object), return_inverse=True)[1]
            most = rows_spanned(np.split(at, np.cumsum([len(own) for own in times])[:-1]))
        shares = [share_of(y[:, k], d[:, k], ahead, at, most) for k, (_, ahead) in enumerate(parts[0].outputs)]
        whole.share.copy_(torch.tensor(shares, device="cpu"))
    return WholeModel(whole, held_out)
