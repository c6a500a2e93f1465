import pytest
import torch

import bptt
from bptt.insight.lesson.backward import backward_of_error
from support import assert_close, normal


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_the_gradient_of_the_input_is_what_the_first_layers_edges_carry(kind, both):
    module = getattr(bptt, kind)(2, 3, 2, bidirectional=both, dtype=torch.float64)
    net = bptt.SequenceModel(module, 1).double()
    x, d = normal(5, 2, 2, grad=True), normal(5, 2, 1, seed=1)
    found = bptt.explain(net, x.detach(), d, t=3).input_gradients
    y, _ = net(x)
    (wanted,) = torch.autograd.grad((d[2] - y[2]).square().sum(), x)
    dx = sum(of_layer for name, of_layer in found.items() if name.startswith("l0"))
    assert_close(dx, wanted[: len(dx)], "∂E_3/∂x")
    assert list(found) == [layer + "_reverse" * way for layer in ("l0", "l1") for way in range(1 + both)]


def test_only_the_two_networks_are_taken():
    with pytest.raises(TypeError, match="got GRU; record the model as it runs"):
        backward_of_error(bptt.GRU(2, 3), torch.zeros(3, 2), torch.zeros(3, 1), bptt.squared_error)
