"""NumPy's .npy files of numbers as memory maps; other contents are refused unread."""

from __future__ import annotations

import math
import tokenize
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...errors import UserError
from .text_files import check_encoding

HEADER_ERRORS = (ValueError, TypeError, SyntaxError, MemoryError, RecursionError, tokenize.TokenError)
MAGIC = b"\x93NUMPY"
NATIVE = {"f": np.float64, "i": np.int64, "u": np.uint64, "b": np.bool_}


def read_npy(path: Path) -> np.ndarray:
    """A .npy file of numbers as a memory map (rows, columns).

    Raises:
        UserError: it is no such file, is damaged, or holds something else than numbers in one or two dimensions.
    """
    try:
        with path.open("rb") as file:
            shape, fortran, dtype = _header(file, path)
            offset = file.tell()
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror}") from error
    if len(shape) not in (1, 2) or dtype.kind not in NATIVE:
        raise UserError(f"{path} is {dtype} {shape}; numbers (rows,) or (rows, columns) are needed")
    there, needed = path.stat().st_size - offset, math.prod(shape) * dtype.itemsize
    if there < needed:
        raise UserError(f"{path} is damaged: {shape} {dtype} takes {needed} bytes, and {there} are there")
    if not needed:
        raise UserError(f"{path} is {shape}: it holds no numbers")
    array = np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
    return array if array.ndim == 2 else array[:, None]


def native(array: np.ndarray) -> np.ndarray:
    """The numbers in this machine's byte order and a width that polars reads; NaN where they are masked."""
    if isinstance(array, np.ma.MaskedArray):
        return np.ma.filled(array.astype(np.float64), np.nan)
    return np.array(array, dtype=NATIVE[array.dtype.kind])


def _header(file: BinaryIO, path: Path) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether the order is Fortran's, and dtype; leaves the file at the first number."""
    head = file.read(16)
    if not head.startswith(MAGIC):
        check_encoding(path, head)
        raise UserError(f"{path} is no .npy file: it does not begin as one; np.save writes them")
    file.seek(0)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        version = np.lib.format.read_magic(file)
        if version not in read:
            raise UserError(f"{path} has version {version} of .npy; 1.0 and 2.0 hold numbers")
        shape, fortran, dtype = read[version](file)
    except HEADER_ERRORS as error:
        raise UserError(f"{path} has a damaged .npy header") from error
    if any(type(size) is not int or size < 0 for size in shape):
        raise UserError(f"{path} has a damaged .npy header: its shape is {shape}")
    return shape, fortran, dtype
