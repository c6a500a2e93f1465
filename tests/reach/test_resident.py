import platform

import pytest
import torch
from torch import nn

import bptt
from bptt.reach import resident
from support import normal


@pytest.fixture
def system(monkeypatch):
    """A stand-in for the C library: its `resident` bytes, and how often free memory was returned."""

    class System:
        resident, returned = 0, 0

        @classmethod
        def give_back(cls):
            cls.returned += 1

    monkeypatch.setattr(resident, "resident_bytes", lambda: System.resident)
    monkeypatch.setattr(resident, "return_free_memory", System.give_back)
    return System


def test_free_memory_is_returned_where_the_next_segment_would_exceed_the_limit(system):
    system.resident = 1_000_000_000
    limit = resident.ResidentLimit(memory=100_000_000, peak=60_000_000)
    for grown, kept, returned in ((40, 0, 0), (41, 0, 1), (60, 20, 1), (61, 20, 2), (0, 0, 2)):
        system.resident = 1_000_000_000 + 1_000_000 * grown
        limit.make_way(1_000_000 * kept)
        assert system.returned == returned, (grown, kept)


@pytest.mark.parametrize("grown", [False, True])
def test_the_limit_is_looked_at_before_every_segment(system, grown):
    model, x, d = bptt.GRU(3, 4), normal(500, 1, 3, dtype=torch.float32), torch.zeros(500, 1, 4)
    found = bptt.plan_checkpoints(model, x, d, nn.MSELoss(), memory="60kB")
    assert found.bytes <= found.memory == 60_000

    def growing(x, state=None):
        system.resident = 60_000 if grown else 0
        return model(x, state)

    bptt.checkpointed(growing, x, d, nn.MSELoss(), memory=found)
    walked = found.segments + found.replayed // found.segment
    assert system.returned == (walked - 1 if grown else 0)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc returns memory when asked")
def test_freed_memory_is_returned_to_the_system():
    blocks = [torch.ones(16_000) for _ in range(1000)]  # 64 MB in pieces too small for a mapping of their own
    last = blocks[-1]
    full = resident.resident_bytes()
    del blocks
    resident.return_free_memory()
    assert full - resident.resident_bytes() > 40e6
    assert last.sum() == 16_000
