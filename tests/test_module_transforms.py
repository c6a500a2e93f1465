"""The modules under torch's transforms: function transforms, hooks, checkpoints, autocast and ensembles."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm
from torch.utils.checkpoint import checkpoint

import bptt
from module_twins import CASES, KINDS, assert_same, twins
from support import SINE, TOLERANCE, assert_close, normal


@pytest.mark.parametrize("kind", KINDS)
def test_double_backward_agrees_with_plain_operations(kind):
    """A gradient penalty against the same penalty of a loop of torch's cell."""
    rnn = getattr(bptt, kind)(3, 5, dtype=torch.float64)
    cell = getattr(nn, f"{kind}Cell")(3, 5, dtype=torch.float64)
    cell.load_state_dict({name.removesuffix("_l0"): w for name, w in rnn.state_dict().items()})
    x = normal(4, 2, 3, grad=True)

    def loop(x):
        state, outputs = None, []
        for x_t in x:
            state = cell(x_t, state)
            outputs.append(state[0] if kind == "LSTM" else state)
        return torch.stack(outputs)

    penalties = []
    for function, parameters in ((lambda x: rnn(x)[0], rnn.parameters()), (loop, cell.parameters())):
        (dx,) = torch.autograd.grad(function(x).square().sum(), x, create_graph=True)
        penalties.append(torch.autograd.grad(dx.square().sum(), list(parameters)))
    assert_same(*penalties)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_per_sample_gradients_by_vmap(kind, bidirectional):
    module = getattr(bptt, kind)(3, 5, num_layers=2, bidirectional=bidirectional, dtype=torch.float64)
    parameters = dict(module.named_parameters())
    x = normal(4, 6, 3)

    def loss(parameters, sample):
        return functional_call(module, parameters, (sample,))[0].square().sum()

    per_sample = vmap(grad(loss), in_dims=(None, 1))(parameters, x)
    for i in range(6):
        alone = torch.autograd.grad(module(x[:, i])[0].square().sum(), list(parameters.values()))
        for name, wanted in zip(parameters, alone, strict=True):
            assert_close(per_sample[name][i], wanted, name, 1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_jvp(kind):
    module = getattr(bptt, kind)(3, 5, dtype=torch.float64)
    x, v, u = normal(4, 2, 3, grad=True), normal(4, 2, 3, seed=1), normal(4, 2, 5, seed=2)
    _, tangent = jvp(lambda x: module(x)[0], (x,), (v,))
    (dx,) = torch.autograd.grad((module(x)[0] * u).sum(), x)
    assert_close((tangent * u).sum(), (dx * v).sum(), "uᵀJv", 1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_of_torch_nn_utils(kind):
    theirs, ours = twins(kind, dtype=torch.float64)
    x = normal(4, 2, 3)
    for hook in (
        lambda m: parametrizations.weight_norm(m, "weight_hh_l0"),
        lambda m: prune.random_unstructured(m, "weight_ih_l0", amount=0.3),
        lambda m: spectral_norm(m, "weight_hh_l0"),
    ):
        made = []
        for module in (copy.deepcopy(theirs), copy.deepcopy(ours)):
            torch.manual_seed(0)
            hook(module)
            made.append(module)
        assert_same(*[[m(x)[0]] for m in reversed(made)])
        made[1](x)[0].sum().backward()
        assert all(p.grad is not None for p in made[1].parameters())


@pytest.mark.parametrize(("kind", "options"), [*CASES, ("RNN", {"nonlinearity": SINE})])
def test_walked_again_by_a_checkpoint(kind, options):
    module, x = getattr(bptt, kind)(3, 5, dtype=torch.float64, **options), normal(4, 2, 3, grad=True)
    weights = list(module.parameters())
    y = checkpoint(lambda x: module(x)[0], x, use_reentrant=False)
    found = torch.autograd.grad(y.square().sum(), [x, *weights])
    assert_same(found, torch.autograd.grad(module(x)[0].square().sum(), [x, *weights]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 5), (1, 2, 5)])
def test_many_gradients_of_a_state_that_is_a_view(kind, shape):
    module, x = getattr(bptt, kind)(3, 5, dtype=torch.float64), normal(4, *shape[1:-1], 3)
    h, c = (normal(2, *shape, seed=seed)[0].requires_grad_() for seed in (1, 2))
    y, _ = module(x, (h, c) if kind == "LSTM" else h)
    seeds = torch.stack([torch.ones_like(y), 2 * torch.ones_like(y)])
    (found,) = torch.autograd.grad(y, h, seeds, is_grads_batched=True, retain_graph=True)
    (once,) = torch.autograd.grad(y, h, seeds[0])
    assert_same(found.unbind(), [once, 2 * once])
    assert not found.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_autocast(kind):
    module = getattr(bptt, kind)(3, 5)
    x = normal(4, 2, 3, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = module(x)
    assert y.dtype == torch.bfloat16
    assert_close(y.float(), module(x)[0], kind, TOLERANCE[torch.bfloat16])
    y.float().sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in module.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_leaves_float64_as_it_is(kind):
    model = bptt.SequenceModel(getattr(bptt, kind)(3, 5, dtype=torch.float64), output_size=2)
    x = normal(4, 2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = model(x)
        with bptt.record(model):
            recorded, _ = model(x)
    assert torch.equal(y, model(x)[0])
    assert_close(recorded, y, kind, TOLERANCE[torch.float64])


@pytest.mark.parametrize("kind", KINDS)
def test_an_ensemble_by_vmap_over_weights(kind):
    modules = [getattr(bptt, kind)(3, 5, dtype=torch.float64) for _ in range(3)]
    parameters, _ = torch.func.stack_module_state(modules)
    x = normal(4, 2, 3)
    together = vmap(lambda p: functional_call(modules[0], p, (x,))[0])(parameters)
    for i, module in enumerate(modules):
        assert_close(together[i], module(x)[0], f"member {i}", 1e-12)


def test_a_parametrized_weight_is_computed_once_a_call():
    calls = []

    class Counted(nn.Module):
        def forward(self, W):
            calls.append(W)
            return 2 * W

    module = bptt.LSTM(3, 5, num_layers=2)
    parametrize.register_parametrization(module, "weight_hh_l1", Counted())
    calls.clear()
    module(torch.zeros(4, 2, 3))
    assert len(calls) == 1
