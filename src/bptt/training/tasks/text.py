"""Language modelling as a task: the next token of a text, learned by truncated BPTT with carried state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ...errors import UserError
from ...files import write_whole
from ...insight.plain_models import Criterion
from ...losses import cross_entropy
from ...trees import Tree
from ..data.scaling import Scaling
from ..data.text import (
    MOBY_DICK,
    ORDER,
    as_bytes,
    as_tokens,
    bits,
    moby_dick,
    ngram_bits,
    numbers_of,
    read_text,
    unigram_bits,
    vocabulary_of,
    xz_bits,
)
from ..options.text import TextOptions, Tokens
from ..transfer import device_of, to_device
from ..updates import Updates, Windows, check_stretches, check_workers, side_by_side
from ..workers import ALONE, Workers
from .excerpt import TrainingExcerpt
from .task import WORSE, Judged, Measure, Standing, Undated, WholeModel

STEPS = 4096  # tokens that are walked and judged at a time
LOOKED_AT = 512  # tokens of the excerpt on which gradients are measured
WRITTEN, TEMPERATURE = 1000, 0.8  # of sample.txt
WRITTEN_WHILE_TRAINING = 160  # tokens of a sample after an epoch


@dataclass(frozen=True, repr=False)
class TextTask(Undated):
    """A text as a task: from the tokens up to i, the distribution of token i + 1."""

    name: str  # where the text came from
    text: str  # all of it, a character for each token
    config: TextOptions  # kind of token, window, batch, seed
    labels: list[str]  # the tokens there are, by output
    numbers: np.ndarray  # each one's place among them, (N)
    # where "training" (from 0), "validation" (may be missing) and "test" begin and end
    spans: dict[str, tuple[int, int]]

    output = "sample.txt"
    scaling = Scaling([], [])

    @property
    def lags(self) -> list[int]:
        return []

    @property
    def columns(self) -> list[str]:
        return []

    @property
    def loss(self) -> Criterion:
        return cross_entropy

    @property
    def tokens(self) -> Tokens:
        """The kind of token, in words."""
        return self.config.tokens

    @property
    def train_steps(self) -> int:
        """The number of training tokens."""
        return self.spans["training"][1] - 1

    @property
    def amount(self) -> str:
        return f"{self.train_steps} training {self.tokens}, {len(self.labels)} different ones"

    @property
    def aim(self) -> str:
        return f"The next {self.tokens[:-1]} of {self.name}, predicted"

    def updates(self, model: nn.Module, workers: Workers = ALONE) -> Updates:
        """Truncated BPTT over the training tokens, in stretches side by side."""
        config = self.config
        check_stretches(config, self.train_steps)
        check_workers(config, workers)
        share = workers.share(config.stretches)
        numbers = torch.from_numpy(self.numbers[: self.train_steps + 1])[:, None]
        numbers = to_device(numbers, device_of(model))
        x, d = (side_by_side(part, config.stretches)[:, share, 0] for part in (numbers[:-1], numbers[1:]))

        def validation() -> float | None:
            return self.nats(model, "validation") if "validation" in self.spans else None

        one_hot = OneHot(model, len(self.labels))
        return Windows(one_hot, lambda epoch: (x, d), config, validation, mean_cross_entropy, workers)

    def training_excerpt(self) -> TrainingExcerpt:
        """The first tokens, one-hot, and the ones that come next."""
        steps = min(LOOKED_AT, self.train_steps)
        numbers = torch.from_numpy(self.numbers[: steps + 1])[:, None]
        x, what = one_hot(numbers[:-1], len(self.labels)).float(), f"{self.tokens} 1-{steps} of {self.name}"
        return TrainingExcerpt(x, numbers[1:], mean_cross_entropy, cross_entropy, what)

    def judge(self, whole: WholeModel, title: str, path: Path) -> Judged:
        """Score the model on the validation and test tokens beside the baselines, and let it generate a sample."""
        model = whole.model
        learned, different = self.numbers[: self.spans["training"][1]], len(self.labels)
        baselines = f"{self.tokens}' frequencies", f"{ORDER}-gram (Witten-Bell)", "xz"
        scores: dict[str, dict[str, float]] = {name: {} for name in (title, *baselines)}
        for split, (first, stop) in self.spans.items():
            if split != "training":
                tested = self.numbers[first:stop]
                text = self.text[: len(learned)], self.text[first:stop]
                found = bits(self.nats(model, split)), unigram_bits(learned, tested, different)
                found = (*found, ngram_bits(learned, tested, different), xz_bits(*text, self.tokens))
                for name, value in zip(scores, found, strict=True):
                    scores[name][split] = value
        kept = self._sample(model, WRITTEN)
        write_whole(path, kept)
        token = self.tokens[:-1]
        meaning = f"The mean of -log2 of the probability given to the next {token}."
        measure = Measure(f"bits_per_{token}", f"bits per {token}", "less", meaning)
        verdict = text_verdict(scores, measure.name)
        return Judged(scores, measure=measure, sample=kept.decode(errors="replace"), verdict=verdict)

    def sample_after(self, model: nn.Module, epoch: int) -> str | None:
        """A short sample after epochs 1, 2, 4, 8 and so on; None after others."""
        is_power_of_two = epoch & (epoch - 1) == 0
        return self._sample(model, WRITTEN_WHILE_TRAINING).decode(errors="replace") if is_power_of_two else None

    def _sample(self, model: nn.Module, length: int) -> bytes:
        return as_bytes(sample_text(model, self.labels, "", length, TEMPERATURE, self.config.seed), self.tokens)

    def nats(self, model: nn.Module, split: str) -> float:
        """Mean cross entropy over a split's tokens, walked through in their order."""
        first, stop = self.spans[split]
        numbers = to_device(torch.from_numpy(self.numbers[first - 1 : stop]), device_of(model))
        state, total = None, 0.0
        walk = OneHot(model, len(self.labels))
        with torch.no_grad():
            for start in range(0, len(numbers) - 1, STEPS):
                piece = numbers[start : start + STEPS + 1]
                y, state = walk(piece[:-1, None], state)
                total += nn.functional.cross_entropy(y[:, 0], piece[1:], reduction="sum").item()
        return total / (stop - first)


