import json

import pytest
import torch

import bptt
from support import assert_close, normal

RECURRENT = {
    "rnn": lambda **o: bptt.RNN(2, 4, leak=0.5, **o),
    "gru": lambda **o: bptt.GRU(2, 4, **o),
    "lstm": lambda **o: bptt.LSTM(2, 4, **o),
    "stacked": lambda **o: bptt.LSTM(2, 4, num_layers=2, proj_size=3, **o),
    "bidirectional": lambda **o: bptt.GRU(2, 4, num_layers=2, bidirectional=True, **o),
}


def finite_differences(net, loss, step=1e-4):
    """Fourth-order central differences of loss() in every parameter."""
    gradients = {}
    with torch.no_grad():
        for name, p in net.named_parameters():
            gradient = torch.zeros_like(p)
            for place in range(p.numel()):
                values = []
                old = p.view(-1)[place].item()
                for shift in (-2, -1, 1, 2):
                    p.view(-1)[place] = old + shift * step
                    values.append(float(loss()))
                p.view(-1)[place] = old
                gradient.view(-1)[place] = (8 * (values[2] - values[1]) - (values[3] - values[0])) / (12 * step)
            gradients[name] = gradient
    return gradients


@pytest.mark.parametrize("t", [1, 3, 5])
@pytest.mark.parametrize("options", [{}, {"activation": "softplus", "bias": True}, {"leak": 0.4}])
def test_the_lessons_gradients_by_finite_differences(t, options):
    net = bptt.Elman(2, 3, 1, dtype=torch.float64, **options)
    x, d = normal(5, 2), normal(5, 1, seed=1)
    e = bptt.explain(net, x, d, t=t)

    def error():
        return bptt.squared_error(net(x)[0][t - 1], d[t - 1])

    assert e.error.item() == pytest.approx(error().item(), rel=1e-14)
    for name, wanted in finite_differences(net, error).items():
        assert torch.allclose(e.gradient[name], wanted, rtol=1e-7, atol=1e-9), name


def test_the_lessons_formula_term_by_term():
    """∂E_3/∂W_s = Σ s_{k-1}ᵀ δ_k and its kin, written out as the lesson has them."""
    net = bptt.Elman(2, 3, 1, dtype=torch.float64)
    x, d = normal(5, 2), normal(5, 1, seed=1)
    y, s = net(x)[0], net.hidden(x)
    e = bptt.explain(net, x, d, t=3)
    assert e.delta.shape == (3, 3)
    delta = (2 * (y[2] - d[2]) @ net.W_y.T) * (1 - s[2] ** 2)
    for k in (3, 2, 1):
        before = s[k - 2] if k > 1 else torch.zeros(3, dtype=torch.float64)
        assert_close(e.delta[k - 1], delta, f"delta {k}", 1e-13)
        assert_close(e.contributions["W_x"][k - 1], torch.outer(x[k - 1], delta), f"W_x {k}", 1e-13)
        assert_close(e.contributions["W_s"][k - 1], torch.outer(before, delta), f"W_s {k}", 1e-13)
        delta = (delta @ net.W_s.T) * (1 - before**2)
    assert e.contributions["W_y"][:2].count_nonzero() == 0


@pytest.mark.parametrize("name", list(RECURRENT))
@pytest.mark.parametrize("criterion", [bptt.squared_error, bptt.cross_entropy, torch.nn.L1Loss(reduction="sum")])
@pytest.mark.parametrize("batch", [None, 3])
def test_gradients_are_autograds_and_contributions_sum_to_them(name, criterion, batch):
    batch_first = batch is not None
    model = bptt.SequenceModel(RECURRENT[name](batch_first=batch_first), 3).double()
    shape = (6,) if batch is None else (batch, 6)
    x, d = normal(*shape, 2), normal(*shape, 3, seed=1)
    d = d.argmax(-1) if criterion is bptt.cross_entropy else d
    e = bptt.explain(model, x, d, criterion, t=4)

    at = (slice(None), 3) if batch_first else 3
    error = criterion(model(x)[0][at], d[at])
    assert_close(e.error, error.detach(), "error", 1e-14)
    parameters = dict(model.named_parameters())
    assert list(e.gradient) == list(parameters)
    for (parameter, wanted), parts in zip(
        zip(parameters, torch.autograd.grad(error, list(parameters.values())), strict=True),
        e.contributions.values(),
        strict=True,
    ):
        assert_close(e.gradient[parameter], wanted, parameter, 1e-12)
        assert_close(parts.sum(0), wanted, f"sum of contributions to {parameter}", 1e-12)
        assert len(parts) == (6 if name == "bidirectional" else 4)


def test_state_gradients_are_autograds():
    net = bptt.Elman(2, 3, 2, softmax=True, dtype=torch.float64)
    x, d = normal(5, 2), torch.tensor([0, 1, 1, 0, 1])
    e = bptt.explain(net, x, d, bptt.cross_entropy, t=4)
    s = [torch.zeros(3, dtype=torch.float64)]
    for x_t in x[:4]:
        s.append(torch.tanh(x_t @ net.W_x + s[-1] @ net.W_s))
    error = torch.nn.functional.cross_entropy(s[4] @ net.W_y, d[3])
    for k, wanted in enumerate(torch.autograd.grad(error, s[1:])):
        assert_close(e.state_gradient[k], wanted, f"∂E_4/∂s_{k + 1}", 1e-13)


