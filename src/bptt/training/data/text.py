"""Text as numbered tokens, characters or bytes, and the bits per token of simple models as baselines."""

from __future__ import annotations

import lzma
import math
from importlib import resources
from pathlib import Path

import numpy as np

from ...errors import UserError
from ..options.text import Tokens
from .text_files import check_file, read_bytes, read_utf8

ENCODINGS: dict[Tokens, str] = {"characters": "utf-8", "bytes": "latin-1"}  # a byte is the character of its number
MOBY_DICK = "the embedded Moby-Dick"
ORDER = 5  # tokens that the n-gram model looks back
MOST_COMPRESSED = 2**22  # tokens of the training text that xz is given


def moby_dick() -> str:
    """The embedded novel, Herman Melville, 1851 (1.2 MB, public domain)."""
    file = resources.files("bptt").joinpath("data", "moby-dick.txt")
    return file.read_text(encoding="utf-8")


def read_text(path: Path, tokens: Tokens = "characters") -> str:
    """A UTF-8 file's text, its lines ended by a line feed; or any file's bytes, a character each."""
    check_file(path, "a file of text")
    if tokens == "bytes":
        return read_bytes(path).decode(ENCODINGS[tokens])
    return read_utf8(path, "; or train on its bytes: --tokens bytes")


def as_tokens(text: str, tokens: Tokens) -> str:
    """The text with one character for each token."""
    return text.encode().decode(ENCODINGS[tokens])


def as_bytes(text: str, tokens: Tokens) -> bytes:
    """The bytes of a file that holds these tokens."""
    return text.encode(ENCODINGS[tokens])


def vocabulary_of(text: str, tokens: Tokens = "characters") -> list[str]:
    """The text's characters, ordered by code point; or all 256 bytes."""
    return sorted(set(text)) if tokens == "characters" else [chr(byte) for byte in range(256)]


def numbers_of(text: str, vocabulary: list[str], what: str) -> np.ndarray:
    """Each character's index in the vocabulary, (N); a UserError where it has none."""
    codes = np.array([ord(character) for character in vocabulary])
    found = np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.int64)
    places = np.searchsorted(codes, found).clip(max=len(codes) - 1)
    strange = codes[places] != found
    if strange.any():
        place = int(strange.argmax())
        raise UserError(
            f"{what} holds {text[place]!r} as character {place + 1}, which is not among the {len(codes)} "
            "characters of the training text"
        )
    return places


def unigram_bits(learned: np.ndarray, tested: np.ndarray, different: int) -> float:
    """Bits per token by the tokens' frequencies in the training text, each count plus one."""
    counts = np.bincount(learned, minlength=different) + 1
    return float(-np.log2(counts[tested] / counts.sum()).mean())


def ngram_bits(learned: np.ndarray, tested: np.ndarray, different: int, order: int = ORDER) -> float:
    """Bits per token by the tokens that follow the same `order` tokens in the training text.

        P_k(c | context) = (n(context, c) + u(context) P_{k-1}(c | shorter)) / (n(context) + u(context))

    with u the number of different tokens that followed; P_0 is uniform.

    Source: Witten & Bell (1991), "The zero-frequency problem", method C, interpolated.
    """
    whole, n = np.concatenate([learned, tested]), len(learned)
    probability = np.full(len(tested), 1 / different)
    context = np.zeros(len(whole), dtype=np.int64)  # a number for the tokens before each one
    for length in range(order + 1):
        pairs = context * different + whole
        unique, pair = np.unique(pairs, return_inverse=True)
        n_pair = np.bincount(pair[:n], minlength=len(unique))
        of_pair = unique // different  # the context of each pair
        n_context = np.bincount(context[:n], minlength=context.max() + 1)
        followers = np.bincount(of_pair, weights=n_pair > 0, minlength=context.max() + 1)
        here = context[n:]
        seen = np.maximum(n_context[here] + followers[here], 1)
        mixed = (n_pair[pair[n:]] + followers[here] * probability) / seen
        probability = np.where(n_context[here] > 0, mixed, probability)
        if length < order:  # the context of the next token is one longer: this one's and this one
            context = np.concatenate([[len(unique)], pair[:-1]])
    return float(-np.log2(probability).mean())


def xz_bits(learned: str, tested: str, tokens: Tokens = "characters") -> float:
    """Bits per token that xz needs for the test text after the training text."""
    before = as_bytes(learned[-MOST_COMPRESSED:], tokens)
    sizes = [len(lzma.compress(part, preset=9)) for part in (before, before + as_bytes(tested, tokens))]
    return 8 * (sizes[1] - sizes[0]) / len(tested)


def bits(nats: float) -> float:
    """Nats in bits."""
    return nats / math.log(2)
