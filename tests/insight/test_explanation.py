import json

import torch

import bptt
from bptt.insight.explanation import Explanation
from support import normal


def test_it_is_plain_data_that_shows_itself():
    net = bptt.Elman(2, 3, 1, dtype=torch.float64)
    e = bptt.explain(net, normal(3, 2), normal(3, 1, seed=1))
    assert isinstance(e, Explanation)
    numbers = json.loads(json.dumps(e.numbers()))
    assert "draw" not in numbers
    assert numbers["output_gradient"] == e.output_gradient.tolist()
    assert str(e).startswith("E_3 = ")
    assert e._repr_html_().count("<svg") == 1
