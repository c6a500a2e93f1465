"""The diagnosis of recurrent modules inside any model."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import bptt
from support import normal


class Forecaster(nn.Module):
    """An embedding of the inputs, a stack, a head: forward(x) returns y alone."""

    def __init__(self, kind=nn.RNN, **options):
        super().__init__()
        self.inward, self.rnn, self.head = (
            nn.Linear(2, 3),
            kind(3, 4, batch_first=True, **options),
            nn.Linear(4, 1),
        )

    def forward(self, x):
        return self.head(self.rnn(self.inward(x))[0])


def walked(model, x):
    with bptt.record(model) as walks:
        loss = model(x).square().mean()
    return walks, loss


def test_it_is_the_plain_models_diagnosis():
    """Of the same module as a plain sequence model, all but what clipping sees and what a trial shows."""
    torch.manual_seed(0)
    rnn, x, d = nn.GRU(2, 4, 2).double(), normal(40, 3, 2), torch.zeros(40, 3, 4, dtype=torch.float64)
    wanted = bptt.diagnose(rnn, x, d, nn.MSELoss())
    with bptt.record(rnn) as walks:
        loss = nn.MSELoss()(rnn(x)[0], d)
    found = bptt.diagnose(walks, loss)[""]
    assert (found.kind, found.steps, found.lags) == (wanted.kind, wanted.steps, wanted.lags)
    for f, w in zip(found.layers, wanted.layers, strict=True):
        assert (f.layer, f.kind, f.reach) == (w.layer, w.kind, w.reach)
        assert torch.allclose(f.gradient_by_lag, w.gradient_by_lag, rtol=1e-9)
        assert torch.allclose(f.exponents, w.exponents)
        assert f.gates == w.gates


def test_remedies_name_the_models_own_parameters():
    torch.manual_seed(0)
    model = Forecaster(nn.RNN)
    with torch.no_grad():
        model.rnn.weight_hh_l0.mul_(0.1)
    x = normal(3, 60, 2, dtype=torch.float32)
    d = x[..., :1].roll(12, 1)  # the data needs 12 steps
    with bptt.record(model) as walks:
        loss = nn.functional.mse_loss(model(x), d)
    found = bptt.diagnose(walks, loss, d)["rnn"]
    assert found.kind == "vanishing"
    assert found.memory.lag == 12
    assert not found.enough
    assert any("model.rnn.weight_hh_l0" in remedy for remedy in found.remedies)
    gated = Forecaster(nn.LSTM)
    with torch.no_grad():
        gated.rnn.bias_hh_l0[4:8] = -3
    with bptt.record(gated) as walks:
        loss = nn.functional.mse_loss(gated(x), d)
    found = bptt.diagnose(walks, loss, d)
    assert any("model.rnn.bias_hh_l0.data[4:8]" in remedy for remedy in found["rnn"].remedies)
    assert str(found).startswith("rnn\n---\nThe gradient vanishes")


def test_remedies_number_the_modules_of_a_list():
    """Of a loop over cells whose batch shrinks, as loops over packed sequences do."""
    torch.manual_seed(0)
    model, x = nn.ModuleDict({"cells": nn.ModuleList([nn.LSTMCell(2, 4)])}), normal(30, 3, 2, dtype=torch.float32)
    state, loss = (torch.zeros(3, 4), torch.zeros(3, 4)), torch.zeros(())
    with bptt.record(model) as walks:
        for t in range(30):
            rows = 3 if t < 12 else 2
            state = model["cells"][0](x[t, :rows], tuple(part[:rows] for part in state))
            loss = loss + state[0].square().mean()
    found = bptt.diagnose(walks, loss)["cells.0"]
    assert found.remedies[0].startswith("Open the forget gate: model.cells[0].bias_hh.data[4:8] = 1.")


def test_an_error_that_enters_by_the_final_states_of_all_layers_is_followed_back():
    """An encoder's, whose final states are a decoder's first ones: its last layer's alone is the plain case."""
    torch.manual_seed(0)
    encoder, x = nn.GRU(2, 4, 2).double(), normal(30, 3, 2)
    with bptt.record(encoder) as walks:
        state = encoder(x)[1]
    found = bptt.diagnose(walks, state.square().sum())[""]
    assert found.lags == 29
    with bptt.record(encoder) as walks:
        top = encoder(x)[1][1].square().sum()
    plain = bptt.diagnose(walks, top)[""]
    for layer, other in zip(found.layers, plain.layers, strict=True):
        assert layer.gradient_by_lag is not None
        same = layer.layer == "l1"
        assert torch.allclose(layer.gradient_by_lag, other.gradient_by_lag, rtol=1e-9) is same


def test_packed_sequences_and_loops_of_cells_and_both_directions():
    torch.manual_seed(0)
    rnn = nn.GRU(2, 4, bidirectional=True)
    with bptt.record(rnn) as walks:
        loss = rnn(pack_padded_sequence(normal(30, 3, 2).float(), [30, 30, 9]))[0].data.square().mean()
    found = bptt.diagnose(walks, loss)[""]
    assert [layer.layer for layer in found.layers] == ["l0", "l0_reverse"]
    cell, h, outputs = nn.LSTMCell(2, 4), None, []
    with bptt.record(cell) as walks:
        for x_t in normal(30, 3, 2).float():
            h = cell(x_t, h)
            outputs.append(h[0])
    found = bptt.diagnose(walks, torch.stack(outputs).square().mean())[""]
    assert found.steps == 30
    assert found.layers[0].gradient_by_lag is not None
    assert found.notes == ["Looked at: 30 calls as one walk of 30 steps that hands its state on."]


