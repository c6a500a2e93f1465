import dataclasses
import re

import pytest
import torch

import bptt
from bptt.insight.diagnosis.input_memory import InputMemory
from bptt.insight.diagnosis.layers import diagnose_layer
from bptt.insight.diagnosis.verdict import Verdict, reason, verdict
from bptt.insight.plain_models import record_layers
from support import normal


def flat(records):
    return [walk for of_layer in records for walk in of_layer]


def layer(module=None, g=0.5, lags=30, **changes):
    """A layer whose gradient changes by g a step."""
    module = module or bptt.RNN(1, 3)
    (walk,) = flat(record_layers(bptt.SequenceModel(module, 1).double(), normal(40, 1))[1])
    by_lag = g ** torch.arange(lags + 1, dtype=torch.float64)
    return dataclasses.replace(diagnose_layer("l0", walk, by_lag, lags), **changes)


def memory(lag):
    return InputMemory(lag, [0, 30], [0.1, 0.9])


@pytest.mark.parametrize(
    ("g", "need", "enough", "words"),
    [
        (0.5, None, None, "vanishes: all but 1 % of it comes from the last 6 steps; how far .* not known"),
        (0.5, 6, True, "Nothing to mend.* last 6 steps, and the data needs about 6 steps"),
        (0.5, 7, False, "vanishes.* the data needs about 7 steps"),
        (0.5, 1, True, "about 1 step[.]"),
        (0.5, 0, True, "x_t alone"),
        (1.0, None, None, "Nothing is wrong.* vanishes nor explodes[.]"),
        (1.0, 30, True, "the data needs about 30 steps[.]"),
        (1.0, 2, True, "the data needs about 2 steps: less memory would do"),
        (1.0, 35, None, "within 30 steps .*, and the data needs about 35 steps[.]"),
        (1.3, 7, True, "explodes: 30 steps back it has grown 2.62e[+]03-fold"),
    ],
)
def test_one_layer_beside_the_data(g, need, enough, words):
    found = verdict([layer(g=g)], memory(need), False, 40, 30)
    assert found.enough is enough
    assert re.search(words, found.sentence), found.sentence


@pytest.mark.parametrize(
    ("kind", "enough", "severity"),
    [
        ("healthy", True, "fine"),
        ("healthy", None, "fine"),
        ("vanishing", True, "fine"),
        ("vanishing", None, "note"),
        ("vanishing", False, "warning"),
        ("exploding", True, "warning"),
        ("no gradient", None, "warning"),
        ("non-finite", None, "warning"),
    ],
)
def test_only_what_costs_something_is_a_warning(kind, enough, severity):
    assert Verdict(kind, "", enough).severity == severity


def test_the_worst_layer_speaks_and_is_named():
    healthy, fading, growing = layer(g=1.0), layer(g=0.5, layer="l1"), layer(g=1.3, layer="l2")
    assert "in l1 " in verdict([healthy, fading], None, False, 40, 30).sentence
    assert "in l2:" in verdict([healthy, fading, growing], None, False, 40, 30).sentence
    dead = layer(layer="l0", kind="no gradient")
    assert verdict([dead, growing], None, False, 40, 30).kind == "no gradient"
    assert verdict([healthy], None, True, 40, 30).kind == "no gradient"


def test_the_reasons():
    assert "spectral radius is 0.5" in reason(layer(spectral_radius={"W_s": 0.5}))
    assert "slopes shrink more" in reason(layer(spectral_radius={"W_s": 1.5}, saturated=0.1))
    assert "50% of its units are saturated" in reason(layer(saturated=0.5))
    assert "update gate keeps 0." in reason(layer(bptt.GRU(1, 3)))
    assert "forget gate keeps 0." in reason(layer(bptt.LSTM(1, 3)))
    assert "multiplied by" in reason(layer(g=1.0))
    assert "nothing back" in reason(layer(kind="no gradient"))
    assert "above 0" in reason(layer(g=1.3, exponents=torch.tensor([0.3])))
    assert "for a while" in reason(layer(g=1.3, exponents=torch.tensor([-0.3])))
