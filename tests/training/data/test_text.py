import itertools
import math
from collections import Counter

import numpy as np
import pytest

from bptt.errors import UserError
from bptt.training.data.text import (
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


def test_the_embedded_text():
    text = moby_dick()
    assert text.startswith("CHAPTER 1. Loomings.\n\nCall me Ishmael.")
    assert (len(text), len(vocabulary_of(text))) == (1_190_317, 83)


def test_a_file_is_read_with_its_line_ends_made_the_same(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n\xc3\xa9")
    assert read_text(tmp_path / "t.txt") == "a\nb\nc\né"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"abc\xe9d", "not UTF-8: byte 0xe9 at offset 3; if it is latin-1.*> converted.txt"),
        (b"\xff\xfea\0", "not UTF-8 but utf-16"),
        (b"\xc3\xa9b\0c", "NUL character at offset 3"),
    ],
)
def test_what_is_no_text_is_said_with_its_place(tmp_path, raw, words):
    (tmp_path / "t.txt").write_bytes(raw)
    with pytest.raises(UserError, match=words):
        read_text(tmp_path / "t.txt")


def test_bytes_are_what_the_file_holds_and_write_it_again(tmp_path):
    (tmp_path / "t.bin").write_bytes(raw := b"\xef\xbb\xbfa\r\n\xc3\xa9\0\xff")
    text = read_text(tmp_path / "t.bin", "bytes")
    vocabulary = vocabulary_of(text, "bytes")
    assert numbers_of(text, vocabulary, "it").tolist() == list(raw)
    assert as_bytes(text, "bytes") == raw
    assert as_tokens("é", "bytes") == "\xc3\xa9"
    assert as_bytes(as_tokens("é", "bytes"), "bytes") == as_bytes(as_tokens("é", "characters"), "characters")


def test_no_such_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_text(tmp_path / "t.txt")


def test_characters_have_numbers_and_strange_ones_are_named():
    vocabulary = vocabulary_of("b😀a")
    assert vocabulary == ["a", "b", "😀"]
    assert numbers_of("ab😀", vocabulary, "it").tolist() == [0, 1, 2]
    for strange in ("abc", "ab😁", "ab\x01"):
        with pytest.raises(UserError, match=r"it holds .* as character 3, which is not among the 3"):
            numbers_of(strange, vocabulary, "it")


def ngram_by_words(learned, tested, characters, order):
    """The definition, character by character."""
    whole, total = learned + tested, 0.0
    for place in range(len(learned), len(whole)):
        probability = 1 / characters
        for length in range(order + 1):
            context = whole[place - length : place]
            followed = Counter(
                learned[at + length] for at in range(len(learned) - length) if learned[at : at + length] == context
            )
            if followed:
                seen = followed[whole[place]] + len(followed) * probability
                probability = seen / (sum(followed.values()) + len(followed))
        total -= math.log2(probability)
    return total / len(tested)


@pytest.mark.parametrize("order", [0, 1, 2, 4])
def test_the_ngram_model_is_its_definition(order):
    generator = np.random.default_rng(0)
    learned, tested = generator.integers(0, 3, 60), generator.integers(0, 4, 15)
    wanted = ngram_by_words(learned.tolist(), tested.tolist(), 4, order)
    assert ngram_bits(learned, tested, 4, order) == pytest.approx(wanted, rel=1e-9)


def test_the_ngram_model_gives_probabilities():
    learned = np.random.default_rng(1).integers(0, 3, 50)
    total = sum(2 ** -ngram_bits(learned, np.array([character]), 4, 3) for character in range(4))
    assert total == pytest.approx(1.0)


def test_simple_baselines():
    learned, tested = np.array([0, 0, 0, 1]), np.array([0, 1])
    assert unigram_bits(learned, tested, 2) == pytest.approx(-(math.log2(4 / 6) + math.log2(2 / 6)) / 2)
    assert bits(math.log(8)) == pytest.approx(3)
    words = "".join("".join(word) for word in itertools.permutations("abcdef"))
    assert xz_bits(words, words) < 1 < xz_bits("zyx" * 500, words)
