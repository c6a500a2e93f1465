import numpy as np
import torch

from bptt.training.data.labelled import Labelled
from bptt.training.tasks.wrong_examples import MOST, wrong_examples


def labelled(*sequences, labels):
    names = [f"s{place}" for place in range(len(sequences))]
    return Labelled("d", ["c"], names, list(sequences), labels, ["down", "up"])


def test_the_most_certain_errors_among_the_places_come_first():
    data = labelled(
        *[np.full((2, 1), float(place)) for place in range(5)], labels=["up", "up", "down", "up", "up"]
    )
    up = torch.tensor([0.4, 0.1, 0.3, 0.9, 0.2])
    found = wrong_examples(data, [0, 1, 2, 3], torch.stack([1 - up, up], 1))
    assert [one.name for one in found] == ["s1", "s0"]
    assert (found[0].truth, found[0].predicted, found[0].probability) == ("up", "down", 0.9)
    assert found[0].values == [[1.0, 1.0]]


def test_many_long_wide_sequences_are_thinned():
    long = np.arange(5 * 450.0).reshape(450, 5)
    long[3, 1] = np.nan
    data = labelled(*[long] * (MOST + 1), labels=["up"] * (MOST + 1))
    found = wrong_examples(data, list(range(MOST + 1)), torch.tensor([[0.8, 0.2]]).expand(MOST + 1, 2))
    assert len(found) == MOST
    assert [len(column) for column in found[0].values] == [150] * 4
    assert found[0].values[0][:3] == [0.0, 15.0, 30.0]
    assert found[0].values[1][1] is None
