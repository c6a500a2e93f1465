"""Truncated and checkpointed BPTT of models (x) -> y: the same numbers as where the state is handed out."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import bptt
from support import assert_close, mean_square, normal

EXACT = 1e-12


class Hiding(nn.Module):
    """A `SequenceModel` that shows no state."""

    def __init__(self, model):
        super().__init__()
        self.inner = copy.deepcopy(model)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.inner.readout(self.inner.recurrent(x)[0])


def pair(kind=bptt.LSTM, **options):
    torch.manual_seed(0)
    shown = bptt.SequenceModel(kind(3, 5, **options), 2).double()
    return shown, Hiding(shown)


def data(T=23, B=2):
    return normal(T, B, 3), torch.tanh(normal(T, B, 2, seed=1))


def gradients(model):
    found = [w.grad for w in model.parameters()]
    model.zero_grad()
    return found


@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (5, 5), (5, 12), (4, 23), (23, 23), (50, None)])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "batch_first": True}, {"kind": bptt.RNN}])
def test_windows_are_those_of_the_model_that_shows_its_state(k1, k2, options):
    shown, hiding = pair(**options)
    x, d = data()
    axis = int(options.get("batch_first", False))
    x, d = x.transpose(0, axis), d.transpose(0, axis)
    resets = torch.zeros(23, 2, dtype=torch.bool)
    resets[[3, 9, 14], [0, 1, 0]] = True
    resets[17] = True
    resets = resets.transpose(0, axis)
    options = {"k1": k1, "k2": k2, "resets": resets}
    pairs = zip(
        bptt.truncated(shown, x, d, mean_square, **options),
        bptt.truncated(hiding, x, d, mean_square, **options),
        strict=True,
    )
    for wanted, found in pairs:
        assert (found.start, found.stop) == (wanted.start, wanted.stop)
        assert_close(found.loss, wanted.loss, "loss", EXACT)
        assert_close(found.outputs, wanted.outputs, "outputs", EXACT)
        for a, b in zip(gradients(hiding), gradients(shown), strict=True):
            assert_close(a, b, f"the gradient of the window at {found.start}", EXACT)
    assert not hiding.inner.recurrent._forward_hooks


@pytest.mark.parametrize("options", [{"segment": 4}, {"segment": 23}, {"memory": "40kB"}])
@pytest.mark.parametrize("reduction", ["whole", "mean"])
def test_checkpointed_gradients_are_the_full_ones(options, reduction):
    _, model = pair(num_layers=2, dropout=0.0)
    x, d = data()
    x.requires_grad_()
    loss = mean_square(model(x), d)
    loss.backward()
    wanted, x_wanted = gradients(model), x.grad
    x.grad, model.calls = None, 0
    result = bptt.checkpointed(model, x, d, mean_square, reduction=reduction, **options)
    assert_close(result.loss, loss.detach(), "loss", EXACT)
    assert_close(x.grad, x_wanted, "∂L/∂x", EXACT)
    for a, b in zip(gradients(model), wanted, strict=True):
        assert_close(a, b, "gradient", EXACT)
    assert list(result.state) == ["inner.recurrent"]
    assert model.calls > 1 or options["segment"] == 23, "it was cut"


def test_dropout_is_drawn_again_as_it_was():
    shown, hiding = pair(bptt.GRU, num_layers=2, dropout=0.5)
    x, d = data()
    torch.manual_seed(1)
    wanted = bptt.checkpointed(shown, x, d, mean_square, segment=5)
    torch.manual_seed(1)
    found = bptt.checkpointed(hiding, x, d, mean_square, segment=5)
    assert_close(found.loss, wanted.loss, "loss", EXACT)
    for a, b in zip(gradients(hiding), gradients(shown), strict=True):
        assert_close(a, b, "gradient", EXACT)


def test_plans_and_the_bias_of_truncation_know_such_models():
    shown, hiding = pair()
    x, d = data()
    assert bptt.plan_checkpoints(hiding, x, d, mean_square, segment=5).segments == 5
    pairs = zip(
        bptt.truncation_bias(shown, x, d, mean_square, k1=5),
        bptt.truncation_bias(hiding, x, d, mean_square, k1=5),
        strict=True,
    )
    for wanted, found in pairs:
        assert found.cosine == pytest.approx(wanted.cosine, rel=1e-9)


class Forecaster(nn.Module):
    """A batch is a dict; torch.nn's modules, a convolution of the same length, cells that loop."""

    def __init__(self):
        super().__init__()
        self.embedding, self.rnn, self.cell = nn.Embedding(5, 3), nn.GRU(5, 4), nn.GRUCell(4, 4)
        self.readout = nn.Linear(4, 2)

    def forward(self, batch):
        h, y = None, []
        for row in self.rnn(torch.cat([self.embedding(batch["token"]), batch["more"][0]], -1))[0]:
            h = self.cell(row, h)
            y.append(h)
        return self.readout(torch.stack(y))


