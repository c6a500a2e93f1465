import pytest

import bptt
from bptt.insight.lesson.edges import UnfoldedNetwork
from bptt.insight.lesson.notation import letters, plain


def path(net, t, T, node):
    return list(UnfoldedNetwork(net, range(1, T + 1), t).between(node))


def test_the_lessons_path():
    net = bptt.Elman(2, 3, 1)
    assert path(net, 3, 5, "s_1") == ["y_3→E_3", "s_3→y_3", "s_2→s_3", "s_1→s_2"]
    assert path(net, 3, 5, "s_4") == []


def test_a_cell_state_has_edges_of_its_own():
    assert path(bptt.SequenceModel(bptt.LSTM(2, 3), 1), 2, 2, "s_1")[2:] == ["s_1→s_2", "c_1→c_2"]


def nodes_of(model, T):
    """Every edge as a pair of nodes, laid down as the modules walk."""
    signs = letters(model)
    for k in range(1, T + 1):
        for layer, directions in enumerate(signs):
            for at in directions:
                if 1 <= k + at.back <= T:
                    yield at.before("s", k), at("s", k)
                for below in signs[layer - 1] if layer else []:
                    yield below("s", k), at("s", k)
        for at in signs[-1]:
            yield at("s", k), f"y_{k}"
        yield f"y_{k}", f"E_{k}"


def reached(pairs, start):
    found, more = {start}, [start]
    while more:
        node = more.pop()
        new = {b for a, b in pairs if a == node} - found
        found |= new
        more += new
    return found


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("both", [False, True])
def test_they_are_the_edges_between_the_two_ends(layers, both):
    model, T = bptt.SequenceModel(bptt.GRU(2, 3, layers, bidirectional=both), 1), 4
    pairs = list(nodes_of(model, T))
    for t in (1, 3):
        before = reached([(b, a) for a, b in pairs], f"E_{t}")
        for at in (at for directions in letters(model) for at in directions):
            for k in range(1, T + 1):
                after = reached(pairs, at("s", k))
                wanted = {f"{plain(a)}→{plain(b)}" for a, b in pairs if a in after and b in before}
                found = path(model, t, T, at("s", k))
                assert sorted(found) == sorted(wanted), (t, at, k)
