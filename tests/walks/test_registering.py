"""`import bptt` is enough to load an exported program, in either order with `import torch`."""

import subprocess
import sys

import pytest
import torch

import bptt
from bptt.walks import kernels
from support import normal

# To ask whether there is a torch is not to import it.
ASKED = "import sys, importlib.util; importlib.util.find_spec('torch'); assert 'torch' not in sys.modules"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with an exported model, and with an input and output of it."""
    folder = tmp_path_factory.mktemp("exported")
    module, x = bptt.GRU(3, 5).eval(), normal(4, 2, 3, dtype=torch.float32)
    torch.export.save(torch.export.export(module, (x,)), folder / "gru.pt2")
    torch.save({"x": x, "y": module(x)[0]}, folder / "wanted.pt")
    return folder


@pytest.mark.skipif(not kernels.available(), reason="installed without the native kernels")
@pytest.mark.parametrize(
    "imports", [f"import bptt; {ASKED}; import torch", pytest.param("import torch, bptt", marks=pytest.mark.slow)]
)
def test_an_exported_model_loads_where_bptt_was_only_imported(imports, exported):
    program = f"""{imports}
wanted = torch.load(r"{exported / "wanted.pt"}")
exported = torch.export.load(r"{exported / "gru.pt2"}").module()
assert torch.equal(exported(wanted["x"])[0], wanted["y"])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


OTHERS = ("bptt.sklearn", "bptt.equations", "bptt.walks.kernels")


@pytest.mark.parametrize(
    "name", ["bptt.walks.operators", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
)
def test_any_of_its_modules_may_be_the_one_that_brings_torch(name):
    program = f"import {name}, torch; torch.ops.bptt.walk"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_after_torch_it_registers_at_once_and_loads_no_compiler():
    """Which would take as long as torch itself."""
    program = """import sys, torch, bptt
torch.ops.bptt.walk
bptt.GRU(3, 5)(torch.zeros(4, 2, 3))
assert "torch._dynamo" not in sys.modules
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_bptt_alone_brings_no_torch():
    program = "import sys, bptt; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
