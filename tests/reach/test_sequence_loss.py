import pytest
import torch
from torch import nn

from bptt.losses import cross_entropy, squared_error
from bptt.reach.sequence_loss import ELEMENTWISE, reduction_of
from support import assert_close, normal


@pytest.mark.parametrize("kind", ELEMENTWISE)
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_segments_of_an_elementwise_loss_make_the_whole(kind, reduction):
    criterion = kind(reduction=reduction)
    assert reduction_of(criterion, None) == reduction
    y, d = normal(10, 2, 3).sigmoid(), normal(10, 2, 3, seed=1).sigmoid()
    parts = [
        criterion(y[a:b], d[a:b]) * ((b - a) / 10 if reduction == "mean" else 1) for a, b in ((0, 3), (3, 10))
    ]
    assert_close(sum(parts), criterion(y, d), f"{kind.__name__}, {reduction}")


def test_what_is_known():
    assert reduction_of(squared_error, None) == reduction_of(cross_entropy, None) == "sum"
    assert reduction_of(lambda y, d: (y - d).sum(), None) == "whole"
    assert reduction_of(nn.CrossEntropyLoss(), None) == "whole", "its mean counts classes and leaves some out"
    assert reduction_of(nn.BCELoss(weight=torch.ones(10, 1, 1)), None) == "whole"
    assert reduction_of(type("Own", (nn.MSELoss,), {})(), None) == "whole", "a subclass may do anything"
    assert reduction_of(lambda y, d: y.sum(), "sum") == "sum"
    assert reduction_of(squared_error, "whole") == "whole"
    for wrong in ("none", "average", 1):
        with pytest.raises(ValueError, match='reduction must be "sum", "mean", "whole" or None'):
            reduction_of(squared_error, wrong)
