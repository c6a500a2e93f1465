import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm

import bptt
from support import assert_close, normal


class Tagger(nn.Module):
    """A model as people build them: stacked, shared, nested in containers."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(3, 5, 2, dropout=0.2, bidirectional=True, proj_size=2)
        self.middle = nn.ModuleList([nn.GRU(4, 4), nn.RNN(4, 4, nonlinearity="relu", bias=False)])
        self.again = self.middle[0]
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x, _ = self.encoder(x)
        for layer in (*self.middle, self.again):
            x, _ = layer(x)
        return self.head(x)


@pytest.fixture
def pair():
    torch.manual_seed(0)
    theirs = Tagger().double().eval()
    return theirs, bptt.from_torch(copy.deepcopy(theirs))


def test_the_model_computes_the_same_and_is_ours_throughout(pair):
    theirs, ours = pair
    assert isinstance(ours.encoder, bptt.LSTM)
    assert [type(m) for m in ours.middle] == [bptt.GRU, bptt.RNN]
    assert ours.again is ours.middle[0]
    x = normal(6, 2, 3)
    assert_close(ours(x), theirs(x), "outputs", 1e-12)
    assert not ours.encoder.training
    assert ours.train().encoder.dropout == 0.2


def test_there_and_back_again(pair):
    theirs, ours = pair
    back = bptt.to_torch(ours)
    assert type(back.encoder) is nn.LSTM
    assert type(back.middle[1]) is nn.RNN
    assert back.again is back.middle[0]
    x = normal(6, 2, 3)
    assert torch.equal(back(x), theirs(x))
    back.encoder.weight_hh_l0.data.zero_()
    assert not torch.equal(back(x), theirs(x))


def test_weights_stay_the_same_objects_and_an_optimizer_goes_on():
    model = nn.Sequential(nn.GRU(3, 5))
    before = dict(model.named_parameters())
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    bptt.from_torch(model)
    assert all(p is before[name] for name, p in model.named_parameters())
    x = torch.ones(4, 2, 3)
    y = model(x)[0]
    y.sum().backward()
    optimizer.step()
    assert not torch.equal(model(x)[0], y)


def test_a_module_itself_is_replaced():
    assert isinstance(bptt.from_torch(nn.RNN(3, 5)), bptt.RNN)
    assert type(bptt.to_torch(bptt.GRU(3, 5, dropout=0.0))) is nn.GRU


def test_hooks_go_along():
    seen = []
    module = nn.GRU(3, 5)
    module.register_forward_hook(lambda *_: seen.append("forward"))
    module.register_full_backward_hook(lambda *_: seen.append("backward"))
    bptt.from_torch(module)(torch.zeros(4, 2, 3, requires_grad=True))[0].sum().backward()
    assert seen == ["forward", "backward"]


@pytest.mark.parametrize(
    "hook", [lambda m: parametrizations.weight_norm(m, "weight_hh_l0"), lambda m: spectral_norm(m, "weight_hh_l0")]
)
def test_parametrizations_and_weight_hooks_go_along(hook):
    theirs = nn.LSTM(3, 5).double()
    hook(theirs)
    theirs.eval()
    ours = bptt.from_torch(copy.deepcopy(theirs))
    x = normal(4, 2, 3)
    assert_close(ours(x)[0], theirs(x)[0], "outputs", 1e-12)
    ours(x)[0].sum().backward()
    assert all(p.grad is not None for p in ours.parameters())
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]


def test_subclasses_are_left_alone_and_named_in_one_warning():
    class Mine(nn.GRU):
        pass

    model = nn.Sequential(Mine(3, 5), nn.LSTM(3, 5), nn.ModuleDict({"inner": Mine(3, 5)}))
    parametrizations.weight_norm(model[0], "weight_hh_l0")
    with pytest.warns(UserWarning, match=r"left alone 0 \(Mine\), 2.inner \(Mine\): subclasses of") as warned:
        bptt.from_torch(model)
    assert len(warned) == 1
    assert isinstance(model[0], Mine)
    assert type(model[1]) is bptt.LSTM


@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
def test_cells_are_replaced_with_all_they_carry_and_put_back(kind):
    class Mine(nn.GRUCell):
        pass

    model = nn.ModuleList(
        [getattr(nn, kind)(3, 5, bias=False), parametrizations.weight_norm(nn.LSTMCell(3, 5), "weight_hh")]
    )
    model.append(model[0]).append(Mine(3, 5))
    model[0].register_forward_hook(lambda *_: None)
    x, parameters = normal(2, 3, dtype=torch.float32), dict(model.named_parameters())
    wanted = [cell(x) for cell in model]
    with pytest.warns(UserWarning, match=r"left alone 3 \(Mine\): subclasses of"):
        bptt.from_torch(model)
    assert type(model[0]) is getattr(bptt, kind)
    assert model[2] is model[0]
    assert isinstance(model[1], bptt.LSTMCell)
    assert type(model[3]) is Mine
    assert len(model[0]._forward_hooks) == 1
    assert all(p is parameters[name] for name, p in model.named_parameters())
    for cell, before in zip(model, wanted, strict=True):
        for a, b in zip(cell(x), before, strict=True):
            assert_close(a, b, "state")
    with pytest.warns(UserWarning, match=r"left alone 3 \(Mine\)"):
        bptt.from_torch(model)  # ours are no strangers
    bptt.to_torch(model)
    assert type(model[0]) is getattr(nn, kind)
    assert type(model[1]).__bases__ == (nn.LSTMCell,)


def test_what_torch_has_not_is_said_and_nothing_is_replaced():
    model = nn.Sequential(bptt.GRU(3, 5), bptt.RNN(5, 5, leak=0.5))
    with pytest.raises(ValueError, match=r"1 is RNN\(5, 5, leak=0.5\), but torch.nn.RNN supports only tanh"):
        bptt.to_torch(model)
    assert isinstance(model[0], bptt.GRU)


@pytest.mark.parametrize("convert", [bptt.from_torch, bptt.to_torch])
@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("GRU", "model must be a torch.nn.Module, got str"),
        (nn.GRU, r"the class GRU; pass a module made of it, GRU\("),
    ],
)
def test_what_is_no_module_is_refused(convert, model, words):
    with pytest.raises(TypeError, match=words):
        convert(model)