def test_an_explanation_changes_nothing():
    model = bptt.SequenceModel(bptt.LSTM(2, 4, num_layers=2, dropout=0.5), 3)
    model.recurrent.eval()
    before = {n: p.clone() for n, p in model.state_dict().items()}
    x, d = torch.zeros(5, 2), torch.zeros(5, 3)
    first, second = (bptt.explain(model, x, d) for _ in range(2))
    assert model.training
    assert not model.recurrent.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(p, before[n]) for n, p in model.state_dict().items())
    assert torch.equal(first.gradient["readout.weight"], second.gradient["readout.weight"])


def test_a_frozen_network_is_explained_as_well():
    net = bptt.Elman(2, 3, 1).requires_grad_(False)
    assert bptt.explain(net, torch.ones(3, 2), torch.ones(3, 1)).gradient["W_y"].norm() > 0


def test_several_layers_are_asked_for_by_name():
    model = bptt.SequenceModel(bptt.GRU(2, 4, num_layers=2), 3)
    e = bptt.explain(model, torch.zeros(5, 2), torch.zeros(5, 3))
    assert e.deltas["l1"].shape == (5, 12)
    with pytest.raises(ValueError, match="l0, l1"):
        _ = e.delta


def test_numbers_are_json():
    e = bptt.explain(bptt.Elman(2, 3, 1), torch.ones(3, 2), torch.ones(3, 1))
    again = json.loads(json.dumps(e.numbers()))
    assert again["t"] == 3
    assert torch.allclose(torch.tensor(again["contributions"]["W_s"]), e.contributions["W_s"])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"t": 6}, ValueError, "t is 6.*1 to 5"),
        ({"t": 0}, ValueError, "t is 0"),
        ({"t": 2.0}, TypeError, "float"),
        ({"criterion": 3}, TypeError, "function.*int"),
        ({"criterion": lambda y, d: (y - d) ** 2}, ValueError, r"scalar.*\(1,\)"),
        ({"criterion": lambda y, d: 0.0}, TypeError, "scalar.*float"),
        ({"d": torch.zeros(4, 1)}, ValueError, r"d is \(4, 1\)"),
        ({"d": [0.0]}, TypeError, "d must be a torch.Tensor"),
        ({"model": torch.nn.RNN(2, 3)}, TypeError, "SequenceModel"),
    ],
)
def test_bad_calls(change, error, words):
    call = {"model": bptt.Elman(2, 3, 1), "x": torch.zeros(5, 2), "d": torch.zeros(5, 1), **change}
    with pytest.raises(error, match=words):
        bptt.explain(**call)


def test_packed_sequences_are_refused():
    model = bptt.SequenceModel(bptt.GRU(3, 5), 4)
    packed = bptt.pack_padded_sequence(torch.zeros(4, 2, 3), [4, 2])
    with pytest.raises(TypeError, match="packed"):
        bptt.explain(model, packed, torch.zeros(4, 2, 4))  # pyright: ignore


@pytest.mark.parametrize("name", ["rnn", "lstm", "stacked", "bidirectional"])
def test_what_goes_over_each_edge_is_autograds(name):
    """Each edge gets a tensor of its own in a step-by-step walk, so that autograd says what goes over it."""
    model = bptt.SequenceModel(RECURRENT[name](), 3).double()
    x, d, t = normal(5, 2), normal(5, 3, seed=1), 3
    e = bptt.explain(model, x, d, t=t)
    r = model.recurrent
    over: dict = {"x": {}, "s": {}, "c": {}}
    below = list(x)
    for layer, directions in enumerate(r.weights()):
        outputs = []
        for backwards, w in enumerate(directions):
            where = f"l{layer}" + "_reverse" * backwards
            state = tuple(torch.zeros(1, size).double() for size in (w.W_hh.shape[1], r.hidden_size))
            state, row = state[: len(r.state_names)], {}
            for k in reversed(range(5)) if backwards else range(5):
                state = tuple(s.clone().requires_grad_() if not s.requires_grad else s * 1 for s in state)
                edge = (
                    below[k][None].clone() if below[k].requires_grad else below[k][None].clone().requires_grad_()
                )
                over["x"][where, k] = edge
                for kind, part in zip("sc", state, strict=False):
                    over[kind][where, k + (1 if backwards else -1)] = part
                state, _ = r.cell.step(torch.nn.functional.linear(edge, w.W_ih, w.b_ih), state, w)
                row[k] = state[0][0]
            outputs.append(row)
        below = [torch.cat([row[k] for row in outputs]) for k in range(5)]
    error = bptt.squared_error(model.readout(below[t - 1]), d[t - 1])
    assert_close(e.output_gradient, 2 * (model(x)[0][t - 1] - d[t - 1]).detach(), "output")
    found = {"x": e.input_gradients, "s": e.recurrent_gradients, "c": e.cell_gradients}
    assert set(e.cell_gradients) == (set(e.deltas) if "lstm" in type(r).__name__.lower() else set())
    for kind, edges in ((kind, edges) for kind, edges in over.items() if edges):
        gradients = torch.autograd.grad(
            error, list(edges.values()), allow_unused=True, materialize_grads=True, retain_graph=True
        )
        for (where, k), wanted in zip(edges, gradients, strict=True):
            if 0 <= k < len(e.deltas[where]):
                error_of = (found[kind][where][k] - wanted[0]).abs().max()
                assert error_of < 1e-12, (kind, where, k)


def test_in_a_notebook_it_is_a_table_and_a_picture():
    e = bptt.explain(bptt.Elman(2, 3, 1), torch.ones(20, 2), torch.ones(20, 1))
    shown = e._repr_html_()
    assert ">2 to 9</th>" in shown
    assert "<svg " in shown
    assert "draw" not in e.numbers()
