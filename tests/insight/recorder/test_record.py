"""Contributions inside models of many kinds: they sum up to autograd's gradient, and leave the model as it was."""

from operator import attrgetter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

import bptt
from support import assert_close, normal
from written_models import LENGTHS, MODELS, B, Scaled, T, loss_of, made, run


@pytest.mark.parametrize("name", MODELS)
def test_contributions_sum_up_to_autograds_gradient(name):
    model, tokens = made(name)
    plain, _ = run(made(name)[0], tokens)
    loss, walks = run(model, tokens, bptt.record(model))
    assert_close(loss, plain, "loss")
    c = bptt.contributions(walks, loss)
    assert all(p.grad is None for p in model.parameters())
    assert not {"forward", "run"} & {key for module in model.modules() for key in vars(module)}
    parameters = dict(model.named_parameters())
    wanted = dict(zip(parameters, torch.autograd.grad(loss, parameters.values()), strict=True))
    recurrent = {id(p) for module in walks.modules.values() for p in module.parameters()}
    assert set(c.gradient) == {key for key, p in parameters.items() if id(p) in recurrent}
    for key, gradient in c.gradient.items():
        uses = [m for m in c.values() for w in m.by_step if f"{m.name}.{w}" == key]
        assert len(uses) <= 1
        if key != "shared_weight" and "upper.weight_hh" not in key:  # tied to a use outside of recurrent modules
            assert_close(gradient, wanted[key], key)
    for module in c.values():
        norms = {weight: module.by_step.norms(weight) for weight in module.by_step}
        for weight, by_step in module.by_step.items():
            assert_close(norms[weight], by_step.flatten(1).norm(dim=1), weight)
            assert_close(module.by_step.norms(weight), norms[weight], weight)
            assert by_step.shape[1:] == attrgetter(weight)(walks.modules[module.name]).shape
            assert_close(by_step.sum(0), module.gradient[weight], weight)
            assert_close(
                sum(loop.by_step.summed(weight) for loop in module.loops), module.gradient[weight], weight
            )
    assert all(name in str(c) for name in c)


@pytest.mark.parametrize("name", MODELS)
def test_a_recorded_model_trains_as_it_would_have(name):
    model, tokens = made(name)
    other, _ = made(name)
    plain, _ = run(other, tokens)
    plain.backward()
    after = torch.get_rng_state()
    loss, walks = run(model, tokens, bptt.record(model))
    assert torch.equal(torch.get_rng_state(), after)
    bptt.contributions(walks, loss)
    loss.backward()
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert_close(p.grad, q.grad, "gradient")
    for p, q in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(p, q)


def test_outputs_may_be_changed_in_place():
    torch.manual_seed(0)
    rnn, x = nn.GRU(3, 4).double(), normal(T, B, 3)
    wanted = torch.autograd.grad(rnn(x)[0].square().sum(), rnn.parameters())
    with bptt.record(rnn) as walks:
        y, _ = rnn(x)
        loss = y.square_().sum()
    c = bptt.contributions(walks, loss)[""]
    for (name, _), gradient in zip(rnn.named_parameters(), wanted, strict=True):
        assert_close(c.gradient[name], gradient, name)


def test_calls_are_told_apart():
    model, tokens = made("twice")
    loss, walks = run(model, tokens, bptt.record(model))
    c = bptt.contributions(walks, loss)
    assert len(c["shared"].loops) == 2
    assert c["shared"].by_step["weight_hh_l0"].shape == (2 * T, 12, 4)
    model, tokens = made("translator of GRU")
    c = bptt.contributions(*run(model, tokens, bptt.record(model))[::-1])
    assert len(c["decoder"].loops) == 1
    assert c["decoder"].by_step["weight_hh"].shape == (4, 15, 5)
    model, tokens = made("one-step calls")
    c = bptt.contributions(*run(model, tokens, bptt.record(model))[::-1])
    assert len(c["rnn"].loops) == 1


