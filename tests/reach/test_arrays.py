import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from bptt.reach.arrays import as_tensors, check_desired, holds_arrays


def test_an_array_is_read_where_it_is():
    array = np.arange(6.0).reshape(3, 2)
    for given in (array, array.T, array[::2], np.asfortranarray(array)):
        found = as_tensors(given, "x")
        assert found.data_ptr() == given.ctypes.data
        assert np.array_equal(found.numpy(), given)
    array.flags.writeable = False
    assert as_tensors({"a": [array, None]}, "x")["a"][0].tolist() == array.tolist()


class Frame:
    def __array__(self, dtype=None, copy=None):
        return np.zeros(3)

    def __iter__(self):
        return iter("ab")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros(3)[::-1], "x is an array of float64 with strides .*negative"),
        (np.zeros(3, ">f4"), "x is an array of >f4 .*byte order"),
        (np.array(["a"]), "x is an array of <U1"),
        (np.ma.masked_equal(np.arange(3), 1), r"x is a masked array.*x\.filled"),
        (pack_sequence([torch.zeros(3, 1), torch.zeros(2, 1)]), "x is packed.*pad_packed_sequence"),
        (torch.zeros(3, 2).to_sparse(), "x holds a nested or sparse tensor"),
        (Frame(), r"x is a Frame; pass it as an array or tensor, numpy\.asarray\(x\)"),
        ((1.0,), "x holds a float"),
    ],
)
def test_refused(given, words):
    with pytest.raises(TypeError, match=words):
        as_tensors(given, "x")


def test_which_trees_hold_arrays():
    assert holds_arrays((torch.zeros(1), {"a": np.zeros(1)}))
    assert not holds_arrays((torch.zeros(1), None))


def test_what_is_desired_has_no_history():
    d = torch.zeros(3, requires_grad=True)
    check_desired((d, None))
    with pytest.raises(ValueError, match=r"d was computed from what requires gradients.*pass d\.detach\(\)"):
        check_desired({"a": 2 * d})


def test_what_was_made_under_inference_mode():
    with torch.inference_mode():
        x = torch.zeros(3)
    with pytest.raises(ValueError, match=r"x was made under torch.inference_mode\(\).*x\.clone\(\)"):
        as_tensors(x, "x")
    as_tensors(x.clone(), "x")
