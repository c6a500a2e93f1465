import pytest
import torch
from torch import nn

import bptt
from support import assert_close, normal


def test_squared_error_has_no_half_and_no_mean():
    y, d = normal(5, 2), normal(5, 2, seed=1)
    assert bptt.squared_error(y, d) == pytest.approx(
        sum((a - b) ** 2 for a, b in zip(d.flatten().tolist(), y.flatten().tolist(), strict=True))
    )
    with pytest.raises(ValueError, match=r"\(5, 2\).*\(5,\)"):
        bptt.squared_error(y, d[:, 0])


def test_cross_entropy_of_classes_and_distributions():
    z, classes = normal(5, 3), torch.tensor([0, 2, 1, 1, 0])
    wanted = nn.functional.cross_entropy(z, classes, reduction="sum")
    assert_close(bptt.cross_entropy(z, classes), wanted, "classes", 1e-14)
    one_hot = nn.functional.one_hot(classes, 3).double()
    assert_close(bptt.cross_entropy(z, one_hot), wanted, "distributions", 1e-14)
    assert bptt.cross_entropy(torch.tensor([[1e4, 0.0]]), torch.tensor([1])).item() == 1e4


@pytest.mark.parametrize(
    ("d", "words"),
    [
        (torch.tensor([0, 3]), "between 0 and 2, got 0 to 3"),
        (torch.tensor([0, 1, 2]), "one per step"),
        (torch.tensor([0.0, 1.0]), r"\.long"),
    ],
)
def test_bad_classes(d, words):
    with pytest.raises(ValueError, match=words):
        bptt.cross_entropy(torch.zeros(2, 3), d)
