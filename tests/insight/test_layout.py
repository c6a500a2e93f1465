import math

import pytest

import bptt
from bptt.insight.layout import RADIUS, folded, unfolded


def networks():
    yield bptt.Elman(2, 3, 1)
    for kind in ("GRU", "LSTM"):
        for layers, both in ((1, False), (2, False), (2, True)):
            yield bptt.SequenceModel(getattr(bptt, kind)(2, 3, layers, bidirectional=both), 1)


@pytest.mark.parametrize("net", list(networks()), ids=lambda net: type(getattr(net, "recurrent", net)).__name__)
@pytest.mark.parametrize("kind", ["unfolded", "folded"])
def test_nodes_lie_apart_and_inside_the_picture(net, kind):
    layout = folded(net, "t") if kind == "folded" else unfolded(net, [range(k, k + 1) for k in (1, 2, 3)], 3)
    width, height = layout.size
    places = [node.at for node in layout.nodes]
    for i, (x, y) in enumerate(places):
        assert 0 < x < width
        assert 0 < y < height
        for other in places[i + 1 :]:
            assert math.dist((x, y), other) > RADIUS, layout.nodes[i].latex
    names = [edge.name for edge in layout.edges]
    assert len(names) == len(set(names))


def test_a_fold_takes_one_column():
    net = bptt.Elman(2, 3, 1)
    long = unfolded(net, [range(1, 2), range(2, 100), range(100, 101)], 100)
    short = unfolded(net, [range(k, k + 1) for k in (1, 2, 3)], 3)
    assert long.size[0] <= short.size[0] * 1.2
    assert [len(fold.steps) for fold in long.folds] == [98]
