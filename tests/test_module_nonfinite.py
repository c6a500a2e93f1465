"""Values that are not finite spread through the modules as through torch's."""

import pytest
import torch

import bptt
from module_twins import KINDS, results, twins
from support import normal


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["input", "state", "weight"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_spreads_as_in_torch(kind, place, value):
    theirs, ours = twins(kind)
    x, hx = normal(4, 2, 3, dtype=torch.float32), [normal(1, 2, 5, seed=i).float() for i in range(2)]
    with torch.no_grad():
        for module in (theirs, ours):
            if place == "weight":
                module.weight_hh_l0[1, 2] = value
        if place == "input":
            x[1, 0, 1] = value
        if place == "state":
            hx[0][0, 1, 2] = value
    hx = [h.requires_grad_() for h in hx]
    hx = tuple(hx) if kind == "LSTM" else hx[0]
    x.requires_grad_()
    for found, wanted in zip(results(ours, x, hx), results(theirs, x, hx), strict=True):
        assert torch.equal(found.isnan(), wanted.isnan())
        assert torch.equal(found.isinf(), wanted.isinf())
        finite = wanted.isfinite()
        assert torch.allclose(found[finite], wanted[finite], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hidden", [5, 40])
@pytest.mark.parametrize(("steps", "rows"), [(1, 2), (1, 40), (3, 2)])
def test_a_weight_that_is_not_finite_counts_at_the_first_step_without_a_state(kind, hidden, steps, rows):
    theirs, ours = getattr(torch.nn, kind)(3, hidden), getattr(bptt, kind)(3, hidden)
    ours.load_state_dict(theirs.state_dict())
    x = normal(steps, rows, 3, dtype=torch.float32)
    for value in (float("nan"), float("inf")):
        with torch.no_grad():
            for module in (theirs, ours):
                module.weight_hh_l0[-1, -1] = value
            wanted = theirs(x)[0].isnan()
            assert wanted.any()
            assert torch.equal(ours(x)[0].isnan(), wanted)
        assert torch.equal(ours(x)[0].isnan(), wanted)
