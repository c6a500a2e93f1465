"""Compiled for GPUs that are not here: the kernels' registers, and the folder that keeps their code."""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from pathlib import Path
from types import ModuleType

import pytest
import torch

from bptt.cuda import compiling
from bptt.cuda.compiling import Compiled, KernelError, compiled
from bptt.cuda.plan import KernelPlan, plan
from bptt.equations import ACTIVATIONS, ElmanEquations
from cuda_standin.machine_code import CAPABILITIES, COUNTED, disassembler, largest_plans, step_loop

try:
    compiling._nvrtc()
    HAS_NVRTC = True
except KernelError:
    HAS_NVRTC = False
with_nvrtc = pytest.mark.skipif(not HAS_NVRTC, reason="NVRTC is not installed: pip install bptt[dev]")

# Instructions of the loop over time, forward and back: of one block, and for each further block of a cluster, to
# which it copies its units, 16 bytes an instruction. Counted with NVRTC 13.5 for the three capabilities below
# (benchmarks/kernel_code.py), and a tenth more is allowed.
BUDGETS = {
    ("tanh", "Bf16"): ((190, 0), (390, 0)),
    ("tanh", "F32"): ((340, 6), (480, 0)),
    ("tanh", "F32Unsplit"): ((410, 5), (370, 10)),
    ("leaky gelu", "Bf16"): ((390, 0), (480, 0)),
    ("leaky gelu", "F32"): ((440, 7), (530, 7)),
    ("leaky gelu", "F32Unsplit"): ((500, 6), (540, 11)),
    ("GRU", "Bf16"): ((500, 0), (680, 3)),
    ("GRU", "F32"): ((870, 7), (690, 28)),
    ("GRU", "F32Unsplit"): ((1060, 0), (700, 0)),
    ("LSTM", "Bf16"): ((580, 0), (600, 11)),
    ("LSTM", "F32"): ((1070, 0), (780, 45)),
    ("LSTM", "F32Unsplit"): ((1720, 0), (770, 22)),
}
# Where a part of the weights is read in each step, by a loop of its own.
STREAMING = {
    ("tanh", "Bf16"): ((250, 0), (520, 0)),
    ("tanh", "F32Unsplit"): ((800, 6), (1260, 54)),
    ("leaky gelu", "Bf16"): ((430, 0), (700, 0)),
    ("leaky gelu", "F32Unsplit"): ((930, 3), (1420, 55)),
    ("GRU", "Bf16"): ((620, 0), (800, 8)),
    ("GRU", "F32Unsplit"): ((2000, 0), (1690, 65)),
    ("LSTM", "Bf16"): ((710, 3), (810, 9)),
    ("LSTM", "F32Unsplit"): ((2600, 0), (1600, 100)),
}


def chosen(cell, dtype, H, packed, capability) -> KernelPlan:
    found = plan(cell, dtype, H, 8, 100, packed, capability)
    assert isinstance(found, KernelPlan), found
    return found


SMALL = chosen(ElmanEquations(ACTIVATIONS["identity"]), torch.bfloat16, 16, False, (9, 0))
CODE = Compiled(b"code\n" * 1000, "forward", "backward", "")


class CUresult(IntEnum):
    """The statuses that old bindings know."""

    CUDA_SUCCESS = 0


@pytest.fixture(autouse=True)
def nothing_warned():
    compiling.warn_once.cache_clear()


@with_nvrtc
def test_a_variant_is_compiled_once_and_then_read(tmp_path, monkeypatch):
    code = compiled(SMALL, (9, 0), tmp_path)
    assert code.cubin.startswith(b"\x7fELF")
    assert code.forward in code.log
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.write_bytes(content[:-1])  # damaged
    assert compiled(SMALL, (9, 0), tmp_path).log
    assert path.read_bytes() == content
    monkeypatch.setattr(compiling, "_compile", None)
    assert compiled(SMALL, (9, 0), tmp_path) == code._replace(log="")


