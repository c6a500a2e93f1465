"""The CUDA kernels as a backend, their launches run on the CPU: from a module to its gradients."""

from types import SimpleNamespace

import pytest
import torch

import bptt
from bptt.cuda import compiling
from bptt.cuda.compiling import KernelError, PlaceError
from bptt.cuda.launching import Driver
from bptt.cuda.plan import PRECISIONS, plan
from bptt.walks import cuda_variants, door
from bptt.walks.call import Call
from bptt.walks.cuda import CudaKernels
from bptt.walks.cuda_variants import Variants
from bptt.walks.reference import REFERENCE
from bptt.walks.sweep import Errors
from cuda_standin.cases import CELLS, TOLERANCES
from cuda_standin.launcher import StandInLauncher
from cuda_standin.standin import COMPILER
from support import assert_close, layer, normal

with_compiler = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
pytestmark = pytest.mark.filterwarnings("error")

T, B, I, H = 6, 9, 3, 11
GRU = CELLS["GRU"]
HALF = torch.bfloat16


@pytest.fixture(scope="module")
def launcher(tmp_path_factory):
    return StandInLauncher(tmp_path_factory.mktemp("launcher"))


@pytest.fixture
def kernels(launcher, monkeypatch):
    """The backend, asked first."""
    backend = CudaKernels(Variants(launcher))
    monkeypatch.setattr(door, "BACKENDS", (backend, *door.BACKENDS))
    launcher.launches.clear()
    compiling.warn_once.cache_clear()
    return backend


def call_of(cell, dtype, packed=False, bias=True, grad=True) -> Call:
    state, weights = layer(cell, B, I, H, bias=bias, grad=False)
    sizes = [B, B, 7, 4, 4, 1] if packed else None
    x = normal(*((sum(sizes),) if sizes else (T, B)), I)
    return Call(cell, x, state, weights, sizes).each(lambda t: t.to(dtype).requires_grad_(grad))


def gradients_of(walk, call: Call) -> list[torch.Tensor]:
    """h after each step, the final state, and the gradients in all tensors."""
    y, state = walk(call)
    seeds = [normal(*result.shape, seed=5).to(result.dtype) for result in (y, *state)]
    sources = [t for t in call.tensors() if t is not None]
    return [y, *state, *torch.autograd.grad([y, *state], sources, seeds)]


def in_float64(call: Call) -> Call:
    return call.each(lambda t: t.detach().double().requires_grad_())


def agrees(backend: CudaKernels, call: Call) -> None:
    assert backend.refuses(call) is None
    dtype = call.x.dtype
    found, wanted = gradients_of(backend.walk, call), gradients_of(REFERENCE.walk, in_float64(call))
    for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
        assert one.dtype == dtype
        assert_close(one.double(), other, f"result {number}", 3 * TOLERANCES[dtype])
    with torch.no_grad():
        again = backend.walk(call)
    assert torch.equal(again[0], found[0])
    assert all(map(torch.equal, again[1], found[1:]))


@with_compiler
@pytest.mark.parametrize("bias", [True, False])
def test_a_walk_and_its_gradients_are_those_of_the_equations(kernels, launcher, bias):
    agrees(kernels, call_of(GRU, HALF, bias=bias))
    assert [back for _, back in launcher.launches] == [False, True, False]


@with_compiler
@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_dtype_and_packed_sequences(kernels, cell, dtype, packed, monkeypatch):
    monkeypatch.setattr(
        "bptt.cuda.plan.LEFT_TO_CUDNN", dict.fromkeys(["Elman", "GRU", "LSTM"], SimpleNamespace(value=0))
    )
    agrees(kernels, call_of(CELLS[cell], dtype, packed))


@with_compiler
def test_dh_is_written_only_where_it_is_asked_for(kernels, launcher):
    call = call_of(GRU, HALF)
    gradients_of(kernels.walk, call)
    assert not launcher.last.dh
    recording, dy = kernels.record(call).recording, normal(T, B, H).to(HALF)
    assert recording.adjoint(dy).dh.shape == (T, B, H)
    assert launcher.last.dh


def negated(t):
    return torch._neg_view(-t)


def strided(t):
    return torch.stack([t, t], -1)[..., 0]