def text_verdict(scores: dict[str, dict[str, float]], unit: str) -> str:
    """The network's bits a token on the test text beside the best baseline's, in words."""
    ours, name, best, words = Standing.of(scores, "less")
    said = f"{words}: {ours:.3g} {unit} on the test text, the best baseline, {name}, needs {best:.3g}."
    return f"{said} Untried: more --epochs, a longer text or a larger --hidden." if words == WORSE else said


class OneHot(nn.Module):
    """A model of one-hot inputs as one of numbers (T, B) or (T)."""

    def __init__(self, model: nn.Module, different: int) -> None:
        super().__init__()
        self.model, self.different = model, different

    def forward(self, numbers: Tensor, state: Tree = None) -> tuple[Tensor, Tree]:
        like = next(self.model.parameters())
        return self.model(one_hot(numbers, self.different).to(like.dtype), state)


def mean_cross_entropy(y: Tensor, d: Any) -> Tensor:
    """The mean cross entropy of scores (T, B, V) and the next tokens, d (T, B)."""
    return nn.functional.cross_entropy(y.flatten(0, 1), d.flatten())


def text_task(config: TextOptions) -> TextTask:
    """A file's text or the embedded one: learn from its start, judge on its end."""
    tokens = config.tokens
    if config.data is None:
        name, text = MOBY_DICK, as_tokens(moby_dick(), tokens)
    else:
        name, text = config.data.name, read_text(config.data, tokens)
    tested = max(1, round(len(text) * config.test))
    held = round((len(text) - tested) * config.validation)
    learned = len(text) - tested - held
    needed = max(2, config.stretches + 1)
    if learned < needed:
        raise UserError(
            f"{name} has {len(text)} {tokens}, {max(0, learned)} of them for training; with "
            f"test={config.test:g}, validation={config.validation:g} and batch={config.stretches} at least "
            f"{needed} are needed there"
        )
    spans = {
        "training": (0, learned),
        "validation": (learned, learned + held),
        "test": (learned + held, len(text)),
    }
    if not held:
        del spans["validation"]
    vocabulary = vocabulary_of(text, tokens)
    return TextTask(name, text, config, vocabulary, numbers_of(text, vocabulary, name), spans)


def sample_text(
    model: nn.Module, vocabulary: list[str], prompt: str, length: int, temperature: float, seed: int
) -> str:
    """`length` tokens that the model generates after a prompt.

    Each is drawn from softmax(y / temperature), y the outputs before the softmax.

    Args:
        model: (x, state) -> (y, state), one-hot tokens in, scores of the next one out.
        vocabulary: the tokens, by output, each a character.
        prompt: the text before; empty for a new line, or the first token where there is none.
        length: how many tokens are generated.
        temperature: 0 takes the likeliest each time, 1 draws from the model's distribution.
        seed: of the draws.

    Returns:
        the generated text, without the prompt.

    Raises:
        UserError: the prompt has a token that is not in the vocabulary.
    """
    generator, device = torch.Generator().manual_seed(seed), device_of(model)
    walk = OneHot(model, len(vocabulary))
    start = prompt or ("\n" if "\n" in vocabulary else vocabulary[0])
    numbers = to_device(torch.from_numpy(numbers_of(start, vocabulary, "the prompt")), device)
    written: list[int] = []
    with torch.no_grad():
        y, state = walk(numbers)
        while len(written) < length:
            written.append(_drawn(y[-1].cpu(), temperature, generator))
            y, state = walk(torch.tensor(written[-1:], device=device), state)
    return "".join(vocabulary[number] for number in written)


def _drawn(scores: Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(scores.argmax())
    return int(torch.multinomial((scores.double() / temperature).softmax(-1), 1, generator=generator))
