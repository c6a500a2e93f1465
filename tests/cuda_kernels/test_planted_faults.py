"""Faults planted in the source of the CUDA kernels: the checks on the CPU find each of them."""

import shutil

import pytest
import torch

from cuda_standin.cases import DTYPES, TOLERANCES, Case, largest_error, walk
from cuda_standin.standin import COMPILER, SOURCE, StandIn

pytestmark = [pytest.mark.slow, pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")]

CASES = [
    Case("tanh", "bfloat16", 50, 11, 6, 64),
    Case("tanh", "float32", 50, 9, 5, 32, blocks=2, in_shared=True),
    Case("GRU", "bfloat16", 20, 9, 5, 32, packed=True),
    Case("tanh", "float32", 50, 9, 5, 32, blocks=2, in_shared=True, precision=1, streams=True),
]
SEEDS = 5
LIVE = " && row < rows) {\n                float"
LIVE_BACK = " && row < rows) {\n                Recorded"
LAST_UNIT = "there[e] = u < H && row < a.B;\n        d[e].h"
LAST_WEIGHT = "from < H ? P::load(W_hh + place_of(n % G"
FORWARD_BARRIER = "        rows = rows_then;\n        barrier<C>();"

# What is wrong: in which file, what stands there, and what the fault puts there.
FAULTS = {
    "nothing": ("walk.h", "", ""),
    "no barrier in the forward loop": ("walk.h", FORWARD_BARRIER, "        rows = rows_then;"),
    "no barrier before the forward loop": ("walk.h", "barrier<C>();\n    for (int t = 0;", "for (int t = 0;"),
    "one buffer for h": ("walk.h", "(1 - (t & 1)) * 8", "(t & 1) * 8"),
    "no barrier in the backward loop": ("walk.h", "barrier<C>();\n        float sums", "float sums"),
    "one buffer for delta": ("walk.h", "deltas + (t & 1) * 8", "deltas"),
    "a block's barrier for a cluster": ("walk.h", "if constexpr (C > 1) cluster_barrier();\n    else ", ""),
    "a barrier that half a warp reaches": (
        "walk.h",
        FORWARD_BARRIER,
        FORWARD_BARRIER.replace("barrier", "if (at.lane.g < 4) barrier"),
    ),
    "padding not written": ("walk.h", "P::put(then", "if (there[e]) P::put(then"),
    "a store past the last row": ("walk.h", "row < a.B;\n        state", "row <= a.B;\n        state"),
    "two columns of a weight exchanged": ("precisions.h", "get(g, k), get(g, k + 1)", "get(g, k + 1), get(g, k)"),
    "TF32 without the low part": ("precisions.h", "        mma_tf32(d, a.low, b.b0.high, b.b1.high);\n", ""),
    "steps after a sequence's end": ("walk.h", LIVE, LIVE.replace(" && row < rows", "")),
    "steps after a sequence's end, backward": ("walk.h", LIVE_BACK, LIVE_BACK.replace(" && row < rows", "")),
    "a sequence's end one row late": ("walk.h", LIVE_BACK, LIVE_BACK.replace("row < rows", "row <= rows")),
    "buffers of h changed every second step": (
        "walk.h",
        "now = states + (t & 1) * 8;\n        Row* then = states + (1 - (t & 1)) * 8",
        "now = states + (t >> 1 & 1) * 8;\n        Row* then = states + (1 - (t >> 1 & 1)) * 8",
    ),
    "buffers of delta changed every second step": ("walk.h", "deltas + (t & 1) * 8", "deltas + (t >> 1 & 1) * 8"),
    "the last unit of a partial tile dropped": ("walk.h", LAST_UNIT, LAST_UNIT.replace("u < H", "u + 1 < H")),
    "the last row of a partial tile dropped": ("walk.h", LAST_UNIT, LAST_UNIT.replace("row <", "row + 1 <")),
    "the last weight of a partial tile dropped": ("walk.h", LAST_WEIGHT, LAST_WEIGHT.replace("<", "+ 1 <", 1)),
    "the first streamed product left out": ("walk.h", "k = held; k < KT; ++k) {", "k = held + 1; k < KT; ++k) {"),
    "streamed weights of the first products": ("walk.h", "others[k * 32]", "others[(k - held) * 32]"),
    "streamed weights of another warp": ("walk.h", "Offset(at.first_unit() / 16)", "Offset(at.first_unit() / 32)"),
    "the wrong step before": ("walk.h", "a.sizes[t - 1] : a.recorded", "a.sizes[t] : a.recorded"),
    "no barrier before a warp's units are copied": ("walk.h", "    warp_barrier();\n", ""),
    "units copied to one block alone": ("walk.h", "rank < C;", "rank < C - 1;"),
    "weights of another warp": ("walk.h", "(threadIdx.x / 32) * N * 32 + ", ""),
    "an equation's sign": ("gru.h", "(at.h_prev - n)", "(at.h_prev + n)"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault, tmp_path):
    name, there, instead = FAULTS[fault]
    source = tmp_path / "source"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    text = (source / name).read_text()
    assert there in text
    (source / name).write_text(text.replace(there, instead, 1))
    standin = StandIn([case.plan for case in CASES], tmp_path, source)
    assert any(is_found(case, standin) for case in CASES) == (fault != "nothing")


def is_found(case: Case, standin: StandIn) -> bool:
    results = []
    for standin.seed in range(SEEDS):
        try:
            results.append(walk(case, standin))
        except RuntimeError:
            return True
    allowed = TOLERANCES[DTYPES[case.dtype]]
    wrong = any(not largest_error(found) < allowed for found in results)
    return wrong or any(not torch.equal(found["y"][0], results[0]["y"][0]) for found in results)
