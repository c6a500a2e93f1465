"""The calls of the CUDA driver, which are recorded in its place."""

import ctypes
import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bptt.cuda import launching
from bptt.cuda.arguments import Arguments
from bptt.cuda.compiling import Compiled, KernelError, PlaceError
from bptt.cuda.launching import Driver
from bptt.cuda.plan import KernelPlan, plan
from bptt.equations import ElmanEquations, GRUEquations, LSTMEquations
from bptt.walks import cuda
from bptt.walks.call import Call
from bptt.walks.cuda_variants import Variants
from devices import OTHER
from support import layer, normal

driver = pytest.importorskip(
    "cuda.bindings.driver", reason="cuda.bindings is not installed: pip install bptt[dev]"
)

GPU = torch.device("cuda:0")
FINE, OLD = driver.CUresult.CUDA_SUCCESS, driver.CUresult.CUDA_ERROR_UNSUPPORTED_PTX_VERSION


def plan_of(H: int) -> KernelPlan:
    found = plan(ElmanEquations(), torch.bfloat16, H, 20, 100, False, (9, 0))
    assert isinstance(found, KernelPlan)
    return found


@pytest.fixture
def calls(monkeypatch):
    """The driver's answers by its functions' names; a call adds itself to `made`."""
    made = []
    answers = {
        "cuDeviceGet": (FINE, "device"),
        "cuDevicePrimaryCtxRetain": (FINE, "context"),
        "cuCtxPushCurrent": (FINE,),
        "cuCtxPopCurrent": (FINE, "context"),
        "cuModuleLoadData": (FINE, "module"),
        "cuModuleGetFunction": (FINE, "function"),
        "cuFuncSetAttribute": (FINE,),
        "cuOccupancyMaxActiveClusters": (FINE, 1),
        "cuLaunchKernelEx": (FINE,),
    }

    def recorded(name):
        def function(*arguments):
            made.append((name, *arguments))
            if isinstance(answers[name], Exception):
                raise answers[name]
            return answers[name]

        return function

    def launch(config, kernel, parameters, extra):
        """Reads the kernel's argument as the driver does, through the address of its address."""
        if parameters:
            at = ctypes.c_void_p.from_address(parameters).value
            launched.append(Arguments.from_buffer_copy(ctypes.string_at(at, ctypes.sizeof(Arguments))))
        return recorded("cuLaunchKernelEx")(config, kernel, parameters, extra)

    launched = []
    functions = {name: recorded(name) for name in answers} | {"cuLaunchKernelEx": launch}
    types = {name: getattr(driver, name) for name in dir(driver) if name.startswith("CU")}
    monkeypatch.setattr(launching, "_driver", lambda: SimpleNamespace(**types, **functions))
    monkeypatch.setattr(launching, "compiled", lambda *_: Compiled(b"cubin", "forward", "backward", ""))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: SimpleNamespace(cuda_stream=7))
    launching._loaded.cache_clear()
    yield SimpleNamespace(made=made, answers=answers, launched=launched)
    launching._loaded.cache_clear()


def test_a_launch_has_the_plans_sizes_and_the_current_stream(calls):
    large = plan_of(1024)
    Driver().load(large, GPU)
    loading = len(calls.made)
    arguments = Arguments(T=5, B=20, H=1024)
    for back in (False, True):
        Driver().launch(large, back, arguments, GPU)
    made = calls.made[loading:]
    in_context = ["cuCtxPushCurrent", "cuLaunchKernelEx", "cuCtxPopCurrent"]
    assert [name for name, *_ in made] == in_context * 2  # nothing is loaded again
    for back, (_, config, kernel, pointers, _) in enumerate(made[1::3]):
        assert (config.gridDimX, config.blockDimX) == (3 * large.blocks, large.threads)
        assert config.sharedMemBytes == large.shared_bytes(bool(back))
        assert int(config.hStream) == 7
        assert config.attrs[0].value.clusterDim.x == large.blocks == 16
        assert kernel == "function"
        assert pointers != ctypes.addressof(arguments)


def test_loading_asks_for_the_shared_memory_and_the_cluster(calls):
    large = plan_of(1024)
    Driver().load(large, GPU)
    attributes = driver.CUfunction_attribute
    shared = attributes.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    clusters = attributes.CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED
    for back in (False, True):
        assert ("cuFuncSetAttribute", "function", shared, large.shared_bytes(back)) in calls.made
    assert ("cuFuncSetAttribute", "function", clusters, 1) in calls.made