def test_the_gradient_norm_of_a_loop_is_that_of_the_sum_over_its_calls():
    torch.manual_seed(0)
    cell, h, outputs = nn.GRUCell(2, 4).double(), None, []
    with bptt.record(cell) as walks:
        for x_t in normal(30, 3, 2):
            h = cell(x_t, h)
            outputs.append(h)
    loss = torch.stack(outputs).square().mean()
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, cell.parameters(), retain_graph=True)])
    assert bptt.diagnose(walks, loss)[""].gradient_norms.whole == pytest.approx(gradient.norm().item())


def test_targets_follow_packed_sequences_that_were_sorted():
    torch.manual_seed(0)
    rnn, x = nn.GRU(1, 4, batch_first=True), normal(3, 60, 1, dtype=torch.float32)
    with bptt.record(rnn) as walks:
        y, _ = rnn(pack_padded_sequence(x, [30, 60, 60], batch_first=True, enforce_sorted=False))
    assert bptt.diagnose(walks, y.data.square().mean(), x.roll(5, 1))[""].memory.lag == 5


class Reader(nn.Module):
    """Tokens to the class of the whole sequence."""

    def __init__(self):
        super().__init__()
        self.embedding, self.rnn, self.head = nn.Embedding(6, 4), nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 6)

    def forward(self, tokens, lengths=None):
        x = self.embedding(tokens)
        if lengths is None:
            return self.head(self.rnn(x)[0][:, -1])
        return self.head(self.rnn(pack_padded_sequence(x, lengths, True, enforce_sorted=False))[1][0][0])


@pytest.mark.parametrize("lengths", [None, torch.arange(128) % 20 + 11])
def test_one_target_a_sequence_is_looked_for_in_all_sequences(lengths):
    """The class is the token of ten steps before each sequence's own end."""
    torch.manual_seed(0)
    model, tokens = Reader(), torch.randint(6, (128, 30))
    d = tokens[torch.arange(128), 19 if lengths is None else lengths - 11]
    with bptt.record(model) as walks:
        loss = nn.functional.cross_entropy(model(tokens, lengths), d)
    found = bptt.diagnose(walks, loss, d)["rnn"]
    assert found.memory.lag == 10
    assert found.memory.tokens == 6  # the padding is none
    assert found.lags == 29  # all steps before the only error
    assert not found.enough
    assert "bias_hh_l0.data[8:16] = 2.2" in found.remedies[0]
    assert "a linear probe of the 6 tokens of x, out of sample" in " ".join(str(found).split())


def test_targets_are_used_for_the_modules_that_they_fit():
    torch.manual_seed(0)
    two, x = nn.ModuleList([nn.GRU(1, 3), nn.GRU(1, 3)]), normal(60, 2, 1, dtype=torch.float32)
    with bptt.record(two) as walks:
        y = two[1](x, two[0](x[:20])[1])[0]
    found = bptt.diagnose(walks, y.square().mean(), x.roll(3, 0))
    assert (found["0"].memory, found["1"].memory.lag) == (None, 3)


def test_what_is_wrong_is_said():
    model = Forecaster()
    x = normal(3, 20, 2, dtype=torch.float32)
    walks, loss = walked(model, x)
    assert bptt.diagnose(walks, loss * 0)["rnn"].kind == "no gradient"
    with torch.no_grad():
        model.rnn.weight_hh_l0[0, 0] = float("nan")
    walks, loss = walked(model, x)
    assert bptt.diagnose(walks, loss)["rnn"].sentence.startswith(
        "rnn.weight_hh_l0 holds numbers that are not finite"
    )
    model = Forecaster()
    with pytest.raises(ValueError, match=r"rnn: it walked 5 steps; at least 8"):
        bptt.diagnose(*walked(model, x[:, :5]))
    walks, loss = walked(model, x)
    with pytest.raises(ValueError, match=r"d has shape \(3, 4\), but rnn walked 20 steps of 3 sequences; d needs"):
        bptt.diagnose(walks, loss, torch.zeros(3, 4))
    with pytest.raises(TypeError, match="d must be a tensor or None, got list"):
        bptt.diagnose(walks, loss, [0.0])
    with pytest.raises(TypeError, match=r"diagnose\(walks, loss, d=None, \*, lags=100\): too many"):
        bptt.diagnose(walks, loss, None, nn.MSELoss())
    two = nn.ModuleList([nn.GRU(2, 3), nn.GRU(2, 3)])
    with bptt.record(two) as walks:
        y = two[0](normal(20, 3, 2, dtype=torch.float32))[0]
        two[1](normal(20, 3, 2, dtype=torch.float32))
    found = bptt.diagnose(walks, y.sum())
    assert list(found) == ["0"]
    assert "1: the loss does not depend on it" in str(found)
