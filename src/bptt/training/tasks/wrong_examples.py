"""Test sequences that a classifier predicts wrongly, for a report to draw."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..data.labelled import Labelled
from .task import WrongExample

MOST = 12  # sequences
MOST_COLUMNS = 4  # of each
MOST_STEPS = 200  # of each column; of longer ones every few


def wrong_examples(data: Labelled, places: list[int], probabilities: Tensor) -> list[WrongExample]:
    """Those of the sequences in some places that are predicted wrongly, the most certain first.

    Args:
        data: all sequences.
        places: the numbers of the test sequences.
        probabilities: of the classes, (N, K), for all sequences.
    """
    most, number = (found.tolist() for found in probabilities.max(-1))
    wrong = [place for place in places if data.classes[number[place]] != data.labels[place]]
    shown = sorted(wrong, key=lambda place: -most[place])[:MOST]
    return [
        WrongExample(
            data.names[place],
            str(data.labels[place]),
            data.classes[number[place]],
            round(most[place], 4),
            _columns(data.sequences[place]),
        )
        for place in shown
    ]


def _columns(sequence: np.ndarray) -> list[list[float | None]]:
    some = sequence[:: -(-len(sequence) // MOST_STEPS), :MOST_COLUMNS].T.tolist()
    return [[float(f"{value:.5g}") if np.isfinite(value) else None for value in column] for column in some]
