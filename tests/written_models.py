"""Models of many kinds, as people write them around recurrent modules."""

from abc import ABC
from contextlib import nullcontext

import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

import bptt
from support import normal

B, T = 3, 6
LENGTHS = torch.tensor([4, 6, 2])


class Tagger(nn.Module):
    """An embedding, a packed bidirectional stack with dropout, attention, a normalisation; a score a token."""

    def __init__(self, kind):
        super().__init__()
        self.embedding = nn.Embedding(9, 4)
        self.encoder = kind(4, 3, 2, bidirectional=True, batch_first=True, dropout=0.3)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 2)

    def forward(self, tokens):
        packed = pack_padded_sequence(self.embedding(tokens), LENGTHS, batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.encoder(packed)[0], batch_first=True)
        return self.head(self.norm(y + self.attention(y, y, y)[0]))


class Translator(nn.Module):
    """An encoder's final state into a decoder of cells, fed with its own outputs."""

    def __init__(self, rnn, cell):
        super().__init__()
        self.encoder, self.decoder = rnn(4, 5), cell(2, 5)
        self.head = nn.Linear(5, 2)
        self.embedding = nn.Embedding(9, 4)

    def forward(self, tokens):
        _, state = self.encoder(self.embedding(tokens.mT))
        state = tuple(s[0] for s in state) if isinstance(state, tuple) else state[0]
        y, outputs = torch.zeros(len(tokens), 2, dtype=torch.float64), []
        for _ in range(4):
            state = self.decoder(y, state)
            y = self.head(state[0] if isinstance(state, tuple) else state)
            outputs.append(y)
        return torch.stack(outputs)


class Twice(nn.Module):
    """One module called on two inputs, its output used by a second one, a skip, a convolution."""

    def __init__(self):
        super().__init__()
        self.embedding, self.shared = nn.Embedding(9, 4), nn.GRU(4, 4, batch_first=True)
        self.conv, self.upper = nn.Conv1d(4, 4, 3, padding=1), nn.RNN(4, 4, nonlinearity="relu", batch_first=True)
        self.upper.weight_hh_l0 = self.shared_weight = nn.Parameter(0.3 * torch.eye(4))

    def forward(self, tokens):
        x = self.embedding(tokens)
        left, right = self.shared(x)[0], self.shared(x.flip(1))[0]
        y = self.conv((left + right).mT).mT + x
        return self.upper(y)[0] @ self.shared_weight


class OneStepCalls(nn.Module):
    """A loop of calls of one step that hand the state on, through dropout."""

    def __init__(self):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(9, 4), nn.GRU(4, 4)

    def forward(self, tokens):
        h, outputs = None, []
        for x_t in self.embedding(tokens.mT):
            y, h = self.rnn(x_t[None], h)
            h = nn.functional.dropout(h, 0.2)
            outputs.append(y)
        return torch.cat(outputs)


class Scaled(nn.GRU):
    """A subclass whose forward surrounds torch's own."""

    def forward(self, input, hx=None):
        y, h = super().forward(2 * input, hx)
        return y + 1, h


class SubclassedCell(nn.LSTMCell):
    """A subclass that changes nothing."""


class Subclassed(nn.Module):
    """Subclasses of torch's modules, with hooks."""

    def __init__(self):
        super().__init__()
        self.embedding, self.rnn, self.cells = nn.Embedding(9, 4), Scaled(4, 3, 2, dropout=0.3), nn.ModuleList()
        self.cells.append(SubclassedCell(3, 3))
        self.rnn.register_forward_hook(lambda module, inputs, outputs: (outputs[0].sin(), outputs[1]))
        self.rnn.register_full_backward_hook(lambda module, d_inputs, d_outputs: (3 * d_inputs[0],))

    def forward(self, tokens):
        state, outputs = None, []
        for y_t in self.rnn(self.embedding(tokens.mT))[0]:
            state = self.cells[0](y_t, state)
            outputs.append(state[0])
        return torch.stack(outputs)


