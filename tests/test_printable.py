import pytest

from bptt.printable import distinct, message, printable, shortened, shown


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("größe 日本", "größe 日本"),
        ("a\x1b[2J\nb", "a\\x1b[2J\\nb"),
        ("\u202eevil", "\\u202eevil"),
        ("\udcff", "\\udcff"),
    ],
)
def test_control_characters_are_written_out(name, wanted):
    assert printable(name) == wanted
    assert printable("a\nb\x07", keep="\n") == "a\nb\\x07"


def test_long_names_are_shortened_and_still_told_apart():
    assert shortened("short") == "short"
    assert shown("a" * 10_000) == "a" * 30 + "…" + "a" * 30
    names = ["a" * 10_000, "a" * 10_001, "b"]
    assert list(distinct(names)) == names
    assert len(set(distinct(names).values())) == 3
    assert distinct(["test", "training", "test"]) == {"test": "test", "training": "training"}


def test_a_message_is_one_line_of_words_that_can_be_read():
    assert message(f"no column '{'x' * 10_000}'\n").startswith("no column 'xxx")
    assert len(message("x" * 10_000)) < 500
    assert "\n" not in message("a\nb")