def test_steps_of_packed_sequences_are_each_sequences_own():
    torch.manual_seed(0)
    rnn, x = nn.GRU(3, 4, bidirectional=True).double(), normal(T, B, 3)
    packed = pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
    with bptt.record(rnn) as walks:
        y, _ = pad_packed_sequence(rnn(packed)[0])
    c = bptt.contributions(walks, loss_of(y))[""]
    alone = []
    for b, length in enumerate(LENGTHS.tolist()):
        with bptt.record(rnn) as walks:
            own, _ = rnn(x[:length, b : b + 1])
        seed = normal(*y.shape, seed=5)[:length, b : b + 1]
        part = bptt.contributions(walks, (own * seed).sum() + own.square().sum() / y.numel())[""]
        alone.append(
            {
                name: nn.functional.pad(by_step.flatten(1), (0, 0, 0, T - length))
                for name, by_step in part.by_step.items()
            }
        )
    for name, by_step in c.by_step.items():
        assert_close(by_step.flatten(1), sum(part[name] for part in alone), name)


def test_a_loss_of_the_final_state_enters_at_the_last_step():
    torch.manual_seed(0)
    rnn, x = nn.RNN(3, 4).double(), normal(T, B, 3)
    with bptt.record(rnn) as walks:
        loss = rnn(x)[1].square().sum()
    with bptt.record(rnn) as others:
        same = rnn(x)[0][-1].square().sum()
    found, wanted = (bptt.contributions(*of, pairs=True)[""] for of in ((walks, loss), (others, same)))
    assert found.steps == wanted.steps == (T,)
    assert_close(found.by_pair.states["l0"], wanted.by_pair.states["l0"], "pairs")


def test_weights_tied_within_a_module():
    rnn = nn.GRU(4, 4, 2).double()
    rnn.weight_ih_l1, rnn.weight_hh_l1 = rnn.weight_ih_l0, rnn.weight_hh_l0
    with bptt.record(rnn) as walks:
        loss = rnn(normal(T, B, 4))[0].square().sum()
    c = bptt.contributions(walks, loss)
    for name, wanted in rnn.named_parameters():
        assert_close(c.gradient[name], torch.autograd.grad(loss, wanted, retain_graph=True)[0], name)


def test_an_empty_batch():
    rnn = nn.GRU(3, 4)
    with bptt.record(rnn) as walks:
        loss = rnn(torch.empty(T, 0, 3))[0].sum()
    c = bptt.contributions(walks, loss)[""]
    assert c.steps == ()
    assert not c.by_step["weight_hh_l0"].any()


def test_functional_call_and_autocast_and_compiled_models():
    model, tokens = made("tagger of GRU")
    model.eval()
    other = {name: p.detach() * 1.1 for name, p in model.named_parameters()}
    for p in other.values():
        p.requires_grad_()
    with bptt.record(model) as walks:
        loss = loss_of(functional_call(model, other, (tokens,)))
    c = bptt.contributions(walks, loss)["encoder"]
    wanted = torch.autograd.grad(loss, other["encoder.weight_hh_l0"], retain_graph=True)[0]
    assert_close(c.gradient["weight_hh_l0"], wanted, "gradient")
    model = model.float()
    with bptt.record(model) as walks, torch.autocast("cpu", torch.bfloat16):
        y = model(tokens)
    loss = y.float().square().sum()
    c = bptt.contributions(walks, loss)["encoder"]
    wanted = torch.autograd.grad(loss, model.encoder.weight_hh_l0)[0]
    assert_close(c.gradient["weight_hh_l0"], wanted, "gradient", 2e-2)
    compiled = torch.compile(model, backend="aot_eager")
    with bptt.record(model) as walks:
        loss = compiled(tokens).square().sum()
    assert_close(bptt.contributions(walks, loss).loss, model(tokens).square().sum().detach(), "loss")


