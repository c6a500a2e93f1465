"""A limit on the resident memory of this process, for checkpointed BPTT."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path


class ResidentLimit:
    """How far this process may grow while segments are walked.

    glibc keeps freed memory, in pieces that the tensors of the next segment may not fit into. Where it and the
    next segment would exceed the limit, it is returned to the system; page faults are the price. Other C libraries
    are left alone.

    Args:
        memory: bytes beyond the resident memory of now.
        peak: predicted bytes of tensors and kernels at the peak, checkpoints included.
    """

    def __init__(self, memory: int, peak: int) -> None:
        self._peak, self._memory, self._before = peak, memory, resident_bytes()

    def make_way(self, kept: int) -> None:
        """Return free memory, if needed, before a segment is walked; `kept` bytes of the peak are checkpoints."""
        grown = resident_bytes() - self._before
        if grown + self._peak - kept > self._memory:
            return_free_memory()


def resident_bytes() -> int:
    """Bytes of this process in main memory; 0 where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return 0
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def return_free_memory() -> None:
    """Return freed memory to the system, where the C library is glibc."""
    if sys.platform.startswith("linux") and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)
