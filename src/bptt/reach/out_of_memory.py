"""Errors of too little memory: the bytes in a line, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ..checks import ran_out_of_memory


@contextmanager
def memory_advice(what: str, advice: str) -> Iterator[None]:
    """If memory runs out, the error says how much was asked for and was free, in what, and what to do.

    Its type stays the one that torch raised: torch.OutOfMemoryError on a GPU, RuntimeError on a CPU.
    """
    try:
        yield
    except RuntimeError as error:
        if (said := out_of_memory(error)) is None:
            raise
        raise type(error)(f"{said}, in {what}; {advice}") from error


def out_of_memory(error: BaseException) -> str | None:
    """What an error of too little memory says, a device's or the machine's, in a line; None of another error."""
    if isinstance(error, MemoryError):
        return str(error) or "out of memory"
    if not ran_out_of_memory(error):
        return None
    cause = error.__cause__  # torch's own, where advice was added
    text = " ".join(str(cause if cause is not None and ran_out_of_memory(cause) else error).split())
    asked = re.search(r"tried to allocate ([\d.]+ ?\w+)", text, re.IGNORECASE)
    free = re.search(r"capacity of ([\d.]+ ?\w+) of which ([\d.]+ ?\w+) is free", text)
    where = re.search(r"\bGPU (\d+)\b", text)
    said = f"GPU {where[1]} is out of memory" if where else "out of memory"
    said += f": {asked[1]} more were needed" if asked else f": {text[:200]}"
    return said + (f", and {free[2]} of {free[1]} are free" if free else "")
