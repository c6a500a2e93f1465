"""Equations as docstrings write them, h_t = (1 - z) n + z h_{t-1}, in LaTeX."""

import ast
import re
import textwrap

NAMES = {"α": r"\alpha", "δ": r"\delta", "σ": r"\sigma", "Φ": r"\Phi", "Σ": r"\sum", "tanh": r"\tanh"}
LETTER = r"[A-Za-zα-ωΑ-Ω]+"
INDEXED = rf"({LETTER})(?:_(\{{[^}}]*\}}|[A-Za-z0-9]+))?('?ᵀ?)"
NUMBER = re.compile(r"\(\d+\)(-\(\d+\))?")
TOKENS = re.compile(rf"∂{INDEXED}/∂{INDEXED}|{INDEXED}(\()?|\.\.\.|·|[^\w]|\d+")


def is_equation(block: list[str]) -> bool:
    """Whether a block holds equations and is not Python."""
    if not any(" = " in line for line in block):
        return False
    try:
        ast.parse(textwrap.dedent("\n".join(block)))
    except SyntaxError:
        return True
    return False


def latex(block: list[str]) -> str:
    """A block of equations, one a line, as one aligned formula.

    What stands two spaces or more further right is another equation, its number or a remark; a line that is
    indented further belongs to the one above it.
    """
    lines = textwrap.dedent("\n".join(block)).splitlines()
    return "\n".join([r"\begin{aligned}", " \\\\\n".join(_row(line) for line in lines if line), r"\end{aligned}"])


def _row(line: str) -> str:
    first, *others = re.split(r"\s{2,}", line.strip())
    row = rf"&\quad {_math(first)}" if line.startswith(" ") else _math(first).replace(" = ", " &= ", 1)
    for cell in others:
        if NUMBER.fullmatch(cell):
            row += rf" &&\quad \text{{{cell}}}"
        else:
            row += r"\quad " + (_math(cell) if " = " in cell else rf"\text{{{cell}}}")
    return row


def _math(cell: str) -> str:
    """One equation; words in it stay words."""
    out, words = "", ""
    for token in TOKENS.finditer(cell):
        above, _, _, below, _, _, letters, index, marks, opens = token.groups()
        if above and below:
            numerator, denominator = token.group()[1:].split("/∂")
            found = rf"\frac{{\partial {_math(numerator)}}}{{\partial {_math(denominator)}}}"
        elif letters and len(letters) > 1 and not index and not opens and "ᵀ" not in marks:
            words += letters + marks
            continue
        elif letters:
            found = _letter(letters, index, marks) + (opens or "")
        elif words and token.group() in " ,:":
            words += token.group()
            continue
        else:
            found = {"...": r"\dots", "·": r"\cdot "}.get(token.group(), token.group())
        out, words = out + _text(words) + found, ""
    return out + _text(words)


def _letter(letters: str, index: str | None, marks: str) -> str:
    letters = NAMES.get(letters, letters if len(letters) == 1 else rf"\mathrm{{{letters}}}")
    index = "" if index is None else "_" + (index if index.startswith("{") else f"{{{index}}}")
    return letters + index + marks.replace("ᵀ", r"^{\mathsf{T}}")


def _text(words: str) -> str:
    return rf"\text{{ {words}}}" if words else ""
