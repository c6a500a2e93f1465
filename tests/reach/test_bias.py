import pytest
import torch
from torch import nn

from bptt.reach.bias import truncation_bias
from support import mean_square, normal
from zoo import MAKERS, laid_out, model_of


@pytest.mark.parametrize("name", MAKERS)
def test_with_all_steps_there_is_none(name):
    model, module = model_of(name)
    x = laid_out(model, normal(13, 2, 3))
    d = torch.tanh(normal(*model(x, None)[0].shape, seed=1))
    rows = truncation_bias(model, x, d, mean_square, k1=3)
    assert [row.k2 for row in rows] == [3, 6, 12, 13]
    assert rows[-1].cosine == pytest.approx(1, abs=1e-12)
    assert rows[-1].norm_ratio == pytest.approx(1, abs=1e-12)
    assert abs(rows[0].cosine - 1) > 1e-6, "cut short it points elsewhere"
    assert all(w.grad is None for w in module.parameters())


def test_the_figures_are_those_of_gradients_by_hand():
    gru, x, d = nn.GRU(2, 3).double(), normal(10, 1, 2), normal(10, 1, 3)
    weights = list(gru.parameters())

    def flat(gradients):
        return torch.cat([g.flatten() for g in gradients])

    y, _ = gru(x)
    full = flat(torch.autograd.grad(mean_square(y[:5], d[:5]) + mean_square(y[5:], d[5:]), weights))
    first, h = gru(x[:5])
    second, _ = gru(x[5:], h.detach())
    cut = flat(torch.autograd.grad(mean_square(first, d[:5]) + mean_square(second, d[5:]), weights))
    (row,) = truncation_bias(gru, x, d, mean_square, k1=5, k2s=[5])
    assert row.cosine == pytest.approx((cut @ full / cut.norm() / full.norm()).item(), abs=1e-12)
    assert row.norm_ratio == pytest.approx((cut.norm() / full.norm()).item(), abs=1e-12)


def test_refused():
    gru, x, d = nn.GRU(2, 3), torch.zeros(6, 1, 2), torch.zeros(6, 1, 3)
    for change, error, words in (
        ({"k1": 0}, ValueError, "k1 must be at least 1"),
        ({"k1": 4, "k2s": [8, 3]}, ValueError, "k2=3 is less than k1=4"),
        ({"x": iter([x]), "d": iter([d])}, TypeError, "x comes in chunks"),
        ({"criterion": lambda y, d: 0 * y.sum()}, ValueError, "the full gradient is zero"),
        ({"criterion": lambda y, d: y.sum() / 0}, ValueError, "the full gradient is not finite"),
        ({"x": x[:, :0], "d": d[:, :0]}, ValueError, "holds no sequence"),
        ({"x": x.clone().requires_grad_()}, ValueError, "x requires gradients"),
        ({"k2s": []}, ValueError, "k2s is empty"),
        ({"k2s": 40}, TypeError, "k2s must be several ints"),
    ):
        with pytest.raises(error, match=words):
            truncation_bias(**{"model": gru, "x": x, "d": d, "criterion": mean_square, **change})


class Noisy(nn.Module):
    """Draws numbers and changes a buffer."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 3, num_layers=2, dropout=0.5)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x, state=None):
        y, state = self.gru(x, state)
        return self.norm(y.flatten(0, 1)).view_as(y), state


def test_it_leaves_no_trace():
    model, x, d = Noisy(), normal(9, 2, 2, dtype=torch.float32), normal(9, 2, 3, dtype=torch.float32)
    state, generator = torch.zeros(2, 2, 3), torch.get_rng_state()
    rows = truncation_bias(model, x, d, mean_square, k1=3, k2s=(k2 for k2 in (3, 9)), state=state)
    assert [row.k2 for row in rows] == [3, 9]
    assert torch.equal(torch.get_rng_state(), generator)
    assert model.norm.num_batches_tracked == 0
    assert model.norm.running_mean.tolist() == [0, 0, 0]
    assert (state == 0).all()
