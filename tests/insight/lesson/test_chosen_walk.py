"""An error inside any model, explained from its recurrent module's own input on."""

import pytest
import torch
from torch import nn

import bptt
from support import assert_close, normal

B, T = 3, 5
LENGTHS = [5, 3, 2]


class Tagger(nn.Module):
    """Packed sequences, a stack of two directions, a head that mixes the steps."""

    def __init__(self, kind=nn.LSTM, bidirectional=True, packed=True):
        super().__init__()
        self.embedding, self.packed = nn.Embedding(7, 3), packed
        self.rnn = kind(3, 4, 2, bidirectional=bidirectional, batch_first=True)

    def forward(self, tokens):
        x = self.embedding(tokens)
        if not self.packed:
            y = self.rnn(x)[0]
        else:
            packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor(LENGTHS), batch_first=True)
            y = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0]
        return y.cumsum(1).sin()


class Decoder(nn.Module):
    """A loop of cells that sees its own output."""

    def __init__(self, kind):
        super().__init__()
        self.cell, self.head = kind(2, 4), nn.Linear(4, 2)

    def forward(self, _):
        y, state, outputs = torch.zeros(B, 2, dtype=torch.float64), None, []
        for _ in range(T):
            state = self.cell(y, state)
            y = self.head(state[0] if isinstance(state, tuple) else state)
            outputs.append(y)
        return torch.stack(outputs)