def test_one_block_needs_no_cluster(calls):
    Driver().launch(plan_of(64), False, Arguments(T=5, B=20, H=64), GPU)
    assert calls.made[-2][1].numAttrs == 0


def test_every_call_is_in_the_context_that_torch_uses_and_leaves_it(calls):
    """A thread of autograd has no context of its own before its first kernel."""
    Driver().load(plan_of(64), GPU)
    names = [name for name, *_ in calls.made]
    assert names[:3] == ["cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuCtxPushCurrent"]
    assert calls.made[2][1] == "context"
    assert names[-1] == "cuCtxPopCurrent"


def test_an_earlier_kernels_error_leaves_the_context_and_says_where_to_look(calls):
    calls.answers["cuLaunchKernelEx"] = (driver.CUresult.CUDA_ERROR_ILLEGAL_ADDRESS,)
    with pytest.raises(KernelError, match=r"ILLEGAL_ADDRESS; an earlier kernel .* CUDA_LAUNCH_BLOCKING=1"):
        Driver().launch(plan_of(64), False, Arguments(T=5, B=20, H=64), GPU)
    assert calls.made[-1][0] == "cuCtxPopCurrent"


def test_a_cuda_graph_captures_launches_of_loaded_variants_alone(calls, monkeypatch):
    capturing = []
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: bool(capturing))
    Driver().load(plan_of(64), GPU)
    capturing.append(True)
    Driver().launch(plan_of(64), False, Arguments(T=5, B=20, H=64), GPU)
    with pytest.raises(RuntimeError, match="call the module once with such an input before"):
        Driver().load(plan_of(128), GPU)
    with pytest.raises(RuntimeError, match="capture sequences of one length"):
        Driver().launch(plan_of(64), False, Arguments(T=5, B=20, H=64, sizes=8), GPU)


@pytest.mark.skipif(OTHER != "emulated", reason="the launches would find a GPU")
@pytest.mark.parametrize(
    ("cell", "dtype", "H"), [(GRUEquations(), torch.bfloat16, 64), (LSTMEquations(), torch.float32, 512)]
)
def test_a_step_that_a_cuda_graph_captures_is_launches_and_torchs_operations(calls, monkeypatch, cell, dtype, H):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    operations = importlib.import_module("gpu_parts.calls").Operations()
    monkeypatch.setattr(Driver, "unavailable", lambda self, device: None)
    monkeypatch.setattr(cuda, "must_be_an_operator", lambda tensors: False)  # as where nobody counts
    backend = cuda.CudaKernels(Variants(Driver()))
    state, weights = layer(cell, 2, 3, H, grad=False)
    call = Call(cell, normal(5, 2, 3), state, weights).each(lambda t: t.to(OTHER, dtype).requires_grad_())

    def step():
        assert backend.refuses(call) is None
        y, final = backend.walk(call)
        torch.autograd.grad([y, *final], call.tensors()[:-1], [torch.ones_like(t) for t in (y, *final)])

    step()  # which loads the variant
    calls.made.clear()
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with operations:
        step()
    assert [name for name, *_ in calls.made] == ["cuCtxPushCurrent", "cuLaunchKernelEx", "cuCtxPopCurrent"] * 2
    assert operations.waits == []  # no number is read by Python, and nothing is copied between devices
    for launched in calls.launched[-2:]:
        assert (launched.T, launched.B, launched.H) == (5, 2, H)
        assert all(getattr(launched, name) for name in ("W_hh", "h0", "y", "kept"))
        assert bool(launched.operands) == (H == 512)


@pytest.mark.parametrize(
    ("name", "answer", "kind", "words"),
    [
        ("cuModuleLoadData", (OLD,), KernelError, "cuModuleLoadData failed: CUDA_ERROR_UNSUPPORTED_PTX_VERSION"),
        ("cuModuleLoadData", ValueError("9999 is no CUresult"), KernelError, "a status .* not know: 9999"),
        ("cuOccupancyMaxActiveClusters", (FINE, 0), PlaceError, "no place for a cluster of 16 blocks"),
    ],
)
def test_a_driver_that_cannot_load_a_variant_is_an_error(calls, name, answer, kind, words):
    calls.answers[name] = answer
    with pytest.raises(KernelError, match=words) as caught:
        Driver().load(plan_of(1024), GPU)
    assert caught.type is kind


def test_without_a_driver_there_is_an_error(monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("this machine has a driver")
    monkeypatch.setattr(launching, "compiled", lambda *_: Compiled(b"cubin", "forward", "backward", ""))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    with pytest.raises(KernelError, match="the CUDA driver cannot be called"):
        Driver().load(plan_of(64), GPU)
