import pytest

from bptt.equations import ACTIVATIONS, ElmanEquations, GRUEquations, LSTMEquations
from bptt.export.graph import Graph
from bptt.export.layers import check_exportable, layer
from support import SINE
from support import layer as drawn

CASES = {
    **{
        name: (ElmanEquations(ACTIVATIONS[name]), "RNN")
        for name in ("tanh", "relu", "sigmoid", "softplus", "identity")
    },
    "gelu": (ElmanEquations(ACTIVATIONS["gelu"]), "Scan"),
    "leaky": (ElmanEquations(leak=0.5), "Scan"),
    "gru": (GRUEquations(), "GRU"),
    "lstm": (LSTMEquations(), "LSTM"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_onnx_has_a_node_for_is_one_node(name):
    cell, operator = CASES[name]
    g = Graph()
    state, weights = drawn(cell, 2, 3, 4, grad=False)
    y, final = layer(g, cell, "x", [f"s_{i}" for i in range(len(state))], [weights])
    assert [node.op_type for node in g.nodes].count(operator) == 1
    assert len({y, *final}) == 1 + len(state)


def test_a_projection_is_a_scan():
    g = Graph()
    _, weights = drawn(LSTMEquations(), 2, 3, 4, R=2, grad=False)
    layer(g, LSTMEquations(), "x", ["h", "c"], [weights])
    assert [node.op_type for node in g.nodes].count("Scan") == 1


def test_an_activation_of_ones_own_is_refused():
    with pytest.raises(ValueError, match="'sine' is a Python function"):
        check_exportable(ElmanEquations(SINE))
    check_exportable(ElmanEquations())
