import xml.etree.ElementTree as ET

import torch

from bptt.insight.lesson.formulas import (
    FormulaBlock,
    FormulaRow,
    equation,
    latex_of,
    number,
    numbers,
    svg_of,
    text_of,
)

BLOCKS = [FormulaBlock(r"\text{One}", [FormulaRow("a_1", "=", "b"), FormulaRow("", "+", "c", "k = 1")])]


def test_rows_are_aligned_at_their_sign():
    assert text_of(BLOCKS) == "One\n   a_1 = b\n       + c   (k = 1)"
    assert latex_of(BLOCKS) == (
        "\\begin{aligned}\n& \\text{One} \\\\\na_1 &= b \\\\\n &+ c \\qquad (k = 1)\n\\end{aligned}"
    )
    assert equation("a = b = c") == FormulaRow("a", "=", "b = c")


def test_numbers_in_full_where_small_and_as_a_norm_where_large():
    assert numbers(torch.tensor([[1.0, -2.5]])) == r"\begin{bmatrix} 1 & -2.5 \end{bmatrix}"
    assert numbers(torch.tensor([3.0, 4.0])) == r"\begin{bmatrix} 3 & 4 \end{bmatrix}"
    assert numbers(torch.ones(4, 9)) == r"\text{norm } 6 \text{ of } 4 \times 9"
    assert number(float("nan")) == "nan"


def test_an_svg_is_whole_says_what_it_shows_and_shares_no_name_with_another():
    whole = svg_of(BLOCKS, "what it shows")
    root = ET.fromstring(whole)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == "what it shows"
    space = "{http://www.w3.org/2000/svg}"
    names = {symbol.attrib["id"] for symbol in root.iter(f"{space}symbol")}
    used = {use.attrib["href"].removeprefix("#") for use in root.iter(f"{space}use")}
    assert used == names != set()
    assert "black" not in whole
    other = ET.fromstring(svg_of([FormulaBlock("a", [FormulaRow("a", "+", "b")])], "another"))
    assert names.isdisjoint(symbol.attrib["id"] for symbol in other.iter(f"{space}symbol"))
