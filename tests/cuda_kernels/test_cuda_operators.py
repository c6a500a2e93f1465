"""The CUDA kernels as operators, their launches run on the CPU: what a compiler and an exporter see."""

import pytest
import torch

import bptt
from bptt.equations import Weights
from bptt.walks import cuda, cuda_variants, door
from bptt.walks.call import Call
from bptt.walks.cuda import CudaKernels
from bptt.walks.cuda_operators import cuda_operator_walk
from bptt.walks.cuda_variants import Variants
from bptt.walks.kernels import Choices
from bptt.walks.reference import REFERENCE
from cuda_standin.cases import CELLS
from cuda_standin.launcher import StandInLauncher
from cuda_standin.standin import COMPILER
from support import any_grad_is_read, assert_close, layer, normal

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
walk = torch.ops.bptt.cuda_walk
HALF = torch.bfloat16


@pytest.fixture(scope="module")
def launcher(tmp_path_factory):
    return StandInLauncher(tmp_path_factory.mktemp("launcher"))


@pytest.fixture(autouse=True)
def kernels(launcher, monkeypatch):
    """The backend, asked first."""
    backend = CudaKernels(Variants(launcher))
    monkeypatch.setattr(cuda_variants, "VARIANTS", backend.variants)
    monkeypatch.setattr(door, "BACKENDS", (backend, *door.BACKENDS))
    launcher.launches.clear()
    return backend


def arguments(cell, batch_sizes=None, keep=True):
    state, weights = layer(CELLS[cell], 2, 3, 4)
    x = normal(*((3, 2) if batch_sizes is None else (5,)), 3, grad=True)
    given = [x, *state, *[None] * (2 - len(state)), *weights[:4]]
    operands = [None if t is None else t.detach().to(HALF).requires_grad_() for t in given]
    return [*Choices.of(CELLS[cell]), batch_sizes, keep, *operands]


@any_grad_is_read
@pytest.mark.slow
@pytest.mark.parametrize("cell", ["GRU", "LSTM"])
@pytest.mark.parametrize("batch_sizes", [None, [2, 2, 1]])
def test_operators_pass_opcheck(cell, batch_sizes):
    torch.library.opcheck(walk.default, arguments(cell, batch_sizes))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "backend"), [("GRU", "aot_eager"), ("LSTM", "aot_eager"), ("GRU", "inductor")])
def test_compiled_with_fullgraph_the_kernels_walk(launcher, kind, backend):
    module, x = getattr(bptt, kind)(3, 4, 2, dtype=HALF), normal(5, 2, 3).to(HALF)
    wanted = module(x)[0], *torch.autograd.grad(module(x)[0].float().square().sum(), module.parameters())
    launcher.launches.clear()
    compiled = torch.compile(module, fullgraph=True, backend=backend)
    y = compiled(x)[0]
    found = y, *torch.autograd.grad(y.float().square().sum(), module.parameters())
    assert [back for _, back in launcher.launches] == [False, False, True, True]
    for f, w in zip(found, wanted, strict=True):
        assert_close(f, w, "y or a gradient")
    torch._dynamo.reset()


def test_exported_with_dynamic_time_and_batch(launcher):
    module, T, B = bptt.GRU(3, 4, dtype=HALF).eval(), torch.export.Dim("T", min=1), torch.export.Dim("B", min=1)
    exported = torch.export.export(module, (normal(4, 2, 3).to(HALF),), dynamic_shapes=({0: T, 1: B},)).module()
    for shape in ((4, 2, 3), (9, 5, 3), (1, 1, 3)):
        x = normal(*shape).to(HALF)
        found, before = exported(x)[0], len(launcher.launches)
        assert before > 0
        assert_close(found, module(x)[0], "y")
        launcher.launches.clear()


def test_the_gradients_are_those_of_plain_operations(launcher):
    given = arguments("GRU")
    x, h0, _, *weights = given[5:]
    y, _, _, h_n, _ = walk(*given)
    of_plain = REFERENCE.walk(Call(CELLS["GRU"], x, (h0,), Weights(*weights, W_hr=None)))
    seeds = [normal(*y.shape, seed=1).to(HALF), normal(*h_n.shape, seed=2).to(HALF)]
    launcher.launches.clear()
    found = torch.autograd.grad([y, h_n], [x, h0, *weights], seeds)
    assert [back for _, back in launcher.launches] == [True]
    wanted = torch.autograd.grad([of_plain[0], *of_plain[1]], [x, h0, *weights], seeds)
    for name, f, w in zip(("x", "h0", *Weights._fields), found, wanted, strict=False):
        assert_close(f, w, name)


def test_second_derivatives_are_those_of_plain_operations():
    given = arguments("GRU")
    x, h0, _, *weights = given[5:]

    def second(y):
        (dx,) = torch.autograd.grad(y.float().square().sum(), x, create_graph=True)
        return torch.autograd.grad(dx.float().square().sum(), weights[1])[0]

    call = Call(CELLS["GRU"], x, (h0,), Weights(*weights, W_hr=None))
    assert_close(second(walk(*given)[0]), second(REFERENCE.walk(call)[0]), "W_hh")


def test_where_the_kernels_cannot_run_the_operator_says_why(kernels, monkeypatch):
    monkeypatch.setattr(kernels.variants.launcher, "unavailable", lambda device: "nothing is here")
    with pytest.raises(RuntimeError, match="bptt::cuda_walk cannot run here: nothing is here"):
        walk(*arguments("GRU"))


BAD = {
    "x": (5, normal(3, 3, 3).to(HALF)),
    "h0": (6, normal(2, 5).to(HALF)),
    "W_hh": (9, normal(12, 5).to(HALF)),
    "dtype of b_ih": (10, normal(12).float()),
    "batch_sizes": (3, [2, 2, 2]),
}


@pytest.mark.parametrize("name", BAD)
def test_the_bare_operator_refuses_what_the_kernels_would_read_past(name):
    given, (place, bad) = arguments("GRU"), BAD[name]
    given[place] = bad
    with pytest.raises(ValueError, match=r"takes .* like x"):
        walk(*given)


@pytest.mark.parametrize(("T", "words"), [(0, "sequence of length 0"), (2**30, "2147483647 states at most")])
def test_the_bare_operator_refuses_no_steps_and_more_than_the_kernels_count(T, words):
    given = arguments("GRU")
    given[5] = normal(1, 2, 3).to(HALF).expand(T, 2, 3) if T else given[5][:0]
    with pytest.raises(ValueError, match=words):
        walk(*given)


def test_of_an_empty_batch_nothing_is_launched(launcher):
    given = arguments("GRU")
    given[5:7] = [t.detach()[..., :0, :].requires_grad_() for t in given[5:7]]
    y, _, _, h_n, _ = walk(*given)
    assert (y.shape, h_n.shape) == ((3, 0, 4), (0, 4))
    (dW,) = torch.autograd.grad(y.sum(), given[9])
    assert not dW.any()
    assert not launcher.launches


def test_a_tensor_of_a_subclass_is_walked_by_the_operator(monkeypatch):
    class Own(torch.Tensor):
        pass

    state, weights = layer(CELLS["GRU"], 2, 3, 4, grad=False)
    call = Call(CELLS["GRU"], normal(5, 2, 3), state, weights).in_dtype(HALF)
    seen = []
    monkeypatch.setattr(cuda, "cuda_operator_walk", lambda call: seen.append(call) or cuda_operator_walk(call))
    y, _ = door.walk(call._replace(x=call.x.as_subclass(Own)))
    assert seen
    assert torch.equal(y.as_subclass(torch.Tensor), door.walk(call)[0])
