"""The probe in training loops as people write them: nothing of the training changes, and the values are right."""

import copy
import gc
import io
import weakref

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import bptt
from support import any_grad_is_read, assert_close, normal

LAG_0 = "bptt/rnn/l0/gradient_by_lag/0"


class Model(nn.Module):
    def __init__(self, kind=nn.GRU):
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.head = kind(3, 4), nn.Linear(4, 1)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


def data():
    return normal(6, 2, 3, dtype=torch.float32)


KINDS = pytest.mark.parametrize("kind", [nn.GRU, bptt.GRU])


@KINDS
def test_gradient_accumulation_measures_the_last_mini_batch(kind):
    model, x = Model(kind), data()
    probe = bptt.Probe(model)
    for part in (2 * x, -x, x):
        model(part).square().mean().backward()
    values = probe.step()
    assert values == pytest.approx(alone(Model(kind), x))


def alone(model, x, **options):
    probe = bptt.Probe(model, **options)
    model(x).square().mean().backward()
    return probe.step()


def test_the_scale_of_a_scaled_loss_is_taken_out():
    model, x = Model(), data()
    optimizer, scaler = torch.optim.SGD(model.parameters(), 0.1), torch.amp.GradScaler("cpu")
    probe = bptt.Probe(model)
    scaler.scale(model(x).square().mean()).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    values = probe.step(scaler.get_scale())
    scaler.step(optimizer)
    scaler.update()
    assert values == pytest.approx(alone(Model(), x))


def test_each_of_several_losses():
    """The last backward pass is measured, whatever came before it."""
    x = data()
    model = Model()
    probe = bptt.Probe(model)
    y = model(x)
    y[0].sum().backward(retain_graph=True)
    y.square().mean().backward()
    assert probe.step() == pytest.approx(alone(Model(), x))


@KINDS
def test_validation_in_a_measured_step(kind):
    model, x = Model(kind), data()
    probe = bptt.Probe(model)
    with torch.inference_mode():
        model(2 * x)
    loss = model(x).square().mean()
    model.eval()
    with torch.no_grad():
        wanted = model(3 * x)
    assert_close(model(3 * x), wanted, "a call with gradients that is never backpropagated")
    model.train()
    loss.backward()
    assert probe.step() == pytest.approx(alone(Model(kind), x))


def test_a_step_without_a_backward_pass_is_made_up_for():
    model, x = Model(), data()
    probe = bptt.Probe(model, every=2)
    steps = []
    for backward in (True, True, False, True, True, True):
        if backward:
            model(x).square().mean().backward()
        steps.append(probe.step() is not None)
    assert steps == [True, False, False, True, True, False]


@KINDS
def test_windows_of_truncated(kind):
    model = bptt.SequenceModel(bptt.GRU(3, 4), 1)
    x, found = normal(12, 2, 3, dtype=torch.float32), []
    with bptt.Probe(model, every=2) as probe:
        for _ in bptt.truncated(model, x, torch.zeros(12, 2, 1), nn.MSELoss(), k1=3, k2=6):
            found.append(probe.step())
    assert [values is not None for values in found] == [True, False, True, False]
    assert "bptt/recurrent/l0/cut" not in found[0]  # a sequence's start
    assert found[2]["bptt/recurrent/l0/cut"] > 0


@KINDS
def test_windows_by_detach(kind):
    model, x, h, cuts = Model(kind), normal(12, 2, 3, dtype=torch.float32), None, []
    probe = bptt.Probe(model, every=1)
    for window in x.split(4):
        y, h = model.rnn(window, h)
        h = h.detach()
        y.sum().backward()
        cuts.append(probe.step().get("bptt/rnn/l0/cut", 0))
    assert cuts[0] == 0
    assert all(cut > 0 for cut in cuts[1:])