def forecasting():
    torch.manual_seed(0)
    model = Forecaster().double()
    x = {"token": torch.randint(5, (23, 2)), "more": (normal(23, 2, 2),)}
    d = {"target": normal(23, 2, 2), "weight": torch.rand(23, 2, 1, dtype=torch.float64)}
    return model, x, d


def weighted(y, d):
    return (d["weight"] * (y - d["target"]).square()).sum()


def test_a_batch_is_a_tree_and_the_criterion_gets_all_of_d():
    model, x, d = forecasting()
    loss = weighted(model(x), d)
    loss.backward()
    wanted = gradients(model)
    result = bptt.checkpointed(model, x, d, weighted, segment=6, reduction="sum")
    assert_close(result.loss, loss.detach(), "loss", EXACT)
    for a, b in zip(gradients(model), wanted, strict=True):
        assert_close(a, b, "gradient", EXACT)
    (window,) = bptt.truncated(model, x, d, weighted, k1=23)
    assert_close(window.loss, loss.detach(), "loss", EXACT)
    for a, b in zip(gradients(model), wanted, strict=True):
        assert_close(a, b, "gradient", EXACT)
    losses = [window.loss for window in bptt.truncated(model, x, d, weighted, k1=5, k2=10)]
    assert_close(sum(losses), loss.detach(), "the sum of losses, with carried states", EXACT)


def test_a_function_of_the_batch_names_the_model():
    model, x, d = forecasting()
    whole = list(bptt.truncated(model, x, d, weighted, k1=5))
    found = list(bptt.truncated(lambda batch: 1.0 * model(batch), x, d, weighted, k1=5))
    assert [w.loss for w in found] == [w.loss for w in whole]


def test_a_compiled_model_runs_without_it():
    shown, hiding = pair()
    x, d = data()
    compiled = torch.compile(hiding, backend="eager")
    for wanted, found in zip(
        bptt.truncated(shown, x, d, mean_square, k1=7),
        bptt.truncated(compiled, x, d, mean_square, k1=7),
        strict=True,
    ):
        assert_close(found.loss, wanted.loss, "loss", EXACT)


def test_the_place_is_saved_and_loaded():
    _, model = pair()
    x, d = data()
    first, second = (bptt.truncated(model, x, d, mean_square, k1=5, k2=10) for _ in range(2))
    next(first), next(first)
    second.load_state_dict(first.state_dict())
    assert torch.equal(next(second).outputs, next(first).outputs)


def test_inside_distributed_data_parallel(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        shown, hiding = pair()
        x, d = data()
        wrapped = DistributedDataParallel(hiding)
        for _ in bptt.truncated(wrapped, x, d, mean_square, k1=5):
            pass
        for _ in bptt.truncated(shown, x, d, mean_square, k1=5):
            pass
        for a, b in zip(gradients(hiding), gradients(shown), strict=True):
            assert_close(a, b, "gradient", EXACT)
        with bptt.stateful(wrapped), torch.no_grad():
            y = torch.cat([wrapped(window) for window in x.split(4)])
        assert_close(y, hiding(x), "outputs", EXACT)
    finally:
        torch.distributed.destroy_process_group()


class Wrong(nn.Module):
    """Models that cannot be walked so, by what they do."""

    def __init__(self, do, **options):
        super().__init__()
        self.rnn, self.do = nn.GRU(3, 2, **options).double(), do

    def forward(self, x):
        return self.do(self.rnn, x)


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (Wrong(lambda rnn, x: rnn(x)), TypeError, "takes x alone, so that it must return y, a tensor, got tuple"),
        (Wrong(lambda rnn, x: rnn(x)[0] + rnn(x)[0]), ValueError, "rnn was called twice in one window"),
        (
            Wrong(lambda rnn, x: rnn(x, x.new_zeros(1, 2, 2))[0]),
            ValueError,
            "no state can be carried: Wrong gives its recurrent modules a state of its own",
        ),
        (Wrong(lambda rnn, x: x, bidirectional=True), ValueError, "is bidirectional"),
        (lambda x: x, TypeError, r"takes \(x\), but here it is called with \(x, state\)"),
    ],
)
def test_models_whose_state_cannot_be_carried(model, error, words):
    x, d = data()
    with pytest.raises(error, match=words):
        next(bptt.truncated(model, x, d, mean_square, k1=5))


def test_a_state_of_another_form_and_a_model_that_carries_already():
    _, model = pair()
    x, d = data()
    with pytest.raises(TypeError, match="states are a dict, by module, got Tensor"):
        next(bptt.truncated(model, x, d, mean_square, state=torch.zeros(1, 2, 5)))
    with bptt.stateful(model), pytest.raises(ValueError, match="carries its state already; leave the other"):
        next(bptt.truncated(model, x, d, mean_square))