def test_windows_of_a_long_sequence():
    """A user's loop that passes the state on: its windows count as one loop, without those before the cut."""
    torch.manual_seed(0)
    rnn, x, state = nn.GRU(3, 4).double(), normal(8, B, 3), None
    with bptt.record(rnn) as walks:
        for first in (0, 4):
            y, state = rnn(x[first : first + 4], None if state is None else state.detach())
            found = bptt.contributions(walks, loss_of(y))[""]
            wanted = torch.autograd.grad(loss_of(y), rnn.weight_hh_l0)[0]
            assert_close(found.gradient["weight_hh_l0"], wanted, "gradient")
            assert len(found.by_step["weight_hh_l0"]) == 4
        y, _ = rnn(x[:4])
        y, _ = rnn(x[4:], y[-1:])
    c = bptt.contributions(walks, loss_of(y))[""]
    assert len(c.loops) == 1
    assert len(c.by_step["weight_hh_l0"]) == 8
    walks.clear()
    assert repr(walks) == "Walks(calls of the model: 0)"


def test_truncated_and_checkpointed_run_as_they_do():
    torch.manual_seed(0)
    model, x, d = bptt.SequenceModel(bptt.GRU(3, 4), 2).double(), normal(8, B, 3), normal(8, B, 2)
    wanted = [window.loss for window in bptt.truncated(model, x, d, nn.MSELoss(), k1=4)]
    with bptt.record(model) as walks:
        found = [window.loss for window in bptt.truncated(model, x, d, nn.MSELoss(), k1=4)]
    assert found == wanted
    assert len(walks.calls["recurrent"]) == 2


RNNS = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM, "ours": bptt.LSTM}


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(RNNS)),
    st.integers(1, 2),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["outputs", "state", "both"]),
    st.integers(1, 4),
    st.integers(0, 2**16),
)
def test_the_law_over_random_models(kind, layers, bidirectional, batch_first, packed, used, steps, seed):
    torch.manual_seed(seed)
    options = {"num_layers": layers, "bidirectional": bidirectional, "batch_first": batch_first}
    model = nn.ModuleList(
        [RNNS[kind](2, 3, **options), RNNS[kind](3 * (1 + bidirectional), 2, **options)]
    ).double()
    x = torch.randn(2, steps, 2, dtype=torch.float64)
    x = x if batch_first else x.transpose(0, 1)
    with bptt.record(model) as walks:
        x = pack_padded_sequence(x, [steps, 1], batch_first) if packed else x
        y, first = model[0](x)
        y, state = model[1](y)
        rows = y.data if packed else y
        states = [s for of in (first, state) for s in (of if isinstance(of, tuple) else (of,))]
        loss = rows.sin().sum() * (used != "state") + sum(s.square().sum() for s in states) * (used != "outputs")
    c = bptt.contributions(walks, loss)
    wanted = torch.autograd.grad(loss, model.parameters(), materialize_grads=True)
    for (name, _), gradient in zip(model.named_parameters(), wanted, strict=True):
        assert_close(c.gradient[name], gradient, name)


def test_a_weight_set_before_each_call_is_the_one_recorded():
    model, tokens = made("weight drop")
    loss, walks = run(model, tokens, bptt.record(model))
    found = bptt.contributions(walks, loss)["rnn"].gradient["weight_ih_l0"]
    wanted = torch.autograd.grad(loss, model.rnn.weight_ih_l0)[0]
    assert_close(found, wanted, "gradient")


def test_a_subclass_is_its_own_class_again():
    model, _ = made("subclassed")
    with bptt.record(model):
        assert type(model.rnn).__name__ == "Scaled"
        with pytest.raises(ValueError, match="rnn is being recorded already"), bptt.record(model):
            pass
    assert type(model.rnn) is Scaled
    assert "forward" not in vars(model.cells[0])


