"""Bytes as text: "64MB" is read as 64·10⁶, and written with two or three digits."""

from __future__ import annotations

import re

UNITS = {"": 1, "b": 1} | {
    f"{letter}{ending}": base**power
    for power, letter in enumerate("kmgt", start=1)
    for ending, base in (("b", 1000), ("ib", 1024))
}
TOO_MANY = 2**64


def parse_bytes(memory: str | int) -> int:
    """The number of bytes: "64MB" is 64·10⁶, "64MiB" 64·2²⁰.

    Raises:
        TypeError, ValueError: it makes no sense.

    >>> parse_bytes("1.5KiB")
    1536
    """
    if isinstance(memory, bool) or not isinstance(memory, str | int):
        raise TypeError(f'memory must be an int of bytes or text as "64MB", got {type(memory).__name__}')
    if isinstance(memory, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", memory.lower(), re.ASCII)
        if match is None or match[2] not in UNITS:
            raise ValueError(
                f"memory={quoted(memory)} makes no sense; write a number and one of B, kB, MB, GB, TB, KiB, MiB, "
                'GiB, TiB, for example "64MB"'
            )
        size = min(float(match[1]) * UNITS[match[2]], TOO_MANY)  # an infinity cannot be an int
    else:
        size = memory
    if size < 1:
        raise ValueError(f"memory must be at least 1 byte, got {quoted(memory)}")
    if size >= TOO_MANY:
        raise ValueError(f"memory={quoted(memory)} is more than any machine has: it must be below 2**64 bytes")
    return int(size)


def quoted(memory: str | int) -> str:
    """A memory as it was written, shortened where it has very many characters."""
    if isinstance(memory, int):
        return str(memory) if abs(memory) < TOO_MANY else f"<an int of {memory.bit_length()} bits>"
    return repr(memory if len(memory) <= 40 else f"{memory[:18]}...{memory[-18:]}")


def format_bytes(size: int) -> str:
    """Bytes as text of two or three digits, rounded up."""
    for unit in ("TB", "GB", "MB", "kB"):
        scale = UNITS[unit.lower()]
        if size >= scale:
            tenths = -(-size * 10 // scale)
            return f"{tenths // 10}.{tenths % 10}{unit}"
    return f"{size}B"
