import pickle

import pytest
import torch
from torch import nn

import bptt
from bptt.trees import leaves
from support import assert_close, normal


def lesson_loop(net, x, phi=torch.tanh):
    """The lesson's equations, a step at a time, for one sequence."""
    s, states = torch.zeros(net.state_size, dtype=x.dtype), []
    for x_t in x:
        s = phi(x_t @ net.W_x + s @ net.W_s)
        states.append(s)
    s = torch.stack(states)
    return s @ net.W_y, s


def test_elman_is_the_lesson():
    net = bptt.Elman(2, 3, 1, dtype=torch.float64)
    assert [(n, tuple(p.shape)) for n, p in net.named_parameters()] == [
        ("W_x", (2, 3)),
        ("W_s", (3, 3)),
        ("W_y", (3, 1)),
    ]
    x = normal(5, 2)
    y, s = lesson_loop(net, x)
    for found, wanted in zip((*net(x), net.hidden(x)), (y, s[-1], s), strict=True):
        assert_close(found, wanted, "one sequence", 1e-14)
    batch = normal(4, 5, 2)
    y, state = net(batch)
    s = net.hidden(batch)
    assert y.shape == (4, 5, 1)
    assert s.shape == (4, 5, 3)
    assert torch.equal(state, s[:, -1])
    assert_close(s[2], lesson_loop(net, batch[2])[1], "a row of the batch", 1e-14)


@pytest.mark.parametrize("options", [{}, {"activation": "relu"}, {"softmax": True, "bias": True}, {"leak": 0.5}])
def test_elman_gradients_by_finite_differences(options):
    net = bptt.Elman(2, 3, 2, dtype=torch.float64, **options)
    names, parameters = zip(*net.named_parameters(), strict=True)

    def outputs(x, *parameters):
        return torch.func.functional_call(net, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(outputs, (normal(4, 2, grad=True), *parameters), rtol=1e-6)


def test_weights_are_settable_from_tensors_lists_and_parameters():
    net = bptt.Elman(2, 3, 1)
    W_x = net.W_x
    net.W_x = [[1, 2, 3], [4, 5, 6]]
    assert net.W_x is W_x
    assert net.W_x.tolist() == [[1, 2, 3], [4, 5, 6]]
    net.W_s = torch.eye(3, dtype=torch.float64)
    assert net.W_s.dtype == torch.float32
    replacement = nn.Parameter(torch.ones(3, 1))
    net.W_y = replacement
    assert net.W_y is replacement
    with pytest.raises(ValueError, match=r"W_s has shape \(3, 3\), but \(2, 2\)"):
        net.W_s = torch.eye(2)
    for wrong in ("eye", [[1.0, 2.0], [3.0]]):
        with pytest.raises(TypeError, match=r"W_s takes a tensor or nested lists of shape \(3, 3\)"):
            net.W_s = wrong
    assert torch.equal(net.W_s, torch.eye(3))


def test_softmax_makes_probabilities():
    y, _ = bptt.Elman(2, 3, 4, softmax=True)(torch.zeros(5, 2))
    assert torch.allclose(y.sum(-1), torch.ones(5))


def test_initial_state():
    net = bptt.Elman(2, 3, 1)
    x = torch.zeros(5, 2)
    whole = net.hidden(x)
    later = net.hidden(x[2:], whole[1])
    assert torch.allclose(later, whole[2:])
    with pytest.raises(ValueError, match=r"s_0 has shape \(2,\), but \(3,\)"):
        net(x, torch.zeros(2))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((2, 0, 1), {}, ValueError, "state_size"),
        ((2, 3, 1.0), {}, TypeError, "output_size"),
        ((2, 3, 1), {"softmax": 1}, TypeError, "softmax"),
        ((2, 3, 1), {"activation": "tahn"}, ValueError, "tahn"),
    ],
)
def test_bad_elman(arguments, options, error, words):
    with pytest.raises(error, match=words):
        bptt.Elman(*arguments, **options)


def test_elman_checks_its_input_and_weights():
    net = bptt.Elman(2, 3, 1)
    with pytest.raises(ValueError, match=r"3 features.*input_size=2"):
        net(torch.zeros(5, 3))
    net.W_s.data = torch.zeros(2, 2)
    with pytest.raises(ValueError, match=r"W_s of this Elman has shape \(2, 2\)"):
        net(torch.zeros(5, 2))


def test_elman_pickles_and_shows_itself():
    net = bptt.Elman(2, 3, 1, activation="relu", softmax=True, bias=True, leak=0.5)
    assert repr(net) == "Elman(2, 3, 1, activation=relu, softmax=True, bias=True, leak=0.5)"
    again = pickle.loads(pickle.dumps(net))
    assert torch.equal(again(torch.ones(4, 2))[0], net(torch.ones(4, 2))[0])


