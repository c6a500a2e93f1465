import itertools

import pytest

import bptt
from bptt.insight.lesson.edges import UnfoldedNetwork
from bptt.insight.lesson.layout import RADIUS, folded, unfolded
from bptt.insight.lesson.notation import plain
from bptt.insight.text_tables import stretches

NETS = {
    "elman": lambda: bptt.Elman(2, 3, 1),
    "lstm": lambda: bptt.SequenceModel(bptt.LSTM(2, 3, 2), 1),
    "both": lambda: bptt.SequenceModel(bptt.LSTM(2, 3, 2, bidirectional=True), 1),
}


@pytest.mark.parametrize("name", list(NETS))
@pytest.mark.parametrize("steps", [1, 3, 40])
def test_everything_is_inside_and_apart_and_every_edge_is_named_once(name, steps):
    net = NETS[name]()
    whole, one = UnfoldedNetwork(net, range(1, steps + 1), steps), UnfoldedNetwork(net, ["t"], "t")
    for layout in (unfolded(whole, stretches(steps, steps, 9, 3)), folded(one)):
        width, height = layout.size.real, layout.size.imag
        for node in layout.nodes:
            assert RADIUS - 12 <= node.at.real <= width - RADIUS + 12
            assert 19 <= node.at.imag <= height - RADIUS
        for one, other in itertools.combinations(layout.nodes, 2):
            assert abs(one.at - other.at) > 2 * RADIUS, (one.latex, other.latex)
        names = [edge.name for edge in layout.edges]
        assert len(names) == len(set(names))
        for edge in layout.edges:
            for point in (*(edge.line.at(i / 8) for i in range(9)), *(edge.back.at(i / 8) for i in range(9))):
                assert 0 <= point.real <= width, edge.name
                assert 0 <= point.imag <= height, edge.name


def test_edges_join_the_nodes_they_name():
    net = bptt.SequenceModel(bptt.GRU(2, 3, 2, bidirectional=True), 1)
    layout = unfolded(UnfoldedNetwork(net, range(1, 5), 2), stretches(4, 2, 9))
    at = {plain(node.latex): node.at for node in layout.nodes}
    for edge in layout.edges:
        start, end = edge.name.split("→")
        assert abs(edge.line.start - at[start]) < RADIUS + 3, edge.name
        assert abs(edge.line.end - at[end]) < RADIUS + 3, edge.name
        assert abs(edge.back.start - at[end]) < RADIUS + 5, edge.name


def test_an_error_only_above_its_own_step():
    layout = unfolded(UnfoldedNetwork(bptt.Elman(2, 3, 1), range(1, 6), 3), stretches(5, 3, 9))
    assert [n.latex for n in layout.nodes if n.latex.startswith("E")] == ["E_3"]
    assert [n.latex for n in layout.nodes if n.idle] == ["y_1", "y_2", "y_4", "y_5"]