@with_nvrtc
@pytest.mark.parametrize("changed", ["MAIN", "OPTIONS", "source", "capability", "version"])
def test_code_is_found_only_by_all_that_it_depends_on(tmp_path, monkeypatch, changed):
    monkeypatch.setattr(compiling, "_compile", lambda *_: CODE)
    compiled(SMALL, (9, 0), tmp_path)
    if changed == "MAIN":
        monkeypatch.setattr(compiling, "MAIN", compiling.MAIN + b"\n")
    if changed == "OPTIONS":
        monkeypatch.setattr(compiling, "OPTIONS", (*compiling.OPTIONS, "--use_fast_math"))
    if changed == "source":
        monkeypatch.setattr(compiling, "_headers", lambda: {b"walk.h": b"// another"})
    if changed == "version":
        monkeypatch.setattr(compiling._nvrtc(), "nvrtcVersion", lambda: (0, 1, 0))
    compiled(SMALL, (10, 0) if changed == "capability" else (9, 0), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@with_nvrtc
@pytest.mark.parametrize("reason", ["read-only", "full", "no home"])
def test_a_folder_that_keeps_nothing_is_warned_of_once(tmp_path, monkeypatch, reason):
    monkeypatch.setattr(compiling, "_compile", lambda *_: CODE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fails(*_, **__):
        raise OSError("no space left on device")

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    if reason == "read-only":
        (tmp_path / "bptt").write_text("a file where a folder should be")
    if reason == "full":
        monkeypatch.setattr(compiling.os, "replace", fails)
    if reason == "no home":
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr(Path, "home", no_home)
    with pytest.warns(RuntimeWarning, match="every process compiles them again"):
        assert compiled(SMALL, (9, 0)) == CODE
    assert compiled(SMALL, (9, 0)) == CODE  # without a warning, which would be an error
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "bptt"]


def test_who_reads_while_others_write_reads_all_or_nothing(tmp_path):
    path = tmp_path / "code"
    compiling._keep(path, CODE)
    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(compiling._keep, path, CODE) for _ in range(60)]
        while not all(writer.done() for writer in writers):
            assert compiling._read(path) == CODE
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("in_its_place", [None, ModuleType("cuda")], ids=["nothing", "cuda.py"])
def test_without_bindings_the_error_says_what_to_install(monkeypatch, in_its_place):
    for name in [name for name in sys.modules if name.startswith("cuda.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cuda", in_its_place)
    with pytest.raises(KernelError, match=r"cannot be imported \(.*cuda.*\): pip install cuda-bindings"):
        compiled(SMALL, (9, 0), Path("nowhere"))


def test_other_users_may_read_what_is_kept(tmp_path):
    (tmp_path / "another").touch()
    compiling._keep(tmp_path / "code", CODE)
    assert (tmp_path / "code").stat().st_mode == (tmp_path / "another").stat().st_mode


@with_nvrtc
def test_a_source_that_does_not_compile_is_an_error_with_the_compilers_words(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "MAIN", b"#error planted\n")
    with pytest.raises(KernelError, match=r"(?s)does not compile bptt_cuda::forward<.*sm_90a.*planted"):
        compiled(SMALL, (9, 0), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_status_that_the_bindings_do_not_know_is_an_error_of_the_kernels():
    with pytest.raises(KernelError, match=r"CUresult gave a status that cuda.bindings does not know: 9999"):
        compiling._done(CUresult, 9999)


@with_nvrtc
@pytest.mark.slow
@pytest.mark.skipif(disassembler() is None, reason="nvdisasm is not installed: pip install bptt[dev]")
@pytest.mark.parametrize("capability", CAPABILITIES, ids=compiling.architecture)
@pytest.mark.parametrize("cell", COUNTED)
def test_no_step_spills_registers_or_has_too_many_instructions(cell, capability, tmp_path):
    plans = largest_plans(COUNTED[cell], capability)
    assert plans
    for found in plans:
        code = compiled(found, capability, tmp_path)
        (tmp_path / "cubin").write_bytes(code.cubin)
        budgets = (BUDGETS if found.shared is None else STREAMING)[cell, found.precision.name]
        for kernel, budget in zip((code.forward, code.backward), budgets, strict=True):
            loop, (alone, further) = step_loop(tmp_path / "cubin", kernel), budget
            spilled = [line for line in loop if re.search(r"\b(STL|LDL)\b", line)]
            assert not spilled, f"{kernel}\n{code.log}"
            assert len(loop) <= 1.1 * (alone + further * (found.blocks - 1)), kernel