def test_what_cannot_be_recorded():
    model, tokens = made("tagger of GRU")
    with (
        pytest.raises(ValueError, match=r"Linear has no recurrent module.*torch.nn.RNN"),
        bptt.record(nn.Linear(2, 2)),
    ):
        pass
    with pytest.raises(TypeError, match="got function"), bptt.record(loss_of):
        pass
    with (
        bptt.record(model),
        pytest.raises(ValueError, match="encoder is being recorded already"),
        bptt.record(model),
    ):
        pass
    with bptt.record(model) as walks, torch.no_grad():
        y = model(tokens)
    with pytest.raises(ValueError, match=r"no walk was recorded.*1 calls were made under torch.no_grad"):
        bptt.contributions(walks, y.sum())
    rnn = nn.GRU(2, 3)
    with bptt.record(rnn) as walks:
        y = checkpoint(lambda x: rnn(x)[0], torch.ones(2, 1, 2, requires_grad=True), use_reentrant=True)
    with pytest.raises(ValueError, match=r"no walk was recorded.*use_reentrant=False"):
        bptt.contributions(walks, y.sum())
    loss, walks = run(model, tokens, bptt.record(model))
    with pytest.raises(ValueError, match="depends on no recorded walk"):
        bptt.contributions(walks, model.embedding.weight.sum())
    with pytest.raises(ValueError, match="depends on no recorded walk"):
        bptt.contributions(walks, loss.detach())
    with pytest.raises(ValueError, match=r"depends on no recorded walk.*another"):
        bptt.contributions(walks, run(made("tagger of GRU")[0], tokens)[0])
    with pytest.raises(ValueError, match=r"there are 5 errors E_t, but.* 6 steps"):
        bptt.contributions(walks, loss * torch.ones(5))
    with pytest.raises(TypeError, match="a gradient is of a real loss"):
        bptt.contributions(walks, loss * 1j)
    with pytest.raises(TypeError, match="loss must be a scalar tensor"):
        bptt.contributions(walks, 1.0)
    loss.backward()
    with pytest.raises(RuntimeError, match=r"the graph of this loss is gone.*before loss.backward"):
        bptt.contributions(walks, loss)


def test_a_gradient_penalty_is_refused_and_works():
    rnn, x = nn.GRU(3, 4).double(), normal(T, B, 3, grad=True)
    with bptt.record(rnn) as walks:
        y, _ = rnn(x)
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        loss = y.square().sum() + slope.square().sum()
    with pytest.raises(ValueError, match="second derivatives are not recorded"):
        bptt.contributions(walks, loss)
    found = torch.autograd.grad(loss, rnn.parameters())
    y, _ = rnn(x)
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    for f, w in zip(
        found, torch.autograd.grad(y.square().sum() + slope.square().sum(), rnn.parameters()), strict=True
    ):
        assert_close(f, w, "gradient")


def test_errors_of_a_loop_are_told_from_what_its_steps_hand_on():
    """Only the first and the third step's output count: what flows from call to call is no error."""
    for kind in (nn.GRUCell, nn.LSTMCell):
        torch.manual_seed(0)
        cell, h, x = kind(3, 4).double(), None, normal(T, B, 3)
        with bptt.record(cell) as walks:
            outputs = []
            for x_t in x:
                h = cell(x_t, h)
                outputs.append(h[0] if isinstance(h, tuple) else h)
        c = bptt.contributions(walks, outputs[0].sum() + outputs[2].square().sum())[""]
        assert c.steps == (1, 3)


def test_a_lessons_network_inside_has_its_weights_as_it_reads_them():
    net, x = bptt.Elman(2, 3, 1, bias=True).double(), normal(4, T, 2)
    with bptt.record(net) as walks:
        loss = net(x)[0].square().sum()
    c = bptt.contributions(walks, loss)[""]
    for name in ("W_x", "W_s", "b_s"):
        assert_close(
            c.by_step[name].sum(0), torch.autograd.grad(loss, getattr(net, name), retain_graph=True)[0], name
        )


