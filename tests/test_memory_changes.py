"""Tensors changed between the two walks; `make sanitize` runs more of `fuzz_memory`'s cases."""

from pathlib import Path

import pytest
import torch

import bptt
from bptt.walks import kernels
from support import forked, normal, run_script

KINDS = ["RNN", "GRU", "LSTM"]
native = pytest.mark.skipif(not kernels.available(), reason="installed without the native kernels")


@native
def test_changed_tensors_give_the_gradients_of_what_was_walked_or_an_error(tmp_path):
    script, output = Path(__file__).with_name("fuzz_memory.py"), tmp_path / "printed"
    process = forked(run_script, str(script), "--here", "60", output=output)
    process.join()
    assert process.exitcode == 0, output.with_suffix(".err").read_text()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [torch.relu_, lambda y: y[2:].zero_(), lambda y: y[:, 0].mul_(3)])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}])
@pytest.mark.parametrize("given", [False, True])
def test_an_output_may_be_changed_in_place(kind, change, options, given):
    module, x = getattr(bptt, kind)(3, 5, **options), normal(4, 2, 3, grad=True, dtype=torch.float32)
    layers = module.num_layers * module.num_directions
    state = (
        tuple(normal(layers, 2, 5, grad=True, dtype=torch.float32) for _ in module.state_names) if given else ()
    )
    hx = None if not given else state if kind == "LSTM" else state[0]
    sources = [x, *state, *module.parameters()]
    y, plain = module(x, hx)[0], module(x, hx)[0]
    change(y)
    out_of_place = plain.clone()
    change(out_of_place)
    found = torch.autograd.grad(y.square().sum(), sources, retain_graph=True)
    wanted = torch.autograd.grad(out_of_place.square().sum(), sources)
    again = torch.autograd.grad(y.square().sum(), sources)
    for f, w, a in zip(found, wanted, again, strict=True):
        assert torch.equal(f, w)
        assert torch.equal(a, w)


@pytest.mark.parametrize("changed", ["x", "weight_hh_l0", "both"])
def test_an_input_or_weight_changed_in_place_raises_torchs_error(changed):
    module, x = bptt.GRU(3, 5), normal(4, 2, 3, dtype=torch.float32)
    y = module(x)[0]
    torch.relu_(y)
    with torch.no_grad():
        (x if changed == "x" else module.weight_hh_l0).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@native
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("convert", ["half", "double", "bfloat16"])
def test_a_module_converted_after_its_walk_has_the_gradients_of_the_walk(kind, convert):
    module, x = getattr(bptt, kind)(5, 9), normal(7, 3, 5, dtype=torch.float32)
    weights = list(module.parameters())
    wanted = torch.autograd.grad(module(x)[0].sum(), weights)
    y = module(x)[0]
    getattr(module, convert)()
    y.sum().backward()
    assert all(torch.equal(w.grad, g) for w, g in zip(weights, wanted, strict=True))


@native
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["x", "weight_ih_l0", "weight_hh_l0", "bias_hh_l0"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_tensor_whose_storage_was_emptied_is_refused_before_the_walk(kind, which, dtype):
    module, x = getattr(bptt, kind)(5, 9, dtype=dtype), normal(7, 3, 5, dtype=dtype)
    (x if which == "x" else getattr(module, which)).untyped_storage().resize_(0)
    with pytest.raises(ValueError, match="lost its memory"):
        module(x)


def test_an_emptied_tensor_is_refused_where_no_kernel_walks():
    module, x = bptt.LSTM(5, 9, proj_size=2), normal(7, 3, 5, dtype=torch.float32)
    module.weight_hr_l0.untyped_storage().resize_(0)
    with pytest.raises(ValueError, match="W_hr has lost its memory"):
        module(x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["x", "weight_hh_l1"])
def test_an_emptied_tensor_is_refused_before_autocast_converts_it(kind, which):
    module, x = getattr(bptt, kind)(5, 9, 2), normal(7, 3, 5, dtype=torch.float32)
    (x if which == "x" else getattr(module, which)).untyped_storage().resize_(0)
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ValueError, match="lost its memory"):
        module(x)


@native
def test_second_derivatives_refuse_replaced_weights():
    module, x = bptt.RNN(3, 5), normal(4, 2, 3, dtype=torch.float32)
    y = module(x)[0]
    module.weight_ih_l0.data = torch.zeros(5, 3)
    with pytest.raises(RuntimeError, match="data was replaced"):
        torch.autograd.grad(y.square().sum(), module.weight_hh_l0, create_graph=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_long_batch_of_none_is_not_walked(kind, dtype):
    """Which at a step at a time would take a minute."""
    module, x = getattr(bptt, kind)(3, 5, dtype=dtype), torch.zeros(200_000, 0, 3, dtype=dtype, requires_grad=True)
    y, _ = module(x)
    y.sum().backward()
    assert y.shape == (200_000, 0, 5)
    assert x.grad.shape == x.shape
    assert all(not p.grad.any() for p in module.parameters())


@native
def test_squares_of_a_sweep_count_no_lanes_past_the_last_unit():
    """An error that is one number throughout, stride 0, where H fills no vector."""
    from bptt.equations import GRUEquations
    from bptt.walks import door
    from bptt.walks.call import Call
    from bptt.walks.sweep import Errors
    from support import layer

    state, weights = layer(GRUEquations(), 2, 3, 5, grad=False)
    recording = door.record_walk(Call(GRUEquations(), normal(4, 2, 3), state, weights)).recording
    error = torch.ones((), dtype=torch.float64).expand(4, 2, 5)
    found, wanted = (
        recording.sweep(4, Errors(entering, None), False).squares for entering in (error, error.clone())
    )
    assert torch.allclose(found, wanted, rtol=1e-12)
