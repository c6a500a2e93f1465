import math

import pytest

from bptt.report.losses import simple_losses
from bptt.training.tasks.scores import LINEAR
from bptt.training.tasks.task import ACCURACY, Judged, Measure


def test_a_forecasts_baselines_are_their_relative_variances():
    scores = {"ours": {"a": 0.1, "mean": 0.2}, "persistence": {"a": 0.5, "mean": 0.6}, "published": {"a": 0.3}}
    assert simple_losses(Judged(scores), False) == {"persistence": 0.6}


def test_beside_a_linear_part_they_are_relative_to_what_it_leaves():
    scores = {"ours": {"a": 0.1}, LINEAR: {"a": 0.25}, "persistence": {"a": 0.5}}
    assert simple_losses(Judged(scores), False) == {LINEAR: 1.0, "persistence": 2.0}


@pytest.mark.parametrize(
    ("balanced", "nats"), [(True, math.log(2)), (False, 2 * math.log(2) - 0.75 * math.log(3))]
)
def test_a_class_is_guessed_by_its_frequency(balanced, nats):
    judged = Judged({"ours": {"test": 1.0}}, measure=ACCURACY, confusion=[[2, 1], [1, 0]])
    assert list(simple_losses(judged, balanced).values()) == [pytest.approx(nats)]


def test_bits_of_a_text_become_nats():
    measure = Measure("bits_per_character", "bits per character", "less", "")
    judged = Judged({"ours": {"test": 3.0}, "xz": {"validation": 2.0, "test": 1.0}}, measure=measure)
    assert simple_losses(judged, False) == {"xz": pytest.approx(2 * math.log(2))}
