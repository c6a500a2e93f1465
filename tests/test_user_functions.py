from functools import partial

import pytest
import torch

from bptt.user_functions import check_takes, pair_of


def takes(function):
    check_takes(function, "mine", "(x, state) -> (y, state)", "x", "state")


@pytest.mark.parametrize(
    "function",
    [
        lambda x, state: None,
        lambda rows, state=None, more=3: None,
        lambda *arguments: None,
        partial(lambda scale, x, state: None, 2),
        max,
    ],
)
def test_two_arguments_by_position(function):
    takes(function)


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (lambda x: None, r"\(x\)"),
        (lambda: None, r"\(\)"),
        (lambda x, h, c: None, r"\(x, h, c\)"),
        (lambda x, *, state=None: None, r"\(x, \*, state=None\)"),
    ],
)
def test_others_are_told_what_is_wanted(function, signature):
    with pytest.raises(
        TypeError, match=rf"mine takes {signature}.*\(x, state\); write it as \(x, state\) -> \(y, s"
    ):
        takes(function)


def test_a_pair():
    y = torch.zeros(1)
    assert pair_of((y, None), "mine", "a pair (y, state)") == (y, None)
    for result, got in (
        (y, "got Tensor"),
        (None, "got None"),
        ((y, y, y), "got a tuple of 3"),
        ([y, y], "got a list of 2"),
        ({"y": y}, "got a dict of 1"),
    ):
        with pytest.raises(TypeError, match=rf"mine must return a pair \(y, state\), {got}"):
            pair_of(result, "mine", "a pair (y, state)")
    with pytest.raises(TypeError, match="the outputs y of mine must be a tensor, got None"):
        pair_of((None, y), "mine", "a pair (y, state)")
