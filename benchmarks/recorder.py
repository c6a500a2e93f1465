"""Time of bptt.record and bptt.contributions(walks, loss) compared with plain forward and backward passes.

    python benchmarks/recorder.py [--models tagger translator deepar] [--threads 1] [--blocks 9]

The models are of torch.nn alone, in float32: a tagger (embedding, BiLSTM, attention, head), a translator
(embedding, GRU encoder, a loop over a GRUCell with attention) and a forecaster like DeepAR (two LSTM layers, a
mean and a scale a step). In one process, in alternating warm blocks; minima over the blocks, medians in brackets,
in milliseconds: of processor time with one thread, of wall-clock time with more.

    plain        zero_grad, forward, loss, backward of the untouched model
    norms        forward and loss recorded, contributions(walks, loss), and the norm of each step's contribution
                 to the gradient of every recurrent parameter
    norms+train  the same, and loss.backward() after it, as in a training step that is looked at

and each one's ratio to plain.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from blocks import timed_line
from torch import Tensor, nn

import bptt

CALLS = 8  # in a block, or as many as fit into SECONDS
SECONDS = 0.5
WORDS, B = 2000, 32


class Tagger(nn.Module):
    """A label for each word of a sentence."""

    steps = 50

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(WORDS, 64), nn.LSTM(64, 64, batch_first=True, bidirectional=True)
        self.attention, self.head = nn.MultiheadAttention(128, 4, batch_first=True), nn.Linear(128, 20)

    def forward(self, words: Tensor) -> Tensor:
        y, _ = self.rnn(self.embedding(words))
        return nn.functional.cross_entropy(self.head(y + self.attention(y, y, y)[0]).mT, words % 20)


class Translator(nn.Module):
    """Words into as many words, by an encoder and a decoder with attention."""

    steps = 25

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.encoder = nn.Embedding(WORDS, 64), nn.GRU(64, 128, batch_first=True)
        self.decoder, self.head = nn.GRUCell(64 + 128, 128), nn.Linear(128, WORDS)

    def forward(self, words: Tensor) -> Tensor:
        x = self.embedding(words)
        memory, h = self.encoder(x)
        h, states = h[0], []
        for x_t in x.unbind(1):
            seen = (memory @ h[:, :, None]).softmax(1).mT @ memory
            h = self.decoder(torch.cat([x_t, seen[:, 0]], 1), h)
            states.append(h)
        return nn.functional.cross_entropy(self.head(torch.stack(states, 1)).mT, words)


class DeepAR(nn.Module):
    """The mean and scale of the next value at each step."""

    steps = 150

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(WORDS, 8), nn.LSTM(1 + 8, 40, num_layers=2, batch_first=True)
        self.mean, self.scale = nn.Linear(40, 1), nn.Linear(40, 1)

    def forward(self, series: Tensor) -> Tensor:
        x = series[..., None] / WORDS
        y, _ = self.rnn(torch.cat([x, self.embedding(series[:, :1]).expand(-1, len(x[0]), -1)], -1)[:, :-1])
        scale = nn.functional.softplus(self.scale(y)) + 1e-3
        return ((x[:, 1:] - self.mean(y)) / scale).square().mean() / 2 + scale.log().mean()


MODELS = {"tagger": Tagger, "translator": Translator, "deepar": DeepAR}


def tasks(name: str) -> dict[str, Callable[[], object]]:
    """The timed functions by column."""
    torch.manual_seed(0)
    model = MODELS[name]()
    data = torch.randint(0, WORDS, (B, model.steps))

    def plain() -> None:
        model.zero_grad()
        model(data).backward()

    def recorded() -> Tensor:
        with bptt.record(model) as walks:
            loss = model(data)
        for module in bptt.contributions(walks, loss).values():
            for weight in module.by_step:
                module.by_step.norms(weight)
        return loss

    def trained() -> None:
        model.zero_grad()
        recorded().backward()

    return {"plain": plain, "norms": recorded, "norms+train": trained}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, kernels {bptt.isa()}, {options.threads} threads")
    print(f"{'model':<12}{'plain':>18}{'norms':>26}{'norms+train':>26}")
    for name in options.models:
        title = f"{name:<12}"
        print(timed_line(title, tasks(name), options.blocks, CALLS, SECONDS, options.threads), flush=True)


if __name__ == "__main__":
    main()
