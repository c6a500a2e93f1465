from typing import NamedTuple

import pytest
import torch

from bptt import trees


class Pair(NamedTuple):
    h: torch.Tensor
    c: object


def nested():
    return Pair(torch.zeros(2, 3), {"c": [torch.ones(1), None], "n": (torch.ones(4, dtype=torch.int64),)})


def test_leaves_in_order_and_form_kept():
    assert [tuple(leaf.shape) for leaf in trees.leaves(nested())] == [(2, 3), (1,), (4,)]
    shapes = trees.mapped(lambda leaf: leaf.shape[0], nested())
    assert shapes == Pair(2, {"c": [1, None], "n": (4,)})
    assert isinstance(shapes, Pair)
    assert trees.refilled(nested(), iter("abc")) == Pair("a", {"c": ["b", None], "n": ("c",)})


def test_what_is_no_state():
    with pytest.raises(TypeError, match="state holds a float"):
        trees.leaves((torch.zeros(1), 0.5))
    with pytest.raises(TypeError, match="x holds a ndarray"):
        trees.leaves(torch.zeros(1).numpy(), "x")


def test_cloned_is_apart_and_detached_is_not():
    tree = (torch.zeros(2, requires_grad=True),)
    (clone,), (alias,) = trees.cloned(tree), trees.detached(tree)
    assert not clone.requires_grad
    assert not alias.requires_grad
    assert alias.data_ptr() == tree[0].data_ptr() != clone.data_ptr()


@pytest.mark.parametrize(
    "other",
    [
        (torch.zeros(2, 3),),
        Pair(torch.zeros(2, 4), nested().c),
        Pair(torch.zeros(2, 3, dtype=torch.float64), nested().c),
        Pair(torch.zeros(2, 3), {"c": nested().c["c"]}),
        Pair(torch.zeros(2, 3), None),
    ],
)
def test_a_form_that_changes(other):
    trees.check_same_form(nested(), nested(), "it")
    with pytest.raises(ValueError, match=r"it changed the form of its state from \(float32 \(2, 3\), \{'c'"):
        trees.check_same_form(nested(), other, "it")


def test_bytes_and_room():
    assert trees.bytes_of(nested()) == 4 * 6 + 4 + 8 * 4
    room = trees.stacked_room(nested(), 7)
    assert [tuple(leaf.shape) for leaf in trees.leaves(room)] == [(7, 2, 3), (7, 1), (7, 4)]


def test_where_a_saved_state_is_of_another_kind():
    like = {"w": torch.zeros(2), "n": 1, "deep": {"a": [1.0, "x"]}, "later": None, "on": True}
    assert trees.differing({**like, "deep": {"b": 3}, "later": torch.ones(1), "more": 1}, like) is None
    assert trees.differing({**like, "deep": {"a": (2, "y", 3)}}, like) is None
    for change, place in (
        ({"w": torch.zeros(3)}, "w"),
        ({"w": torch.zeros(2, dtype=torch.int)}, "w"),
        ({"n": "1"}, "n"),
        ({"on": 1}, "on"),
        ({"deep": []}, "deep"),
        ({"deep": {"a": [1.0, 2]}}, "deep/a/1"),
    ):
        assert trees.differing({**like, **change}, like) == place
    assert trees.differing({"w": like["w"]}, like) == "n"
    assert trees.differing([], like) == ""
