"""The probe reads a training loop's own backward passes, and leaves all else alone."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import bptt
from support import assert_close, normal


class Model(nn.Module):
    def __init__(self, kind=nn.GRU, **options):
        super().__init__()
        self.rnn, self.head = kind(3, 4, **options), nn.Linear(4 * (1 + options.get("bidirectional", False)), 1)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


def train(model, steps=5, probe=None, x=None):
    x = normal(6, 2, 3, dtype=torch.float32) if x is None else x
    optimizer, losses = torch.optim.Adam(model.parameters(), 0.01), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        if probe is not None:
            probe.step()
        losses.append(loss.item())
    return losses


def made(kind=nn.GRU, **options):
    torch.manual_seed(0)
    return Model(kind, **options)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM, bptt.GRU])
def test_training_goes_as_without_it_and_is_measured_every_so_many_steps(kind):
    wanted, logged = train(made(kind)), []
    model = made(kind)
    probe = bptt.Probe(model, every=3, log=lambda values, step: logged.append((step, values)))
    found = train(model, probe=probe)
    assert_close(torch.tensor(found), torch.tensor(wanted), "losses")
    assert [step for step, _ in logged] == [0, 3]
    assert probe.values is logged[-1][1]
    assert type(model.rnn) is kind  # between measured steps nothing is touched
    assert all(isinstance(value, float) for value in probe.values.values())
    assert {"bptt/rnn/l0/gradient_by_lag/0", "bptt/rnn/l0/gradient_left", "bptt/rnn/l0/saturated"} <= set(
        probe.values
    )


def test_the_gradient_by_lag_is_that_of_contributions():
    """Of the error at the last step alone, by the plain model's pairs."""
    model = bptt.SequenceModel(bptt.GRU(3, 4, 2), 1).double()
    x = normal(6, 1, 3)
    probe = bptt.Probe(model, errors=1)
    model(x)[0][-1].sum().backward()
    values = probe.step()
    c = bptt.contributions(model, x, torch.zeros(6, 1, 1), lambda y, d: y[-1].sum(), pairs=True)
    for layer in ("l0", "l1"):
        for lag in (0, 1, 2, 4):
            wanted = c.by_pair.states[layer][5, 5 - lag].item()
            assert values[f"bptt/recurrent/{layer}/gradient_by_lag/{lag}"] == pytest.approx(wanted, rel=1e-9)


def test_it_may_be_read_before_or_after_the_optimizers_step():
    values = []
    for first in (True, False):
        model, x = made(), normal(6, 2, 3, dtype=torch.float32)
        optimizer = torch.optim.SGD(model.parameters(), 1.0)
        probe = bptt.Probe(model)
        model(x).square().mean().backward()
        if first:
            optimizer.step()
        values.append(probe.step())
    assert values[0] == values[1]


@pytest.mark.parametrize("options", [{"bidirectional": True}, {"num_layers": 2}, {"batch_first": True}])
def test_other_modules(options):
    model = made(nn.LSTM, **options)
    probe = bptt.Probe(model)
    model(normal(2, 6, 3, dtype=torch.float32)).sum().backward()
    values = probe.step()
    layers = {key.split("/")[2] for key in values}
    assert (
        layers == {"l0_reverse", "l0"}
        if "bidirectional" in options
        else {"l0", *(["l1"] if "num_layers" in options else [])}
    )
    assert ("bptt/rnn/l0/gradient_at_first_step" in values) == ("bidirectional" in options)
    assert 0 <= values["bptt/rnn/l0/gates/f/open"] <= 1


def test_packed_sequences_and_loops_of_cells():
    rnn = nn.GRU(3, 4)
    probe = bptt.Probe(rnn)
    packed = pack_padded_sequence(normal(6, 2, 3, dtype=torch.float32), [6, 3])
    rnn(packed)[0].data.sum().backward()
    assert set(probe.step()) == {"bptt/l0/gradient_at_first_step", "bptt/l0/gradient_at_last_step"}
    cell, h = nn.LSTMCell(3, 4), None
    probe = bptt.Probe(cell, name="cell")
    for x_t in normal(6, 2, 3, dtype=torch.float32):
        h = cell(x_t, h)
    h[0].sum().backward()
    values = probe.step()
    assert 0 < values["cell/l0/gradient_at_first_step"] < values["cell/l0/gradient_at_last_step"]


def test_what_a_windows_cut_throws_away():
    rnn, x = nn.GRU(3, 4).double(), normal(6, 1, 3)
    _, h = rnn(x[:3])
    probe = bptt.Probe(rnn)
    y, _ = rnn(x[3:], h.detach())
    y.sum().backward()
    values = probe.step()
    h = h.detach().requires_grad_()
    rnn(x[3:], h)[0].sum().backward()
    assert values["bptt/l0/cut"] == pytest.approx(h.grad.norm().item())
    probe = bptt.Probe(rnn)
    rnn(x)[0].sum().backward()
    assert "bptt/l0/cut" not in probe.step()


def test_an_elman_network_that_forgets_at_once_has_vanished():
    rnn = nn.RNN(1, 2).double()
    with torch.no_grad():
        rnn.weight_hh_l0.mul_(1e-4)
    probe = bptt.Probe(rnn, lags=3)
    rnn(normal(6, 1, 1))[0].sum().backward()
    values = probe.step()
    assert values["bptt/l0/vanished_at"] == 1
    assert [key for key in values if "by_lag" in key] == [f"bptt/l0/gradient_by_lag/{lag}" for lag in (0, 1, 2)]


def test_an_error_of_the_cell_state_has_no_lag():
    rnn = nn.LSTM(3, 4)
    probe = bptt.Probe(rnn)
    y, (_, c) = rnn(normal(6, 2, 3, dtype=torch.float32))
    (y.sum() + c.sum()).backward()
    values = probe.step()
    assert "bptt/l0/gradient_at_first_step" in values
    assert not any("by_lag" in key for key in values)


def test_a_layer_that_no_gradient_reaches_has_no_part_left():
    rnn = nn.RNN(3, 4, 2, nonlinearity="relu")
    with torch.no_grad():
        rnn.bias_ih_l1.fill_(-100.0)
    probe = bptt.Probe(rnn)
    rnn(normal(6, 2, 3, dtype=torch.float32))[0].sum().backward()
    values = probe.step()
    assert values["bptt/l0/gradient_by_lag/0"] == 0
    assert "bptt/l0/gradient_left" not in values


def test_bad_input_and_closing():
    with pytest.raises(ValueError, match="no recurrent module"):
        bptt.Probe(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="every"):
        bptt.Probe(nn.GRU(2, 2), every=0)
    with pytest.raises(TypeError, match="log must be a function"):
        bptt.Probe(nn.GRU(2, 2), log="wandb")
    model = made()
    probe = bptt.Probe(model)
    with pytest.raises(ValueError, match="being recorded already"):
        bptt.Probe(model)
    model(normal(6, 2, 3, dtype=torch.float32))
    with pytest.raises(RuntimeError, match=r"no backward pass.*after loss.backward"):
        probe.step()
    probe = bptt.Probe(model)
    probe.close()
    assert type(model.rnn) is nn.GRU
    assert probe.step() is None


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph")
def test_a_backward_pass_with_create_graph_is_measured():
    torch.manual_seed(0)
    rnn, x = nn.GRU(2, 3), torch.randn(9, 2, 2)
    values = []
    for create_graph in (False, True):
        probe = bptt.Probe(rnn)
        rnn(x)[0].square().sum().backward(create_graph=create_graph)
        values.append(probe.step())
        rnn.zero_grad()
    assert values[0] == pytest.approx(values[1])
