import pytest
import torch

import bptt
from bptt.insight.flows import Flow, flows, folded_flows, percent
from support import normal


def explained(net, T=4, t=None):
    return bptt.explain(net, normal(T, 2), normal(T, 1, seed=1), t)


def test_an_edge_carries_the_gradient_of_its_start():
    net = bptt.Elman(2, 3, 1, dtype=torch.float64)
    e = explained(net)
    over = flows(net, e)
    for k in (1, 2, 3):
        assert over[f"s_{k}→s_{k + 1}"].norm == pytest.approx(e.state_gradient[k - 1].norm().item())
        dx = e.delta[k - 1] @ net.W_x.detach().T
        assert over[f"x_{k}→s_{k}"].norm == pytest.approx(dx.norm().item())
    assert over["s_4→y_4"].part == pytest.approx(1.0)
    for name, matrix in (("x_4→s_4", "W_x"), ("s_3→s_4", "W_s"), ("s_4→y_4", "W_y")):
        part = e.contributions[matrix][3]
        assert f"{matrix} at step 4: norm {part.norm().item():.3g} of ∂E_4/∂{matrix}" in over[name].title


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_what_flows_into_a_state_is_what_its_edges_carry(kind):
    model = bptt.SequenceModel(getattr(bptt, kind)(2, 3, 2, dtype=torch.float64), 1).double()
    e = explained(model)
    for layer, above in (("l0", "l1"), ("l1", None)):
        total = e.recurrent_gradients[layer].clone()
        if above is not None:
            total += e.input_gradients[above]
        else:
            total[-1] += e.output_gradient @ model.readout.weight.detach()
        assert torch.allclose(total, e.state_gradients[layer])
    assert set(e.cell_gradients) == ({"l0", "l1"} if kind == "LSTM" else set())


def test_an_lstms_cell_state_carries_the_gradient_that_autograd_finds():
    model = bptt.SequenceModel(bptt.LSTM(2, 3, dtype=torch.float64), 1).double()
    x, d = normal(4, 2), normal(4, 1, seed=1)
    e = bptt.explain(model, x, d)
    h, c = torch.zeros(1, 3, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)
    states = []
    for k in range(4):
        c = c.detach().requires_grad_() if k == 2 else c
        states.append(c)
        _, (h, c) = model.recurrent(x[k : k + 1], (h, c))
    error = (d[3] - model.readout(h[0])).square().sum()
    # of c_2, with h_2 held: what step 3 hands back over the cell state
    (found,) = torch.autograd.grad(error, states[2])
    assert torch.allclose(e.cell_gradients["l0"][1], found[0])


def test_folded_edges_carry_whole_gradients():
    net = bptt.Elman(2, 3, 1, dtype=torch.float64)
    e = explained(net)
    over = folded_flows(net, e)
    norms = {name: gradient.norm().item() for name, gradient in e.gradient.items()}
    assert sorted(flow.norm for flow in over.values()) == pytest.approx(sorted(norms.values()))
    assert max(flow.part for flow in over.values()) == 1.0


def test_kinds_and_percentages():
    assert [Flow(1.0, part, "").kind for part in (3.0, 0.5, 0.05, 0.005)] == ["grown", "strong", "weak", "dead"]
    assert [percent(part) for part in (0.483, 0.003, 2e-7)] == ["48 %", "0.3 %", "2e-05 %"]
