import numpy as np
import pytest

from bptt.training.tasks import neighbours
from bptt.training.tasks.neighbours import euclidean_neighbours, warped_neighbours

STEPS = np.arange(30)


def bump(at):
    return np.exp(-((STEPS - at) ** 2) / 4.0)[:, None]


def warped_one_by_one(a, b, band):
    """The distance by its definition."""
    T = len(a)
    D = np.full((T + 1, T + 1), np.inf)
    D[0, 0] = 0
    for i in range(T):
        for j in range(max(0, i - band), min(T, i + band + 1)):
            D[i + 1, j + 1] = np.square(a[i] - b[j]).sum() + min(D[i, j], D[i, j + 1], D[i + 1, j])
    return D[T, T]


@pytest.mark.parametrize(("steps", "band"), [(1, 1), (2, 1), (7, 1), (7, 3), (8, 8)])
def test_warping_is_that_of_the_definition(steps, band):
    generator = np.random.default_rng(steps)
    a, b = (generator.normal(size=(count, steps, 2)) for count in (3, 4))
    wanted = [[warped_one_by_one(x, y, band) for y in b] for x in a]
    assert np.allclose(neighbours._warped(a, b, band), wanted)


def test_warping_finds_what_is_shifted_and_step_by_step_does_not():
    known, asked = [bump(9), 0.4 * bump(12)], [bump(12)]
    assert euclidean_neighbours(known, asked).tolist() == [1]
    assert warped_neighbours(known, asked).tolist() == [0]


def test_other_lengths_are_stretched():
    known = [np.sin(np.linspace(0, end, 40))[:, None] for end in (3, 6, 9)]
    asked = [np.sin(np.linspace(0, end, steps))[:, None] for end, steps in ((9, 25), (3, 11), (6, 70))]
    assert euclidean_neighbours(known, asked).tolist() == [2, 0, 1]
    assert warped_neighbours(known, asked).tolist() == [2, 0, 1]


def test_nothing_is_warped_that_would_take_long(monkeypatch):
    monkeypatch.setattr(neighbours, "MOST", 100)
    assert warped_neighbours([bump(3)], [bump(4)]) is None


def test_parts_of_the_asked_are_computed_alike(monkeypatch):
    known, asked = [bump(at) for at in (5, 15, 25)], [bump(at) for at in (6, 14, 26, 16)]
    monkeypatch.setattr(neighbours, "TOGETHER", 1)
    assert warped_neighbours(known, asked).tolist() == [0, 1, 2, 1]
