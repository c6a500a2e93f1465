import pytest
import torch

from bptt.equations import LSTMEquations
from bptt.walks import door
from bptt.walks.call import Call
from bptt.walks.reference import REFERENCE
from bptt.walks.sweep import Errors, products
from support import CELLS, NATIVE, assert_close, layer, normal

T, B, I, H = 7, 3, 5, 19


def walked(cell, dtype=torch.float64, R=None):
    state, weights = layer(cell, B, I, H, R, grad=False)
    x, state = normal(T, B, I).to(dtype), tuple(s.to(dtype) for s in state)
    return Call(cell, x, state, weights.each(lambda w: w.to(dtype)))


@pytest.mark.parametrize("name", list(CELLS))
@pytest.mark.parametrize("entering", ["at the end", "everywhere"])
def test_a_copy_is_an_adjoint_walk_of_its_own(name, entering):
    cell, ends = CELLS[name], [6, 4, 0]
    recording = REFERENCE.record(walked(cell)).recording
    d = normal(T, len(ends) * B, H)
    for copy, end in enumerate(ends):
        d[end + 1 :, copy * B : (copy + 1) * B] = 0
    if entering == "at the end":
        d = torch.cat([d[end, copy * B : (copy + 1) * B] for copy, end in enumerate(ends)])
    swept = recording.sweep(T, Errors(d, ends), wanted=True)
    for copy, (end, seeds) in enumerate(zip(ends, Errors(d, ends).dense(T, B).split(B, 1), strict=True)):
        adjoint = recording.adjoint(seeds)
        until = slice(end + 1)
        assert_close(swept.squares[until, copy], adjoint.dh[until].square().sum((1, 2)), "squares")
        assert_close(swept.ih[until, copy], products(adjoint.delta_ih)[until], "ih")
        assert_close(swept.hh[until, copy], products(adjoint.delta_hh)[until], "hh")


def test_a_projection_has_its_own_products():
    cell, ends = LSTMEquations(), [6, 2]
    swept = REFERENCE.record(walked(cell, R=4)).recording.sweep(T, Errors(normal(2 * B, 4), ends), wanted=False)
    assert swept.h.shape == (T, 2, B, B)
    assert_close(swept.h.diagonal(dim1=2, dim2=3).sum(2), swept.squares, "the trace is the square")


@pytest.mark.parametrize("name", list(NATIVE))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("ends", [[6, 6, 5, 3, 3, 0], [4], None])
@pytest.mark.parametrize("everywhere", [False, True])
def test_the_kernels_sweep_as_plain_operations_do(name, dtype, ends, everywhere):
    cell = CELLS[name]
    call = walked(cell, dtype)
    steps, rows = T if ends is None else ends[0] + 1, B * len(ends or [0, 0])
    if ends is None and not everywhere:
        pytest.skip("without ends errors enter everywhere")
    d = normal(*((steps, rows) if everywhere else (rows,)), H).to(dtype)
    for copy, end in enumerate(ends or []):
        if everywhere:
            d[end + 1 :, copy * B : (copy + 1) * B] = 0
    found, wanted = (
        way(call).recording.sweep(steps, Errors(d, ends), True) for way in (door.record_walk, REFERENCE.record)
    )
    within = torch.arange(steps)[:, None] <= torch.tensor(ends or [steps] * 2)
    tolerance = 1e-10 if dtype == torch.float64 else 2e-5
    for part in ("squares", "ih", "hh", "d_inputs"):
        a, b = getattr(found, part), getattr(wanted, part)
        a, b = (p.unflatten(1, (-1, B)) if part == "d_inputs" else p for p in (a, b))
        assert_close(a[within], b[within], part, tolerance)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 5, 9])
def test_copies_stay_together_on_any_number_of_threads(threads, batch):
    cell, copies, steps, units = CELLS["gru"], 11, 40, 64
    state, weights = layer(cell, batch, I, units, grad=False)
    weights = weights.each(lambda w: w / 8)  # so that nothing explodes
    call = Call(cell, normal(steps, batch, I), state, weights)
    last = normal(copies * batch, units)
    errors = Errors(last, sorted(range(10, 10 + copies), reverse=True))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = door.record_walk(call).recording.sweep(errors.ends[0] + 1, errors, False)
    finally:
        torch.set_num_threads(before)
    wanted = REFERENCE.record(call).recording.sweep(errors.ends[0] + 1, errors, False)
    within = torch.arange(errors.ends[0] + 1)[:, None] <= torch.tensor(errors.ends)
    for part in ("squares", "ih", "hh"):
        assert_close(getattr(found, part)[within], getattr(wanted, part)[within], part)
