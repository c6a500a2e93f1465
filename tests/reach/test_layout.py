from functools import partial

import pytest
from torch import nn

import bptt
from bptt.reach.layout import batch_firsts, roots_of

GRU = nn.GRU(1, 1)


def by_global(x, state):
    return GRU(x, state)


def by_another(x, state):
    return by_global(x, state)


class Holder:
    def __init__(self, module):
        self.module = module

    def __call__(self, x, state):
        return self.module(x, state)

    def walk(self, x, state):
        return self.module(x, state)


class Caller:
    def __call__(self, x, state):
        return GRU(x, state)


def around(module):
    return lambda x, state: module(x, state)


@pytest.mark.parametrize(
    "model",
    [
        GRU,
        GRU.forward,
        by_global,
        by_another,
        around(GRU),
        around(around(GRU)),
        partial(lambda module, x, state: module(x, state), GRU),
        partial(around(GRU)),
        Holder(GRU),
        Holder(GRU).walk,
        Caller(),
    ],
)
def test_the_module_behind_a_model(model):
    assert roots_of(model) == [GRU]


def test_where_there_is_none():
    assert roots_of(lambda x, state: (x, state)) == []
    assert roots_of(max) == []


class Model(nn.Module):
    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def test_the_outermost_that_say_so():
    first = nn.LSTM(1, 1, batch_first=True)
    assert batch_firsts(first) == [("LSTM", True)]
    assert batch_firsts(bptt.SequenceModel(bptt.GRU(1, 1), 1)) == [("SequenceModel", False)]
    inner = Model(lower=first, upper=bptt.GRU(1, 1))
    assert batch_firsts(Model(core=inner, out=nn.Linear(1, 1))) == [
        ("core.lower (LSTM)", True),
        ("core.upper (GRU)", False),
    ]
    inner.batch_first = False
    assert batch_firsts(Model(core=inner)) == [("core (Model)", False)]


def test_attention_says_nothing_of_time():
    assert batch_firsts(Model(a=nn.MultiheadAttention(2, 1), b=nn.TransformerEncoderLayer(2, 1))) == []
