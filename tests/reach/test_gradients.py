import pytest
import torch
from torch import nn

from bptt.reach.gradients import Gradients, backward_or_restore, scalar_loss
from support import normal


def test_shares_sum_and_land_at_once():
    w, v, x = normal(3, grad=True), normal(3, seed=1, grad=True), normal(3, seed=2, grad=True)
    v.grad = torch.ones(3, dtype=torch.float64)
    gradients = Gradients()
    for _ in range(3):
        (dx,) = gradients.gather([(w * x).sum(), v * x], [None, torch.ones(3, dtype=torch.float64)], apart=[x])
        assert torch.equal(dx, w + v)
    assert w.grad is x.grad is None
    assert torch.equal(v.grad, torch.ones_like(v))
    gradients.land()
    assert torch.allclose(w.grad, 3 * x)
    assert torch.allclose(v.grad, 1 + 3 * x)


def test_a_gradient_that_two_leaves_share_is_not_added_up_twice():
    w, v = normal(3, grad=True), normal(3, seed=1, grad=True)
    gradients = Gradients()
    for _ in range(3):
        gradients.gather([(w + v).sum()], [None])
    gradients.land()
    assert w.grad.tolist() == v.grad.tolist() == [3, 3, 3]


def test_hooks_see_the_sum_once():
    w, seen = normal(3, grad=True), []
    w.register_hook(lambda g: g.clamp(max=2.5))
    w.register_post_accumulate_grad_hook(lambda leaf: seen.append(leaf.grad.tolist()))
    gradients = Gradients()
    for _ in range(3):
        gradients.gather([w.sum()], [None])
    assert seen == []
    gradients.land()
    assert seen == [[2.5] * 3]
    w.sum().backward()
    assert w.grad.tolist() == [3.5] * 3


def test_half_precision_is_summed_in_single():
    w = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    gradients = Gradients()
    for share in [256.0] + [1.0] * 8:
        gradients.gather([(w * share).sum()], [None])
    gradients.land()
    assert w.grad.dtype == torch.bfloat16
    assert w.grad.item() == 264


def test_what_lands_goes_on_into_its_history():
    w = normal(3, grad=True)
    made = 2 * w
    Gradients().land([made], [torch.ones(3, dtype=torch.float64)])
    assert w.grad.tolist() == [2, 2, 2]


def test_frozen_leaves_get_nothing():
    w, frozen = normal(3, grad=True), normal(3)
    gradients = Gradients()
    gradients.gather([(w * frozen).sum()], [None])
    gradients.land()
    assert frozen.grad is None
    assert torch.equal(w.grad, frozen)


@pytest.mark.parametrize("before", [None, 2.0])
def test_backward_is_all_or_nothing(before):
    first, second = normal(3, grad=True), normal(3, grad=True)
    for leaf in (first, second):
        leaf.grad = None if before is None else torch.full_like(leaf, before)

    def fail(gradient):
        raise RuntimeError("half way")

    second.register_hook(fail)
    with pytest.raises(RuntimeError, match="half way"):
        backward_or_restore((first * second).sum())
    for leaf in (first, second):
        assert leaf.grad is None if before is None else leaf.grad.tolist() == [before] * 3
    second._backward_hooks.clear()
    backward_or_restore((first * second).sum())
    assert torch.allclose(first.grad, second + (before or 0))


def test_what_is_no_loss():
    y = normal(3, grad=True)
    assert scalar_loss(lambda y, d: y.sum(), y, None).requires_grad
    for criterion, error, words in (
        (lambda y, d: y, ValueError, r"shape \(3,\)"),
        (lambda y, d: 0, TypeError, "got int"),
        (lambda y, d: y.detach().sum(), ValueError, "leaves y out or detaches it$"),
        (lambda y, d: y.sum() * 1j, TypeError, "real scalar, got complex128"),
        (lambda y, d: y.sum() - d.sum(), TypeError, "does not take this d, of type NoneType"),
        ("squared_error", TypeError, "got str; pass the function bptt.squared_error$"),
        ("hinge", TypeError, "got str$"),
        (nn.MSELoss, TypeError, r"got the class MSELoss; pass MSELoss\(\)"),
    ):
        with pytest.raises(error, match=words):
            scalar_loss(criterion, y, None)
    with pytest.raises(ValueError, match=r"gradients: the model's weights are frozen$"):
        scalar_loss(lambda y, d: y.sum(), y.detach(), None)
