import copy
import pickle

import pytest
import torch

import bptt


def test_it_can_be_kept_and_copied():
    e = bptt.explain(bptt.Elman(2, 3, 1), torch.ones(3, 2), torch.ones(3, 1))
    for again in (pickle.loads(pickle.dumps(e)), copy.deepcopy(e)):
        assert again.numbers() == e.numbers()
        assert again._repr_html_() == e._repr_html_()


def test_one_layer_needs_no_name_and_several_do():
    e = bptt.explain(bptt.SequenceModel(bptt.RNN(2, 3, 2), 1), torch.ones(3, 2), torch.ones(3, 1))
    with pytest.raises(ValueError, match=r"state_gradients.*l0, l1"):
        _ = e.state_gradient