@any_grad_is_read
@KINDS
def test_a_compiled_model_is_compiled_once(kind):
    compiled_graphs = []

    def backend(graph, _):
        compiled_graphs.append(graph)
        return graph

    torch.compiler.reset()
    model, x = Model(kind), data()
    compiled = torch.compile(model, backend=backend)
    for _ in range(2):
        compiled(x)
    graphs, probe, measured = len(compiled_graphs), bptt.Probe(model, every=3), []
    for _ in range(7):
        compiled(x).square().mean().backward()
        measured.append(probe.step() is not None)
    assert measured == [True, False, False, True, False, False, True]
    assert len(compiled_graphs) == graphs


def test_two_probes_closed_in_the_order_they_were_opened_leave_compilers_on():
    first, second = bptt.Probe(nn.GRU(3, 4)), bptt.Probe(nn.GRU(3, 4))
    calls = []

    def backend(graph, _):
        calls.append(graph)
        return graph

    double = torch.compile(lambda x: 2 * x, backend=backend)
    first.close()
    double(torch.ones(2))
    assert not calls
    second.close()
    double(torch.ones(2))
    assert calls


def test_a_loop_that_fails_leaves_the_model_as_it_was():
    model = Model()
    with pytest.raises(RuntimeError, match="shapes"), bptt.Probe(model):
        model.head(torch.ones(2))
    assert type(model.rnn) is nn.GRU


class Scaled(nn.GRU):
    def forward(self, input, hx=None):
        return super().forward(2 * input, hx)


COPIES = {
    "deepcopy": copy.deepcopy,
    "averaged": lambda model: AveragedModel(model).module,
    "saved": lambda model: torch.load(saved(model), weights_only=False),
}


def saved(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return file


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("kind", [nn.GRU, bptt.GRU, Scaled])
def test_a_copy_in_a_measured_step_is_a_plain_model(kind, how):
    model, x = Model(kind), data()
    probe = bptt.Probe(model)
    copied = COPIES[how](model)
    assert type(copied.rnn) is kind
    wanted = Model(kind)(x)
    model.rnn.weight_hh_l0.data.zero_()
    assert_close(copied(x), wanted, "the copy has its own weights")
    copied(x).sum().backward()
    with pytest.raises(RuntimeError, match="no backward pass"):
        probe.step()


@pytest.mark.parametrize("kind", [nn.GRU, bptt.GRU, Scaled])
def test_a_measured_steps_memory_is_freed_at_once(kind):
    model = Model(kind)
    probe = bptt.Probe(model)
    gc.disable()
    model(data()).sum().backward()
    assert probe._walks is not None
    kept = weakref.ref(probe._walks)
    probe.step()
    freed = kept() is None
    gc.enable()
    assert freed


def test_weights_parametrized_in_a_measured_step():
    model, x = Model(), data()
    probe = bptt.Probe(model)
    nn.utils.parametrizations.weight_norm(model.rnn, "weight_hh_l0")
    with pytest.raises(RuntimeError, match="copy it before or after"):
        copy.deepcopy(model)
    model(x).square().mean().backward()
    assert probe.step() == pytest.approx(alone(Model(), x), rel=1e-5)
    assert type(model.rnn).__name__ == "ParametrizedGRU"
    assert type(model.rnn).__bases__ == (nn.GRU,)


def test_a_copy_of_a_parametrized_module():
    model, x = Model(), data()
    nn.utils.parametrizations.weight_norm(model.rnn, "weight_hh_l0")
    with bptt.Probe(model):
        copied = copy.deepcopy(model)
    assert type(copied.rnn) is type(model.rnn)
    assert_close(copied(x), model(x), "outputs")


@pytest.mark.parametrize("probed", ["model", "wrapper"])
def test_distributed_data_parallel(probed, tmp_path):
    """Buckets and hooks in a group of one process; the values are those of the model alone."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        model, x = Model(), data()
        shared = nn.parallel.DistributedDataParallel(model)
        with bptt.Probe(model if probed == "model" else shared, every=2) as probe:
            for step in range(4):
                model.zero_grad()
                shared(x).square().mean().backward()
                measured = probe.step()
                assert (measured is not None) == (step % 2 == 0)
        found = {name.replace("module.", ""): value for name, value in probe.values.items()}
        assert found == pytest.approx(alone(Model(), x), rel=1e-5)
    finally:
        torch.distributed.destroy_process_group()
