import pytest
import torch

import bptt
from bptt.insight.lesson.edges import UnfoldedNetwork
from bptt.insight.lesson.flows import Flow, flows, folded_flows, percent
from bptt.insight.lesson.notation import letters
from support import normal


def explained(model, T=5, t=None):
    return bptt.explain(model, normal(T, 2), normal(T, 1, seed=1), t=t)


def unfolded(model, e):
    return UnfoldedNetwork(model, range(1, e.steps + 1), e.t)


def test_the_lessons_edges_carry_what_the_explanation_says():
    net = bptt.Elman(2, 3, 1, dtype=torch.float64)
    e = explained(net, t=3)
    over = flows(unfolded(net, e), e)
    assert set(over) == {
        *("y_3→E_3", "s_3→y_3", "s_2→s_3", "s_1→s_2"),
        *("x_1→s_1", "x_2→s_2", "x_3→s_3"),
    }
    start = e.state_gradient[2].norm().item()
    assert over["s_3→y_3"].part == pytest.approx(1)
    assert over["s_1→s_2"].part == pytest.approx(e.state_gradient[0].norm().item() / start)
    assert over["x_2→s_2"].part == pytest.approx((e.delta[1] @ net.W_x.T).norm().item() / start)
    contribution = e.contributions["W_s"][1].norm().item()
    assert f"W_s at step 2: norm {contribution:.3g} of ∂E_3/∂W_s" in over["s_1→s_2"].title


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("both", [False, True])
def test_there_is_a_flow_where_there_is_a_way_back(layers, both):
    model = bptt.SequenceModel(bptt.LSTM(2, 3, layers, bidirectional=both), 1).double()
    e = explained(model, 4, 2)
    K = 4 if both else 2
    wanted = set()
    for at in letters(model)[0]:
        for k in range(1, K + 1):
            wanted |= set(UnfoldedNetwork(model, range(1, 5), 2).between(at("s", k)))
    found = {name for name in flows(unfolded(model, e), e) if not name.startswith("x")}
    assert found == wanted


def test_kinds():
    kinds = {part: Flow(part, "").kind for part in (3, 1, 0.1, 0.05, 0.01, 0.009, 1e-7, 0.0)}
    assert list(kinds.values()) == ["grown", "strong", "strong", "weak", "weak", "faint", "dead", "dead"]


def test_no_gradient_at_all_divides_by_nothing():
    net = bptt.Elman(2, 3, 1)
    net.W_y = torch.zeros(3, 1)
    e = bptt.explain(net, torch.ones(3, 2), torch.zeros(3, 1))
    assert all(flow.part in (0.0, 1.0) for flow in flows(unfolded(net, e), e).values())


def test_folded_edges_carry_whole_gradients():
    net = bptt.Elman(2, 3, 1, dtype=torch.float64)
    e = explained(net, t=3)
    over = folded_flows(UnfoldedNetwork(net, [3], 3), e)
    norms = {name: gradient.norm().item() for name, gradient in e.gradient.items()}
    assert {name: flow.shown for name, flow in over.items()} == {
        "x_3→s_3": f"{norms['W_x']:.3g}",
        "s_2→s_3": f"{norms['W_s']:.3g}",
        "s_3→y_3": f"{norms['W_y']:.3g}",
    }
    assert over["s_2→s_3"].part == pytest.approx(norms["W_s"] / max(norms.values()))


def test_percentages():
    assert [percent(p) for p in (1, 0.476, 0.0333, 2e-7, 0.0)] == ["100 %", "48 %", "3.3 %", "2e-05 %", "0 %"]
