import sys

import pytest

from bptt.reach.byte_sizes import format_bytes, parse_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64MB", 64_000_000),
        ("1GiB", 2**30),
        ("1.5 kB", 1500),
        ("7", 7),
        ("12b", 12),
        (10, 10),
        (" 2tb", 2 * 10**12),
    ],
)
def test_bytes(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "wrong",
    ["", "MB", "64 XB", "-1MB", "1,5MB", "lots", "1e3MB", "inf", "nanMB", "1e400GB", "\u0663MB", "9" * 5000 + "X"],
)
def test_text_that_makes_no_sense(wrong):
    with pytest.raises(ValueError, match=r'makes no sense.*"64MB"'):
        parse_bytes(wrong)


@pytest.mark.parametrize(
    "wrong", ["9" * 5000 + "MB", "9" * 400, 10**5000, -(10**5000), 2**64], ids=lambda wrong: type(wrong).__name__
)
def test_more_digits_than_there_is_memory(wrong):
    with pytest.raises(ValueError, match=r"more than any machine has|at least 1 byte") as caught:
        parse_bytes(wrong)
    assert len(str(caught.value)) < 200


def test_numbers_that_make_no_sense():
    for wrong in (0, -1, "0MB"):
        with pytest.raises(ValueError, match="at least 1 byte"):
            parse_bytes(wrong)
    for wrong in (None, 1.5, True):
        with pytest.raises(TypeError, match="an int of bytes or text"):
            parse_bytes(wrong)


@pytest.mark.parametrize("size", [1, 999, 1000, 1001, 123_456_789, sys.maxsize])
def test_formatted_is_never_less(size):
    assert size <= parse_bytes(format_bytes(size)) <= 1.1 * size + 1
