"""The cells of the CUDA kernels beside their equations, and the page that shows both."""

import re

import pytest

from cuda_standin.standin import SOURCE

ROOT = SOURCE.parents[2]
PAGE = (ROOT / "docs" / "kernels.md").read_text()
CELLS = "elman", "gru", "lstm"


def equation_comments(text: str) -> list[str]:
    """The comments that name equations, in their order, but for the projection and the products with W_hh."""
    found = re.findall(r"(?:  # |// )(\(\d\).*)", text)
    unprojected = (comment for comment in found if "(7)" not in comment)
    elementwise = (re.sub(r" and \(1\)-\(\d\)", "", comment) for comment in unprojected)
    return [comment for comment in elementwise if not re.fullmatch(r"\(1\)(-\(\d\))? into h_prev", comment)]


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_has_the_lines_of_its_equations_in_their_order(cell):
    python = (SOURCE.parent / "equations" / f"{cell}.py").read_text()
    steps, adjoint = python.split("def step_adjoint")
    cpp_steps, cpp_adjoint = (SOURCE / f"{cell}.h").read_text().split("static DEVICE void adjoint")
    assert equation_comments(adjoint) == equation_comments(cpp_adjoint)
    numbers = [set(re.findall(r"\(\d\)", " ".join(equation_comments(part)))) for part in (steps, cpp_steps)]
    assert numbers[0] == numbers[1]
    assert len(numbers[0]) > 1


def test_the_page_shows_every_cell_beside_its_equations():
    shown = re.findall(r"```\{literalinclude\} \.\./(\S+)\n((?::.*\n)+)```", PAGE)
    assert [path for path, _ in shown] == [
        f"src/bptt/{folder}" for cell in CELLS for folder in (f"equations/{cell}.py", f"cuda/{cell}.h")
    ]
    for path, options in shown:
        text = (ROOT / path).read_text()
        start, *end = re.findall(r':(?:start-at|end-before): "(.*)"', options)
        assert text.count(start) == 1, path
        shown_part = text[text.index(start) :].split(*end)[0] if end else text[text.index(start) :]
        assert "adjoint(" in shown_part, path