@with_compiler
@pytest.mark.parametrize("view", [negated, strided])
def test_views_of_tensors_and_of_gradients_are_read_as_their_numbers(kernels, view):
    call = call_of(GRU, HALF)

    def walk(call):
        y, state = kernels.walk(call.each(view))
        return view(y), tuple(map(view, state))

    for found, wanted in zip(gradients_of(walk, call), gradients_of(kernels.walk, call), strict=True):
        assert_close(found, wanted, "a result", TOLERANCES[HALF])


@with_compiler
def test_a_module_of_two_layers_and_directions(kernels, launcher):
    module = bptt.GRU(I, H, num_layers=2, bidirectional=True, dtype=HALF)
    x = normal(T, B, I).to(HALF)
    y, h_n = module(x)
    y.float().square().mean().backward()
    assert len(launcher.launches) == 8
    found = [p.grad for p in module.parameters()]
    module.zero_grad()
    door.BACKENDS = door.BACKENDS[1:]  # the fixture's patch is undone after the test
    wanted, h_wanted = module(x)
    wanted.float().square().mean().backward()
    assert_close(y, wanted, "y")
    assert_close(h_n, h_wanted, "h_n")
    for p, g in zip(module.parameters(), found, strict=True):
        assert_close(g, p.grad, "a gradient")


@with_compiler
def test_changes_of_the_result_in_place_do_not_change_the_gradients(kernels):
    call = call_of(GRU, HALF)
    _, _, *wanted = gradients_of(kernels.walk, call)

    def walk_and_add(call):
        y, state = kernels.walk(call)
        return y.add_(1), state

    _, _, *found = gradients_of(walk_and_add, call)
    assert all(map(torch.equal, found, wanted))


@with_compiler
def test_second_derivatives_are_those_of_plain_operations(kernels):
    def second(walk, call):
        (dx,) = torch.autograd.grad(walk(call)[0].square().sum(), call.x, create_graph=True)
        return torch.autograd.grad(dx.square().sum(), call.weights.W_hh)[0]

    call = call_of(GRU, HALF)
    assert_close(second(kernels.walk, call).double(), second(REFERENCE.walk, in_float64(call)), "W_hh", 0.1)


