"""The choice of a variant of the CUDA kernels."""

import copy
import re
from itertools import product

import pytest
import torch

from bptt import Activation
from bptt.cuda.arguments import SIZES, TENSORS
from bptt.cuda.plan import DEVICES, PRECISIONS, KernelPlan, plan
from bptt.equations import ACTIVATIONS, ElmanEquations, GRUEquations, LSTMEquations
from cuda_standin.standin import SOURCE

CALL = {"dtype": torch.bfloat16, "H": 64, "B": 32, "T": 100, "packed": False, "capability": (9, 0)}
SINE = Activation(torch.sin, torch.cos, keeps="input", name="tanh")


@pytest.mark.parametrize(
    ("cell", "H", "capability", "units", "blocks", "in_shared"),
    [
        (ElmanEquations(), 128, (9, 0), 128, 1, False),
        (ElmanEquations(), 128, (8, 0), 128, 1, False),
        (ElmanEquations(), 1024, (9, 0), 64, 16, True),
        (GRUEquations(), 512, (9, 0), 32, 16, True),
        (LSTMEquations(), 512, (9, 0), 32, 16, True),
        (LSTMEquations(), 5, (8, 0), 16, 1, False),
    ],
)
def test_small_layers_stay_in_registers_and_larger_ones_are_shared(cell, H, capability, units, blocks, in_shared):
    chosen = plan(cell, **CALL | {"H": H, "capability": capability})
    assert isinstance(chosen, KernelPlan)
    assert (chosen.units, chosen.blocks, chosen.in_shared) == (units, blocks, in_shared)


@pytest.mark.parametrize(
    ("cell", "changes", "words"),
    [
        (ElmanEquations(SINE), {}, "no activation 'tanh'"),
        (GRUEquations(), {"dtype": torch.float64}, "no torch.float64"),
        (GRUEquations(), {"capability": (7, 5)}, "compute capability 7.5"),
        (GRUEquations(), {"T": 1}, "1 steps are too few"),
        (GRUEquations(), {"T": 2**31, "B": 1}, "more than 2147483647 states"),
        (GRUEquations(), {"H": 0}, "0 units has no weights"),
        (GRUEquations(), {"H": 2000}, "2000 units fit no cluster"),
        (LSTMEquations(), {"H": 1024}, "to read more than 192 KiB of them from L2 in each step gains nothing"),
        (GRUEquations(), {"B": 100_000}, "a batch of 100000"),
        (GRUEquations(), {"dtype": torch.float32}, "cuDNN keeps the weights of 64 units"),
    ],
)
def test_a_refusal_says_why(cell, changes, words):
    answer = plan(cell, **CALL | changes)
    assert isinstance(answer, str)
    assert words in answer


def test_a_large_batch_takes_the_variant_of_fewer_blocks():
    call = CALL | {"H": 200}
    few, many = plan(ElmanEquations(), **call | {"B": 2000}), plan(ElmanEquations(), **call | {"B": 4000})
    assert isinstance(few, KernelPlan)
    assert isinstance(many, KernelPlan)
    assert (few.blocks, few.in_shared) == (2, False)
    assert (many.blocks, many.in_shared) == (1, True)


def test_a_large_lstm_in_float32_is_split_where_it_is_multiplied():
    small, large = (
        plan(LSTMEquations(), **CALL | {"dtype": torch.float32, "H": H, "packed": True}) for H in (128, 256)
    )
    assert isinstance(small, KernelPlan)
    assert isinstance(large, KernelPlan)
    assert (small.precision.name, small.blocks) == ("F32", 4)
    assert (large.precision.name, large.blocks) == ("F32Unsplit", 8)


