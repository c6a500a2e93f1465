"""Text written by a trained language model, token by token."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ..data.text import numbers_of


def sample_text(
    model: nn.Module, vocabulary: list[str], prompt: str, length: int, temperature: float, seed: int
) -> str:
    """So many tokens that the model writes on after a prompt.

    Each is drawn from softmax(y / temperature), y the outputs before the softmax.

    Args:
        model: (x, state) -> (y, state), one-hot tokens in, scores of the next one out.
        vocabulary: the tokens, by output, each a character.
        prompt: what is read before; empty for a new line, or the first token where there is none.
        length: how many are written.
        temperature: 0 takes the likeliest each time, 1 draws as the model has learned.
        seed: of what is drawn.

    Returns:
        what was written, without the prompt.

    Raises:
        UserError: the prompt has a token that the model has not learned.
    """
    generator = torch.Generator().manual_seed(seed)
    start = prompt or ("\n" if "\n" in vocabulary else vocabulary[0])
    numbers = torch.from_numpy(numbers_of(start, vocabulary, "the prompt"))
    written: list[int] = []
    with torch.no_grad():
        y, state = model(_inputs(numbers, vocabulary))
        while len(written) < length:
            written.append(_drawn(y[-1], temperature, generator))
            y, state = model(_inputs(torch.tensor(written[-1:]), vocabulary), state)
    return "".join(vocabulary[number] for number in written)


def _inputs(numbers: Tensor, vocabulary: list[str]) -> Tensor:
    return one_hot(numbers, len(vocabulary)).float()


def _drawn(scores: Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(scores.argmax())
    return int(torch.multinomial((scores.double() / temperature).softmax(-1), 1, generator=generator))