@with_compiler
@pytest.mark.parametrize("packed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_recording_gives_the_adjoint_of_each_step(kernels, packed):
    call = call_of(GRU, HALF, packed, grad=False)
    found, wanted = kernels.record(call).recording, REFERENCE.record(in_float64(call)).recording
    dy, d_state = normal(*found.y.shape, seed=6), (normal(B, H, seed=7),)
    of_kernels = found.adjoint(dy.to(HALF), (d_state[0].to(HALF),))
    of_equations = wanted.adjoint(dy, d_state)
    for name in ("delta_ih", "delta_hh", "dh"):
        assert_close(getattr(of_kernels, name).double(), getattr(of_equations, name), name, 3e-2)
    for one, other in zip((*found.before, found.states), (*wanted.before, wanted.states), strict=True):
        assert_close(one.double(), other, "states", 3e-2)


@with_compiler
def test_a_recording_is_swept_from_many_steps_and_rearranged(kernels):
    call = call_of(GRU, HALF, grad=False)
    found, wanted = kernels.record(call).recording, REFERENCE.record(in_float64(call)).recording
    ends = [4, 2, 0]
    d = normal(len(ends) * B, H)
    for rearranged in (lambda r: r, lambda r: r.up_to(5), lambda r: r.stretches([1], [2], 5)):
        one, other = rearranged(found), rearranged(wanted)
        rows = one.y.shape[1]
        seeds = d[: len(ends) * rows]
        of_kernels = one.sweep(5, Errors(seeds.to(HALF), ends), wanted=True)
        of_equations = other.sweep(5, Errors(seeds, ends), wanted=True)
        for copy, end in enumerate(ends):
            for name in ("squares", "ih", "hh"):
                pair = (getattr(swept, name)[: end + 1, copy].double() for swept in (of_kernels, of_equations))
                assert_close(*pair, name, 6e-2)


@with_compiler
def test_contributions_are_those_of_plain_operations(kernels, launcher):
    module = bptt.GRU(I, H, dtype=HALF)
    x, d = normal(T, B, I).to(HALF), normal(T, B, H).to(HALF)
    found = bptt.contributions(module, x, d, bptt.squared_error)
    assert any(back for _, back in launcher.launches)
    door.BACKENDS = door.BACKENDS[1:]  # the fixture's patch is undone after the test
    wanted = bptt.contributions(module, x, d, bptt.squared_error)
    for name, by_step in wanted.by_step.items():
        assert_close(found.by_step[name], by_step, name)


class Failing(StandInLauncher):
    """Loads nothing."""

    loads = 0

    def load(self, plan, device):
        self.loads += 1
        raise KernelError("the driver is too old")


def test_what_cannot_be_loaded_is_left_to_the_next_backend_and_warned_of_once(monkeypatch, tmp_path):
    compiling.warn_once.cache_clear()
    backend = CudaKernels(Variants(Failing(tmp_path)))
    monkeypatch.setattr(door, "BACKENDS", (backend, *door.BACKENDS))
    call = call_of(GRU, HALF, grad=False)
    with pytest.warns(RuntimeWarning, match="the CUDA kernels are not used, as the driver is too old"):
        y, _ = door.walk(call)
    assert torch.equal(y, door.walk(call)[0])  # without a warning, which would be an error
    assert "CUDA kernels: refuses, as the driver is too old" in bptt.why(bptt.GRU(I, H, dtype=HALF), call.x)
    door.walk(call_of(CELLS["LSTM"], HALF, grad=False))
    assert backend.variants.launcher.loads == 1  # no other variant is compiled


@with_compiler
def test_a_walk_asks_the_planner_once_for_its_sizes(kernels, monkeypatch):
    asked = []
    monkeypatch.setattr(cuda_variants, "plan", lambda *given: asked.append(given) or plan(*given))
    call = call_of(GRU, HALF)
    for _ in range(2):
        gradients_of(door.walk, call)
    assert len(asked) == 1


class OneBlock(StandInLauncher):
    """Has no place for a cluster."""

    def load(self, plan, device):
        if plan.blocks > 1:
            raise PlaceError("no place for a cluster")


def test_where_a_cluster_has_no_place_a_variant_of_one_block_is_taken(tmp_path):
    backend = CudaKernels(Variants(OneBlock(tmp_path)))
    state, weights = layer(CELLS["tanh"], B, I, 200, grad=False)
    call = Call(CELLS["tanh"], normal(T, B, I), state, weights).in_dtype(HALF)
    assert backend.describe(call).endswith("W_hh in the shared memory of a block for every 8 rows")


@with_compiler
def test_a_backward_pass_under_autocast_keeps_the_dtype(kernels):
    call = call_of(CELLS["leaky tanh"], torch.float32)
    wanted = gradients_of(kernels.walk, call)
    y, state = kernels.walk(call)
    seeds = [normal(*result.shape, seed=5).float() for result in (y, *state)]
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad([y, *state], [t for t in call.tensors() if t is not None], seeds)
    assert all(map(torch.equal, found, wanted[2:]))


REFUSALS = {
    "projected": "no projected LSTM",
    "empty": "the batch is empty",
    "float64": "no torch.float64",
    "few steps": "too few",
    "vmap": "takes plain operations",
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_a_refusal_says_why(reason, monkeypatch, tmp_path):
    call = call_of(GRU, torch.float64 if reason == "float64" else HALF, grad=False)
    if reason == "projected":
        call = call._replace(weights=call.weights._replace(W_hr=torch.zeros(2, H)))
    if reason == "empty":
        call = call._replace(x=call.x[:, :0], state=(call.state[0][:0],))
    if reason == "few steps":
        call = call._replace(x=call.x[:1])
    if reason == "vmap":
        monkeypatch.setattr("bptt.walks.cuda.is_transformed", lambda: True)
    refusal = CudaKernels(Variants(Failing(tmp_path))).refuses(call)
    assert refusal is not None
    assert REFUSALS[reason] in refusal


def test_on_a_gpu_they_are_used_only_where_the_environment_says_so(monkeypatch):
    gpu = torch.device("cuda:0")
    monkeypatch.delenv("BPTT_CUDA", raising=False)
    assert "BPTT_CUDA=1" in Driver().unavailable(gpu)
    monkeypatch.setenv("BPTT_CUDA", "1")
    assert Driver().unavailable(gpu) is None
    assert "run on CUDA" in Driver().unavailable(torch.device("cpu"))
