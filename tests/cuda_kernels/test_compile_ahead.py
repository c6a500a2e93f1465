"""`python -m bptt.cuda`, which compiles variants before they are needed."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from bptt.cuda import __main__ as ahead
from bptt.cuda import compiling
from bptt.cuda.compiling import Compiled, KernelError
from bptt.cuda.plan import cell_type

LARGE_LSTM = ["9.0", "--cell", "LSTM", "--dtype", "float32", "--units", "128", "256"]


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What is compiled, in place of compiling it."""
    found = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(ahead, "compile_ahead", lambda *arguments: found.append(arguments) or arguments[0])
    return found


def test_the_variants_of_a_size_are_compiled_into_the_folder_that_is_printed(asked, capsys, tmp_path):
    assert ahead._main(LARGE_LSTM) == 0
    ((plans, capability, folder),) = asked
    assert (capability, folder) == ((9, 0), tmp_path / "bptt" / "cuda")
    taken = [(found.precision.name, found.packed) for found in plans]
    assert taken == [("F32", True), ("F32Unsplit", False), ("F32Unsplit", True)]  # cuDNN has the other
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "1 of 3: <F32, LSTM, 32, 4, true, true>"
    assert printed[3] == f"3 variants for sm_90a are in {folder}"


def test_every_cell_and_dtype_is_compiled_where_none_is_named(asked):
    ahead._main(["8.0", "--units", "16"])
    ((plans, _, _),) = asked
    assert {found.cell.name for found in plans} == {cell_type(cell).name for cell in ahead.CELLS.values()}
    assert {found.precision.name for found in plans} == {"Bf16", "Fp16", "F32"}


@pytest.mark.parametrize("units", ["0", "-16", "5000"])
def test_units_that_no_variant_has_are_an_error(asked, capsys, units):
    with pytest.raises(SystemExit):
        ahead._main(["9.0", "--cell", "GRU", "--units", units])
    assert "no kernels for compute capability 9.0 have these" in capsys.readouterr().err
    assert not asked


def test_what_cannot_be_compiled_is_an_error(asked, monkeypatch, capsys):
    def fails(*_):
        raise KernelError("NVRTC is not installed")

    monkeypatch.setattr(ahead, "compile_ahead", fails)
    assert ahead._main(LARGE_LSTM) == 1
    assert capsys.readouterr().err == "NVRTC is not installed\n"


def test_a_folder_that_keeps_nothing_is_an_error(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(compiling, "_nvrtc", lambda: SimpleNamespace(nvrtcVersion=lambda: (0, 13, 5)))
    monkeypatch.setattr(compiling, "_compile", lambda *_: Compiled(b"code", "forward", "backward", ""))
    (found, *_) = ahead.variants(["identity"], ["bfloat16"], [16], (9, 0))
    with pytest.raises(KernelError, match=r"cannot be kept in .*file.*set XDG_CACHE_HOME"):
        compiling._put(found, (9, 0), tmp_path / "file")


def test_without_a_home_there_is_no_folder(asked, monkeypatch, capsys):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(SystemExit):
        ahead._main(LARGE_LSTM)
    assert "set XDG_CACHE_HOME" in capsys.readouterr().err


@pytest.mark.slow
def test_processes_compile_into_a_folder(tmp_path):
    try:
        compiling._nvrtc()
    except KernelError:
        pytest.skip("NVRTC is not installed: pip install bptt[dev]")
    plans = list(ahead.variants(["identity"], ["bfloat16"], [16], (9, 0)))
    assert set(compiling.compile_ahead(plans, (9, 0), tmp_path)) == set(plans)
    assert len(list(tmp_path.iterdir())) == len(plans) == 2
