"""Whether a table is too large to be read as a whole."""

from __future__ import annotations

import os

from ...errors import UserError
from ...reach.plan import bytes_in, shown
from ..config import TrainConfig

# What a table takes in memory beside its size on disk: a CSV's cells are read as text, Parquet is compressed.
FOOTPRINT = {".csv": 20, ".parquet": 12, ".pq": 12, ".npy": 4}


def is_streamed(config: TrainConfig) -> bool:
    """Whether a table is too large to be read as a whole.

    Raises:
        UserError: it is, and its errors are to go back to the first row; or --memory makes no sense.
    """
    if config.data is None or not config.data.is_file():
        return False
    half = machine_memory() // 2
    allowed = half
    if config.reach == "truncated" and config.memory is not None:
        allowed = bytes_in(config.memory)
    takes = config.data.stat().st_size * FOOTPRINT.get(config.data.suffix.lower(), 1)
    if takes <= allowed:
        return False
    if config.reach != "truncated":
        raise UserError(
            f"{config.data} would take about {shown(takes)} of memory, more than {shown(half)}, half of this "
            f"machine's; --reach {config.reach} needs all of it: pass --reach truncated, which reads it piece by "
            "piece"
        )
    return True


def machine_memory() -> int:
    """The machine's memory in bytes; 8 GiB where it cannot be asked."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 8 * 2**30
