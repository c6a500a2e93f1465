"""Errors of memory that ran out, with the bytes and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ..checks import ran_out_of_memory


@contextmanager
def memory_advice(what: str, advice: str) -> Iterator[None]:
    """If memory runs out, the error says in what, how much was asked for and was free, and what to do.

    Its type stays the one that torch raised: torch.OutOfMemoryError on a GPU, RuntimeError on a CPU.
    """
    try:
        yield
    except RuntimeError as error:
        if not ran_out_of_memory(error):
            raise
        asked = re.search(r"tried to allocate ([\d.]+ ?\w+)", str(error), re.IGNORECASE)
        free = re.search(r"of which ([\d.]+ ?\w+) is free", str(error))
        sizes = [f"{asked[1]} more were asked for" if asked else "", f"{free[1]} were free" if free else ""]
        found = " and ".join(filter(None, sizes))
        raise type(error)(f"out of memory in {what}{found and ': '}{found}; {advice}") from error
