"""The source of the CUDA kernels, on the CPU, beside the equations in float64."""

import pytest
import torch

from cuda_standin.cases import DTYPES, TOLERANCES, Case, every_case, largest_error, walk
from cuda_standin.standin import COMPILER, StandIn

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")

FEW = [
    Case("tanh", "bfloat16", 20, 9, 4, 16, blocks=2),
    Case("GRU", "float16", 13, 9, 4, 16, packed=True),
    Case("LSTM", "float32", 11, 3, 3, 16, in_shared=True),
    Case("LSTM", "float32", 20, 3, 3, 16, blocks=2, in_shared=True, precision=1),
    Case("LSTM", "float32", 20, 3, 3, 16, blocks=2, in_shared=True, precision=1, streams=True),
    Case("GRU", "bfloat16", 40, 9, 3, 48, packed=True, in_shared=True, streams=True),
]
MANY = [
    case
    for case in every_case()
    if case.cell in ("tanh", "leaky gelu", "GRU", "LSTM") or (case.blocks, case.units) == (1, 16)
]


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return StandIn([case.plan for case in FEW], tmp_path_factory.mktemp("standin"))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return StandIn([case.plan for case in MANY], tmp_path_factory.mktemp("standin"))


def agrees(case: Case, standin: StandIn, seeds: int) -> None:
    results = []
    for standin.seed in range(seeds):
        results.append(walk(case, standin))
        assert largest_error(results[-1]) < TOLERANCES[DTYPES[case.dtype]], f"schedule {standin.seed}"
    for name, (found, _) in results[0].items():
        assert all(torch.equal(found, other[name][0]) for other in results), f"{name} depends on the schedule"


@pytest.mark.parametrize("case", FEW, ids=str)
def test_a_walk_gives_the_equations_numbers(case, few):
    agrees(case, few, seeds=2)


@pytest.mark.slow
@pytest.mark.parametrize("case", MANY, ids=str)
def test_every_cell_dtype_and_variant_gives_the_equations_numbers(case, many):
    agrees(case, many, seeds=4)
