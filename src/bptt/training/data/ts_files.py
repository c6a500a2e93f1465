"""The .ts format of the UEA and UCR archives of time series classification.

A header of tags (@problemName, @univariate, @dimensions, @equalLength, @seriesLength, @missing, @timeStamps,
@classLabel) ends at @data; then each line is a sequence: its dimensions, separated by colons and each a list of
numbers separated by commas, and its label. A question mark or NaN is a missing value; steps at the end of a
sequence that are missing in all dimensions are padding and no part of it.

Source: Bagnall et al. (2018), "The UEA multivariate time series classification archive".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ...errors import UserError
from ...printable import shortened
from ..options.shared import Missing
from .columns import listed
from .gaps import interpolated
from .labelled import Labelled
from .table_cells import as_numbers
from .text_files import check_file, read_utf8

FLAGS = ("timestamps", "missing", "univariate", "equallength")
NUMBERS = ("dimensions", "serieslength")
TAGS = ("problemname", *FLAGS, *NUMBERS, "classlabel", "data")


@dataclass
class _Header:
    """The meaning of the tags; the first sequence fills in what they leave open."""

    classes: list[str] | None  # None: sequences have no label
    dimensions: int | None
    length: int | None
    equal: bool


def read_ts(path: Path, missing: Missing = "error") -> Labelled:
    """Read a .ts file, whose sequences may be of several lengths; a UserError names the line that is wrong."""
    check_file(path, "a .ts file")
    lines = list(enumerate(read_utf8(path).split("\n"), start=1))
    start, header = _header(path.name, lines)
    names, sequences, labels = [], [], []
    for number, line in lines[start:]:
        if not line.strip() or line.startswith(("#", "%")):
            continue
        where = f"{path.name}, line {number}"
        values, label = _sequence(where, line.strip(), header)
        names.append(str(len(names) + 1))
        labels.append(label)
        if np.isnan(values).all():
            raise UserError(f"{where}: the sequence has no values at all")
        sequences.append(_repaired(where, _unpadded(values), missing))
    if not sequences:
        raise UserError(f"{path.name} has no line after @data; sequences are needed")
    count = sequences[0].shape[1]
    columns = ["x"] if count == 1 else [f"x{place}" for place in range(1, count + 1)]
    return Labelled(path.name, columns, names, sequences, labels, header.classes or [])


def _header(name: str, lines: list[tuple[int, str]]) -> tuple[int, _Header]:
    """How many lines the header has, and its meaning."""
    found: dict[str, Any] = {}
    for place, (number, line) in enumerate(lines):
        where, line = f"{name}, line {number}", line.strip()
        if not line or line.startswith(("#", "%")):
            continue
        if not line.startswith("@"):
            raise UserError(
                f"{where}: {shortened(line)!r} stands before @data; a header of @tags and @data must come first"
            )
        tag, *words = line[1:].split() or [""]
        tag = {"dimension": "dimensions"}.get(tag.lower(), tag.lower())
        if tag != "data":
            found[tag] = _meaning(where, tag, words)
            continue
        if "classlabel" not in found:
            raise UserError(f"{where}: @data comes before any @classLabel")
        dimensions = found.get("dimensions", 1 if found.get("univariate") else None)
        equal = found.get("equallength", False)
        return place + 1, _Header(found["classlabel"], dimensions, found.get("serieslength"), equal)
    raise UserError(f"{name} has no @data; it is no .ts file")


def _meaning(where: str, tag: str, words: list[str]) -> Any:
    """A tag's value: whether, how many, or the labels."""
    if tag == "targetlabel":
        raise UserError(f"{where}: @{tag} means numbers to be predicted; @classLabel is needed")
    if tag not in TAGS:
        raise UserError(
            f"{where}: @{shortened(tag)} is not known; the tags are {', '.join('@' + known for known in TAGS)}"
        )
    if tag in NUMBERS:
        return _number(where, tag, words)
    if tag in FLAGS:
        flag = _flag(where, tag, words)
        if tag == "timestamps" and flag:
            raise UserError(f"{where}: sequences with time stamps cannot be read; write their values alone")
        return flag
    classes = words[1:] if tag == "classlabel" and _flag(where, tag, words) else None
    if classes is not None and len(set(classes)) < max(1, len(classes)):
        raise UserError(f"{where}: @classLabel true needs its labels, each of them once")
    return classes


def _flag(where: str, tag: str, words: list[str]) -> bool:
    if not words or words[0].lower() not in ("true", "false"):
        raise UserError(f"{where}: @{tag} must be true or false, got {_quoted(words)}")
    return words[0].lower() == "true"


def _number(where: str, tag: str, words: list[str]) -> int:
    if len(words) != 1 or not re.fullmatch("0*[1-9][0-9]{0,8}", words[0]):
        raise UserError(f"{where}: @{tag} must be a number from 1 to 999999999, got {_quoted(words)}")
    return int(words[0])


def _quoted(words: list[str]) -> str:
    return repr(shortened(" ".join(words))) if words else "nothing"


def _sequence(where: str, line: str, header: _Header) -> tuple[np.ndarray, str | None]:
    """Values (T, C), NaN where missing, and the label."""
    parts, label = line.split(":"), None
    if header.classes is not None:
        label = parts.pop().strip()
        if label not in header.classes:
            raise UserError(
                f"{where}: label {shortened(label)!r} is none of @classLabel's: {listed(header.classes)}"
            )
    if header.dimensions is None:
        header.dimensions = len(parts)
    if len(parts) != header.dimensions:
        raise UserError(
            f"{where}: {len(parts)} dimensions where {header.dimensions} are needed, separated by colons"
        )
    rows = [part.split(",") for part in parts]
    lengths = [len(row) for row in rows]
    if len(set(lengths)) > 1:
        raise UserError(
            f"{where}: dimensions of {min(lengths)} and of {max(lengths)} values; a step needs one of each"
        )
    if header.equal:
        header.length = header.length or lengths[0]
        if lengths[0] != header.length:
            raise UserError(f"{where}: {lengths[0]} steps where @equalLength promises {header.length}")
    return _values(where, rows).T, label


def _values(where: str, rows: list[list[str]]) -> np.ndarray:
    """The numbers in rows of cells, all of one length."""

    def place(cell: int) -> str:
        dimension, step = divmod(cell, len(rows[0]))
        return f"{where}, dimension {dimension + 1}, step {step + 1}"

    cells = pl.Series([cell for row in rows for cell in row])
    values = as_numbers(cells, place)
    blank = np.isnan(values) & (cells.str.strip_chars() == "").to_numpy()
    if blank.any():
        raise UserError(f"{place(int(blank.argmax()))}: there is nothing; a missing value is written ?")
    return values.reshape(len(rows), -1)


def _unpadded(values: np.ndarray) -> np.ndarray:
    """A sequence (T, C) without the steps at its end in which every value is missing."""
    there = np.flatnonzero(~np.isnan(values).all(1))
    return values[: int(there[-1]) + 1 if len(there) else 0]


def _repaired(where: str, values: np.ndarray, missing: Missing) -> np.ndarray:
    absent = np.isnan(values)
    if not absent.any():
        return values
    step, dimension = np.argwhere(absent)[0]
    if missing == "error":
        raise UserError(
            f"{where}: {int(absent.sum())} missing of {values.size} values, the first in dimension "
            f"{dimension + 1}, step {step + 1}; fill them, or pass --missing interpolate"
        )
    if absent.all(0).any():
        raise UserError(f"{where}: dimension {int(absent.all(0).argmax()) + 1} has no values at all")
    return np.apply_along_axis(interpolated, 0, values)