class OneOfOurs(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.net = nn.Embedding(7, 2), bptt.Elman(2, 3, 2, bias=True)

    def forward(self, tokens):
        return self.net(self.embedding(tokens))[0].exp()


MODELS = {
    "packed": (Tagger, "rnn", LENGTHS),
    "deep GRU": (lambda: Tagger(nn.GRU, False, False), "rnn", [T] * B),
    "one way, packed": (lambda: Tagger(nn.RNN, False), "rnn", LENGTHS),
    "loop of LSTM cells": (lambda: Decoder(nn.LSTMCell), "cell", [T] * B),
    "loop of RNN cells": (lambda: Decoder(nn.RNNCell), "cell", [T] * B),
    "Elman": (OneOfOurs, "net", [T] * B),
}


def walked(model):
    torch.manual_seed(0)
    model = model().double()
    with bptt.record(model) as walks:
        y = model(torch.randint(0, 7, (B, T)))
        loss = (y * normal(*y.shape, seed=3)).sum() + y.square().sum()
    return walks, loss


@pytest.mark.parametrize("name", MODELS)
def test_all_errors_of_all_sequences_sum_up_to_the_contributions(name):
    made, module, lengths = MODELS[name]
    walks, loss = walked(made)
    found = {}
    for sequence, length in enumerate(lengths):
        for t in range(1, length + 1):
            e = bptt.explain(walks, loss, module=module, sequence=sequence, t=t)
            for weight, part in e.contributions.items():
                found.setdefault(weight, part.new_zeros(T, *part.shape[1:]))[: len(part)] += part
    c = bptt.contributions(walks, loss)[module]
    assert set(found) == set(c.by_step)
    for weight, by_step in c.by_step.items():
        assert_close(found[weight], by_step, weight, 1e-11)


@pytest.mark.parametrize("name", MODELS)
def test_text_derivation_and_picture_are_of_the_module_alone(name):
    made, module, lengths = MODELS[name]
    walks, loss = walked(made)
    e = bptt.explain(walks, loss)
    assert e.t == lengths[0]
    assert "linearized loss at step 5" in str(e)
    assert "<svg" in e._repr_html_()
    derived = bptt.derivation(walks, loss, module=module, t=2)
    assert "y_2 = s_2" in derived.text
    assert "E_2 = ∂L/∂y_2 y_2ᵀ = " in derived.text
    assert "W_y" not in derived.text
    own = bptt.explain(walks, loss, t=2)
    for matrix in derived.matrices:
        whole = own.gradient[matrix.name]
        turned = matrix.gradient.mT if matrix.gradient.dim() == 2 and name != "Elman" else matrix.gradient
        assert_close(turned, whole, matrix.name)
    unfolded = bptt.diagram(walks, loss, t=2, sequence=1)
    assert 'data-flow="' in unfolded.svg
    assert "W_y" not in unfolded.svg
    assert "folded" in bptt.diagram(walks, loss, kind="folded").label


def test_a_written_out_chain_multiplies_to_the_gradient():
    rnn = nn.RNN(2, 3).double()
    with bptt.record(rnn) as walks:
        loss = rnn(normal(4, 2, 2))[0].square().sum()
    derived = bptt.derivation(walks, loss, t=3)
    assert (
        "∂E_3/∂W_s = ∂E_3/∂y_3 · ∂y_3/∂s_3 · ∂s_3/∂W_s + ∂E_3/∂y_3 · ∂y_3/∂s_3 · ∂s_3/∂s_2" in derived["W_s"].text
    )
    assert "∂y_3/∂s_3 = I" in derived.text


def test_which_walk_is_meant_is_asked_for():
    two = nn.ModuleList([nn.GRU(2, 3, 2, dropout=0.5), nn.LSTM(2, 3)])
    x = normal(4, 2, 2, dtype=torch.float32)
    with bptt.record(two) as walks:
        loss = two[0](x)[0].sum() + two[1](x)[1][1].sum()
    refusals = {
        r"reaches 2 recurrent modules; choose one by module=: '0', '1'": {},
        "reaches no recorded module 'rnn'; it reaches '0', '1'": {"module": "rnn"},
        "dropout was drawn between the layers of 0": {"module": "0"},
        "enter 1 by a lower layer's final state, by the cell state c_n": {"module": "1"},
        "sequence is 2, but 0 was called with 2 sequences": {"module": "0", "sequence": 2},
        "loop is 1, but 0 has 1": {"module": "0", "loop": 1},
    }
    for words, place in refusals.items():
        for function in (bptt.explain, bptt.derivation, bptt.diagram):
            with pytest.raises(ValueError, match=words):
                function(walks, loss, **place)


def test_steps_without_an_error_and_several_walks_are_refused():
    gru, x = nn.GRU(2, 3), normal(4, 2, 2, dtype=torch.float32)
    with bptt.record(gru) as walks:
        y = gru(x)[0]
    assert bptt.explain(walks, y[1].sum()).t == 2
    with pytest.raises(ValueError, match="no error enters the model at step 4; errors enter at 2"):
        bptt.explain(walks, y[1].sum(), t=4)
    with pytest.raises(ValueError, match="no error enters sequence 0 of the model"):
        bptt.explain(walks, y[:, 1].sum())
    with pytest.raises(ValueError, match="t is 5, but x has the steps 1 to 4"):
        bptt.explain(walks, y.sum(), t=5)
    with bptt.record(gru) as walks:
        loss = gru(x)[0].sum() + gru(x[:3])[0].sum()
    with pytest.raises(ValueError, match="the model has 2 walks; choose one by loop=0 to 1"):
        bptt.explain(walks, loss)
    assert bptt.explain(walks, loss, loop=1).t == 3


def test_arguments_of_the_other_form_are_refused():
    model, x = bptt.Elman(2, 3, 1), torch.ones(4, 2)
    with bptt.record(model) as walks:
        loss = model(x)[0].sum()
    for function in (bptt.explain, bptt.derivation, bptt.diagram):
        with pytest.raises(TypeError, match=r"\w+\(walks, loss, \*, t=None.*sequence=None\): too many"):
            function(walks, loss, torch.ones(4, 1))
        with pytest.raises(TypeError, match=r"\w+\(model, x.*\): got an unexpected keyword argument 'module'"):
            function(model, x, torch.ones(4, 1), module="rnn")