@pytest.mark.parametrize(
    ("cell", "dtype", "H", "capability", "blocks"),
    [
        (LSTMEquations(), torch.float32, 512, (9, 0), 16),
        (LSTMEquations(), torch.float32, 128, (8, 0), 1),
        (GRUEquations(), torch.float32, 512, (9, 0), 16),
        (ElmanEquations(), torch.bfloat16, 1536, (9, 0), 16),
    ],
)
def test_a_larger_layer_reads_a_part_of_its_weights_in_each_step(cell, dtype, H, capability, blocks):
    call = CALL | {"dtype": dtype, "H": H, "capability": capability, "packed": True}
    chosen = plan(cell, **call)
    assert isinstance(chosen, KernelPlan)
    assert chosen.blocks == blocks
    assert chosen.layout.startswith("W_hh in L2 and the shared memory of")
    assert 0 < chosen.held(True) < cell.gates * chosen.padded // chosen.precision.columns
    assert 0 < chosen.streamed_bytes() <= 192 * 1024
    answer = plan(cell, **call | {"B": 8 * 128 // blocks + 1})
    assert isinstance(answer, str)
    assert "more than 128" in answer  # which all read at once


def test_a_variant_that_failed_to_load_is_passed_over():
    call = CALL | {"H": 200}
    first = plan(ElmanEquations(), **call)
    assert isinstance(first, KernelPlan)
    second = plan(ElmanEquations(), **call, failed={first: "no place"})
    assert isinstance(second, KernelPlan)
    assert second != first
    every = {}
    while isinstance(found := plan(ElmanEquations(), **call, failed=every), KernelPlan):
        every[found] = f"no place for {found.blocks} blocks"
    assert found == every[first]
    assert len(every) > 2


def test_a_copied_cell_has_the_same_variant():
    cell = ElmanEquations()
    assert plan(copy.deepcopy(cell), **CALL) == plan(cell, **CALL)


def test_cudnn_is_not_preferred_for_cells_that_it_does_not_have():
    call = CALL | {"dtype": torch.float32, "H": 32}
    assert isinstance(plan(ElmanEquations(ACTIVATIONS["softplus"]), **call), KernelPlan)
    assert isinstance(plan(ElmanEquations(leak=0.5), **call), KernelPlan)
    assert isinstance(plan(GRUEquations(), **call | {"packed": True}), KernelPlan)


def test_the_documented_largest_layers_are_the_planners():
    cells = {"RNN": ElmanEquations(), "GRU": GRUEquations(), "LSTM": LSTMEquations()}
    text = (SOURCE.parents[2] / "docs" / "kernels.md").read_text()
    rows = re.findall(r"\| (RNN|GRU|LSTM) \| (\w+)(?:, (\w+))? \| ([\d, |]+) \|\n", text)
    assert len(rows) == 6
    for name, *dtypes, columns in rows:
        for dtype, (column, capability) in product(
            filter(None, dtypes), zip(columns.split(" | "), [(8, 0), (9, 0), (12, 0)], strict=True)
        ):
            call = CALL | {"dtype": getattr(torch, dtype), "B": 8, "capability": capability, "packed": True}
            fitting, largest = map(int, column.split(", "))
            answers = [plan(cells[name], **call | {"H": H}) for H in (fitting, fitting + 1, largest, largest + 1)]
            streams = [isinstance(a, str) or a.shared is not None for a in answers]
            assert (streams[0], streams[1]) == (False, True), (name, dtype, capability)
            assert [isinstance(a, str) for a in answers[2:]] == [False, True], (name, dtype, capability)


def test_every_plan_has_all_units_and_fits_its_device():
    cells = ElmanEquations(), GRUEquations(), LSTMEquations()
    sizes = range(1, 1100, 37)
    chosen = 0
    for cell, dtype, H, capability in product(cells, PRECISIONS, sizes, DEVICES):
        answer = plan(cell, **CALL | {"dtype": dtype, "H": H, "capability": capability, "packed": True})
        if isinstance(answer, KernelPlan):
            chosen += 1
            assert H <= answer.padded < H + 16 * answer.blocks
            assert answer.blocks <= DEVICES[capability].cluster
            assert answer.fits(DEVICES[capability])
    assert chosen > 500


def test_arguments_are_those_of_the_kernels():
    text = re.search(r"struct Arguments \{[^\n]*\n(.*?)\n\};", (SOURCE / "walk.h").read_text(), re.DOTALL)
    assert text is not None
    fields = re.findall(r"\*?(\w+)[,;]", re.sub(r"//.*", "", text[1]))
    assert fields == [*SIZES, "leak", *TENSORS]


def test_every_activation_has_a_twin():
    text = (SOURCE / "activations.h").read_text()
    assert set(re.findall(r"struct (\w+) \{", text)) == {name.title() for name in ACTIVATIONS}
    for name, activation in ACTIVATIONS.items():
        keeps = re.search(rf"struct {name.title()} \{{\n.*keeps_input = (\w+);", text)
        assert keeps is not None
        assert keeps[1] == str(activation.keeps == "input").lower()