@pytest.mark.parametrize("batch_first", [False, True])
def test_sequence_model_is_recurrent_and_readout(batch_first):
    model = bptt.SequenceModel(bptt.LSTM(3, 5, num_layers=2, batch_first=batch_first, proj_size=2), 4)
    x = normal(6, 2, 3, dtype=torch.float32)
    y, (h, c) = model(x)
    assert torch.equal(y, model.readout(model.recurrent(x)[0]))
    assert y.shape == (6, 2, 4)
    assert (h.shape[-1], c.shape[-1]) == (2, 5)
    first, state = model(x[:, :1] if batch_first else x[:3])
    assert model(x[:, 1:] if batch_first else x[3:], state)[0].isfinite().all()
    assert first.isfinite().all()


def test_sequence_model_takes_packed_sequences():
    model = bptt.SequenceModel(bptt.GRU(3, 5), 4)
    packed = bptt.pack_padded_sequence(torch.zeros(4, 2, 3), [4, 2])
    y, _ = model(packed)
    assert y.data.shape == (6, 4)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("name", ["read-out", "the lesson's", "softmax"])
def test_step_by_step_is_the_whole_walk(name, batched):
    model = {
        "read-out": lambda: bptt.SequenceModel(bptt.LSTM(3, 5, 2, batch_first=True, dtype=torch.float64), 4),
        "the lesson's": lambda: bptt.Elman(3, 5, 4, dtype=torch.float64),
        "softmax": lambda: bptt.Elman(3, 5, 4, "gelu", softmax=True, bias=True, leak=0.5, dtype=torch.float64),
    }[name]()
    x, state, found = normal(2, 6, 3) if batched else normal(6, 3), None, []
    for x_t in x.unbind(-2):
        y_t, state = model.step(x_t, state)
        found.append(y_t)
    y, last = model(x)
    assert_close(torch.stack(found, -2), y, name, 1e-13)
    for f, w in zip(leaves(state), leaves(last), strict=True):
        assert_close(f, w, name, 1e-13)
    with pytest.raises(ValueError, match=r"x_t is \(6, 2\)"):
        model.step(normal(6, 2))


@pytest.mark.parametrize("shape", [(3,), (1, 3), (2, 3), (7, 3), (40, 3)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_step_without_gradients_is_the_one_with_them(kind, bias, shape):
    model = bptt.SequenceModel(getattr(bptt, kind)(3, 37, bias=bias), 19, bias=bias).double()
    x, state, (wanted, after) = normal(*shape), None, (None, None)
    for _ in range(2):
        wanted, after = model.step(x, after)
        with torch.no_grad():
            found, state = model.step(x, state)
            h, of_module = model.recurrent.step(x, None)
        for f, w in zip((found, *leaves(state)), (wanted, *leaves(after)), strict=True):
            assert_close(f, w, kind, 1e-13)
            assert not f.requires_grad
    x_first = x.unsqueeze(0)
    for f, w in zip((h, *leaves(of_module)), leaves(model.recurrent(x_first)), strict=True):
        assert_close(f, w.squeeze(0) if f is h else w, kind, 1e-13)


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_step_without_gradients_takes_a_read_out_whose_tensors_are_no_parameters(name):
    model, x = bptt.SequenceModel(bptt.GRU(3, 5), 2), normal(1, 3, dtype=torch.float32)
    tensor = getattr(model.readout, name).detach() + 1
    delattr(model.readout, name)
    setattr(model.readout, name, tensor)
    with torch.no_grad():
        assert_close(model.step(x)[0], model(x.unsqueeze(0))[0][0], "y", 1e-6)


def test_a_step_without_gradients_calls_a_read_out_with_hooks_and_refuses_wrong_weights():
    model, x = bptt.SequenceModel(bptt.GRU(3, 5), 2), normal(1, 3, dtype=torch.float32)
    with torch.no_grad():
        y, _ = model.step(x)
        hook = model.readout.register_forward_hook(lambda layer, given, y: y + 1)
        assert_close(model.step(x)[0], y + 1, "y")
        hook.remove()
        model.readout.forward = lambda h: y + 2
        assert_close(model.step(x)[0], y + 2, "y")
        del model.readout.forward
        model.readout.weight = torch.nn.Parameter(torch.zeros(2, 6))
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            model.step(x)


def test_sequence_model_wants_our_modules():
    with pytest.raises(TypeError, match=r"bptt\.RNN.*torch|got RNN"):
        bptt.SequenceModel(nn.RNN(3, 5), 4)  # pyright: ignore


@pytest.mark.parametrize("call", [bptt.contributions, bptt.diagnose, bptt.explain])
def test_a_read_out_of_another_kind_trains_and_is_refused_by_name_where_it_must_be_linear(call, tmp_path):
    model = bptt.SequenceModel(bptt.GRU(3, 4), 5)
    model.readout = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    x, d = normal(9, 3, dtype=torch.float32), normal(9, 2, dtype=torch.float32)
    assert model(x)[0].shape == d.shape
    with pytest.raises(TypeError, match=r"is a Sequential, but a torch\.nn\.Linear is needed here; bptt\.record"):
        call(model, x, d, bptt.squared_error)
    with pytest.raises(TypeError, match="is a Sequential"):
        bptt.export_onnx(model, tmp_path / "model.onnx")