def test_a_loss_of_two_recordings_of_a_module_is_refused():
    """Each would give its own part alone; of two models each recording has the whole part of its own."""
    first, second, x = nn.GRU(3, 4), nn.GRU(3, 4), normal(T, B, 3, dtype=torch.float32)
    total = torch.zeros(())
    for part in x.split(3):
        with bptt.record(first) as walks:
            total = total + first(part)[0].sum()
    for function in (bptt.contributions, bptt.diagnose, bptt.explain):
        with pytest.raises(ValueError, match=r"calls of the model in another `record` too.*inside one `with"):
            function(walks, total)
    with bptt.record(first) as walks, bptt.record(second) as others:
        loss = first(x)[0].sum() + second(x)[0].sum()
    for of, module in ((walks, first), (others, second)):
        wanted = torch.autograd.grad(loss, module.weight_hh_l0, retain_graph=True)[0]
        assert_close(bptt.contributions(of, loss)[""].gradient["weight_hh_l0"], wanted, "gradient", 1e-5)


@pytest.mark.filterwarnings("ignore:.torch.jit.trace")
@pytest.mark.parametrize("made_of", [nn.GRU, bptt.GRU, nn.GRUCell])
def test_tracers_and_tensors_without_values_are_refused(made_of):
    rnn, x = made_of(2, 3), torch.ones(1, 2)
    with (
        bptt.record(rnn),
        pytest.raises(RuntimeError, match=r"the model is called by torch.export, torch.jit.trace.*outside of it"),
    ):
        torch.jit.trace(rnn, x)
    with bptt.record(rnn), pytest.raises(Exception, match=r"the model is called by torch.export"):
        torch.export.export(rnn, (x,))
    with bptt.record(rnn), FakeTensorMode(allow_non_fake_inputs=True):
        fake = torch.ones(1, 2)
        with pytest.raises(RuntimeError, match=r"with tensors without values \(meta or fake\)"):
            rnn(fake)
    with bptt.record(rnn.to("meta")), pytest.raises(RuntimeError, match="with tensors without values"):
        rnn(x.to("meta"))


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph")
def test_a_backward_pass_that_is_differentiated_again_is_kept_too():
    rnn, x = nn.LSTM(3, 4).double(), normal(T, B, 3)
    with bptt.record(rnn) as walks:
        loss = rnn(x)[0].square().sum()
    loss.backward(create_graph=True)
    (call,) = walks.calls[""]
    assert_close(call.factors(0).W_hh.summed(), rnn.weight_hh_l0.grad.detach(), "gradient")


def test_what_a_backward_pass_computes_again_is_not_recorded():
    rnn, x = nn.GRU(3, 4).double(), normal(T, B, 3, grad=True)
    with bptt.record(rnn) as walks:
        checkpoint(lambda x: rnn(x)[0].exp(), x, use_reentrant=False).sum().backward()
        assert len(walks.calls[""]) == 1
    assert walks.skipped == 0


def test_rounding_of_what_a_loop_hands_on_is_no_error():
    """At the first step errors cancel, and leave the rounding of a sum."""
    torch.manual_seed(0)
    cell, h, x = nn.GRUCell(3, 4), None, normal(T, B, 3, dtype=torch.float32)
    with bptt.record(cell) as walks:
        states = [cell(x[0], h)]
        early = 0.3 * states[0].sum()  # its gradient is added after that of the calls, and the other one before
        states += [h := cell(x_t, states[0] if h is None else h) for x_t in x[1:]]
        loss = 9 * states[-1].square().sum() + early - 0.3 * states[0].sum()
    assert bptt.contributions(walks, loss)[""].steps == (T,)
    assert bptt.contributions(walks, loss + 1e-3 * states[1].sum())[""].steps == (2, T)


def test_a_state_that_is_changed_between_calls_is_no_walk_of_its_own():
    cell, h, x = nn.GRUCell(3, 4), None, normal(9, B, 3, dtype=torch.float32)
    with bptt.record(cell) as walks:
        for x_t in x:
            h = cell(x_t, h if h is None else 0.9 * h)
    loss = h.square().sum()
    assert bptt.contributions(walks, loss)[""].steps == (9,)
    with pytest.raises(ValueError, match="by a state that was changed between two calls"):
        bptt.explain(walks, loss)
    assert bptt.diagnose(walks, loss)[""].layers[0].gradient_by_lag is None