class Checkpointed(nn.Module):
    """A stack with dropout and a loop of cells, each computed again in the backward pass."""

    def __init__(self):
        super().__init__()
        self.embedding, self.rnn, self.cell = nn.Embedding(9, 4), nn.GRU(4, 3, 2, dropout=0.3), nn.GRUCell(3, 3)

    def loop(self, rows):
        h, outputs = None, []
        for x_t in nn.functional.dropout(rows.sin(), 0.3):
            h = self.cell(x_t, h)
            outputs.append(h)
        return torch.stack(outputs).exp()

    def forward(self, tokens):
        y = checkpoint(lambda x: self.rnn(x.sin())[0].exp(), self.embedding(tokens.mT), use_reentrant=False)
        return checkpoint(self.loop, y, use_reentrant=False)


class WeightDrop(nn.Module):
    """A weight computed and set before each call, as an AWD-LSTM does."""

    def __init__(self):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(9, 4), nn.LSTM(4, 3)
        self.raw = nn.Parameter(self.rnn._parameters.pop("weight_ih_l0").detach())

    def forward(self, tokens):
        self.rnn.weight_ih_l0 = nn.functional.dropout(self.raw, 0.4)
        return self.rnn(self.embedding(tokens.mT))[0]


class Shrinking(nn.Module):
    """A loop over packed steps: the batch shrinks as the shorter sequences end."""

    def __init__(self):
        super().__init__()
        self.embedding, self.cell = nn.Embedding(9, 4), nn.LSTMCell(4, 3)

    def forward(self, tokens):
        packed = pack_padded_sequence(self.embedding(tokens), LENGTHS, batch_first=True, enforce_sorted=False)
        h = c = self.embedding.weight.new_zeros(B, 3)
        outputs = []
        for x_t in packed.data.split(packed.batch_sizes.tolist()):
            h, c = self.cell(x_t, (h[: len(x_t)], c[: len(x_t)]))
            outputs.append(h)
        return torch.cat(outputs)


class Base(ABC, nn.RNNBase):
    """A base class of another layout."""


class Handled(Base, nn.GRU):
    """A subclass by two branches, as pytorch-forecasting's."""

    def forward(self, input, hx=None):
        return super().forward(input, hx)


class TwoBranches(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(9, 4), Handled(4, 3)

    def forward(self, tokens):
        return self.rnn(self.embedding(tokens.mT))[0]


def normed(model):
    for name in ("weight_hh_l0", "weight_ih_l1_reverse"):
        parametrizations.weight_norm(model.encoder, name)
    return model


MODELS = {
    "tagger of RNN": lambda: Tagger(nn.RNN),
    "tagger of GRU": lambda: Tagger(nn.GRU),
    "tagger of LSTM": lambda: Tagger(nn.LSTM),
    "tagger of ours": lambda: Tagger(bptt.LSTM),
    "translator of RNN": lambda: Translator(nn.RNN, nn.RNNCell),
    "translator of GRU": lambda: Translator(nn.GRU, nn.GRUCell),
    "translator of LSTM": lambda: Translator(bptt.LSTM, nn.LSTMCell),
    "translator of our cells": lambda: Translator(nn.GRU, bptt.GRUCell),
    "twice": Twice,
    "one-step calls": OneStepCalls,
    "subclassed": Subclassed,
    "checkpointed": Checkpointed,
    "weight drop": WeightDrop,
    "shrinking batch": Shrinking,
    "two branches": TwoBranches,
    "weight norm": lambda: normed(Tagger(nn.GRU)),
}


def made(name):
    torch.manual_seed(0)
    model = MODELS[name]().double()
    return model, torch.randint(0, 9, (B, T))


def loss_of(y):
    return (y * normal(*y.shape, seed=5)).sum() + y.square().mean()


def run(model, tokens, context=None):
    """The loss, with the same draws each time, and what the context gave."""
    torch.manual_seed(1)
    with context or nullcontext() as walks:
        loss = loss_of(model(tokens))
    return loss, walks
