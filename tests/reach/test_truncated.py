import numpy as np
import pytest
import torch
from torch import nn

import bptt
from bptt.reach.truncated import truncated
from reach_windows import descend, sequence
from support import assert_close, mean_square
from zoo import MAKERS, laid_out, model_of


def steps_of(model, x, first, stop):
    return x[:, first:stop] if getattr(model, "batch_first", False) else x[first:stop]


def detached(state):
    if isinstance(state, dict):
        return {key: detached(part) for key, part in state.items()}
    return state.detach() if isinstance(state, torch.Tensor) else type(state)(detached(part) for part in state)


def step_by_step(model, x, first, stop, state):
    """y of each step, and the state before each of them and after the last."""
    outputs, states = [], {first: state}
    for t in range(first, stop):
        y, state = model(steps_of(model, x, t, t + 1), state)
        outputs.append(y)
        states[t + 1] = state
    return outputs, states


def naive(model, module, x, d, k1, k2, T, learn):
    """Truncated BPTT, a step at a time: the loss and gradients of each window."""
    states, found = {0: None}, []
    axis = int(getattr(model, "batch_first", False))
    for start in range(0, T, k1):
        stop = min(start + k1, T)
        first = max(0, stop - k2)
        outputs, walked = step_by_step(model, x, first, stop, states[first])
        loss = mean_square(torch.cat(outputs[start - first :], axis), steps_of(model, d, start, stop))
        gradients = torch.autograd.grad(loss, list(module.parameters()), allow_unused=True, materialize_grads=True)
        found.append((loss.detach(), gradients))
        states |= {t: detached(state) for t, state in walked.items() if t > 0}
        learn(module, gradients)
    return found


@pytest.mark.parametrize(("k1", "k2"), [(3, 3), (3, 4), (2, 6), (4, 7), (1, 5), (11, 11), (5, 100)])
@pytest.mark.parametrize("name", MAKERS)
def test_while_learning_it_is_the_naive_way(name, k1, k2):
    model, module = model_of(name)
    twin, twin_module = model_of(name)
    x, d = sequence(model)
    wanted = naive(twin, twin_module, x, d, k1, k2, 11, descend)
    for number, window in enumerate(truncated(model, x, d, mean_square, k1=k1, k2=k2)):
        loss, gradients = wanted[number]
        assert (window.start, window.stop) == (k1 * number, min(k1 * number + k1, 11))
        assert_close(window.loss, loss, f"loss of window {number}")
        for (what, weight), gradient in zip(module.named_parameters(), gradients, strict=True):
            found = torch.zeros_like(weight) if weight.grad is None else weight.grad
            assert_close(found, gradient, f"∂L/∂{what} of window {number}")
        descend(module, gradients)
        module.zero_grad()
    assert number + 1 == len(wanted)


@pytest.mark.parametrize(("k1", "k2"), [(2, 2), (2, 5)])
def test_gradients_by_finite_differences(k1, k2):
    model, module = model_of("GRU")
    x, d = sequence(model, T=7)
    _, states = step_by_step(model, x, 0, 7, None)
    states = {t: state if state is None else state.detach() for t, state in states.items()}
    for window in truncated(model, x, d, mean_square, k1=k1, k2=k2):
        first = max(0, window.stop - k2)

        def loss(first=first, window=window):
            with torch.no_grad():
                y, _ = model(x[first : window.stop], states[first])
                return mean_square(y[window.start - first :], d[window.start : window.stop])

        for name, weight in module.named_parameters():
            flat, found = weight.data.view(-1), torch.empty(weight.numel(), dtype=weight.dtype)
            for i in range(len(flat)):
                old = flat[i].item()
                flat[i] = old + 1e-6
                more = loss()
                flat[i] = old - 1e-6
                found[i] = (more - loss()) / 2e-6
                flat[i] = old
            assert_close(weight.grad, found.view_as(weight), f"∂L/∂{name}, window {window.start}", 1e-7)
        module.zero_grad()


def test_one_window_is_full_bptt():
    model, module = model_of("SequenceModel")
    x, d = sequence(model)
    (window,) = truncated(model, x, d, mean_square, k1=11)
    found = [weight.grad.clone() for weight in module.parameters()]
    module.zero_grad()
    y, state = model(x)
    mean_square(y, d).backward()
    for gradient, weight in zip(found, module.parameters(), strict=True):
        assert torch.equal(gradient, weight.grad)
    assert torch.equal(window.outputs, y)
    assert torch.equal(window.state, state)
    assert not any(t.requires_grad for t in (window.loss, window.outputs, window.state))


def test_state_is_carried_and_goes_on():
    model, _ = model_of("nn.LSTM")
    x, d = sequence(model)
    whole, last = model(x)
    windows = list(truncated(model, x[:6], d[:6], mean_square, k1=4))
    windows += truncated(model, x[6:], d[6:], mean_square, k1=2, k2=4, state=windows[-1].state)
    assert_close(torch.cat([w.outputs for w in windows]), whole, "outputs")
    assert_close(windows[-1].state[1], last[1], "c_n")


@pytest.mark.parametrize("name", ["LSTM", "SequenceModel", "Elman", "nn.GRU", "stack", "cell"])
@pytest.mark.parametrize("k2", [4, 7])
def test_resets_begin_new_sequences(name, k2):
    """Row 0 of three begins anew before step 5, all before step 8; what each row does alone must come out."""
    model, module = model_of(name)
    x, d = sequence(model, B=3)
    resets = torch.zeros(11, 3, dtype=torch.bool)
    resets[5, 0] = resets[8] = True
    found = list(truncated(model, x, d, mean_square, k1=4, k2=k2, resets=laid_out(model, resets)))
    y = torch.cat([w.outputs for w in found], int(getattr(model, "batch_first", False)))
    time_major = y.transpose(0, 1) if getattr(model, "batch_first", False) else y
    for row, pieces in enumerate([[(0, 5), (5, 8), (8, 11)], [(0, 8), (8, 11)], [(0, 8), (8, 11)]]):
        one = laid_out(model, laid_out(model, x)[:, row : row + 1])
        for first, stop in pieces:
            alone = laid_out(model, model(steps_of(model, one, first, stop), None)[0])
            assert_close(time_major[first:stop, row : row + 1], alone, f"row {row}, steps {first} to {stop}")
    total = [weight.grad for weight in module.parameters()]
    assert all(gradient.isfinite().all() for gradient in total)


def test_nothing_flows_back_across_a_reset():
    model, module = model_of("GRU")
    x, d = sequence(model, T=6)
    resets = torch.tensor([False, False, False, True, False, False])
    *_, _last = truncated(model, x, d, mean_square, k1=2, k2=6, resets=resets)
    module.zero_grad()
    windows = truncated(model, x, d, mean_square, k1=2, k2=6, resets=resets)
    next(windows), next(windows)
    module.zero_grad()
    next(windows)
    found = module.weight_hh_l0.grad.clone()
    module.zero_grad()
    mean_square(model(x[3:6])[0][1:], d[4:6]).backward()
    assert_close(found, module.weight_hh_l0.grad, "dW_hh of the new sequence")


def chunks(rows, *sizes):
    return iter(rows.split(sizes))


@pytest.mark.parametrize(("k1", "k2"), [(4, 4), (4, 9), (3, 5)])
@pytest.mark.parametrize("sizes", [(4, 4, 3), (1, 2, 8), (11,), (5, 6)])
def test_chunks_memory_maps_and_tensors_are_the_same(tmp_path, k1, k2, sizes):
    model, _ = model_of("GRU")
    x, d = sequence(model)
    np.save(tmp_path / "x.npy", x.float().numpy())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    x = x.float().double()
    resets = torch.zeros(11, 2, dtype=torch.bool)
    resets[6, 1] = True
    wanted = list(truncated(model, x, d, mean_square, k1=k1, k2=k2, resets=resets))
    ways = {
        "chunks": (chunks(x, *sizes), chunks(d, *sizes), chunks(resets, *sizes)),
        "pairs": (zip(x.split(sizes), d.split(sizes), strict=True), None, chunks(resets, *sizes)),
        "memory map": (mapped, d.detach().numpy(), resets.numpy()),
    }
    for way, (x_way, d_way, resets_way) in ways.items():
        found = list(truncated(model, x_way, d_way, mean_square, k1=k1, k2=k2, resets=resets_way))
        assert len(found) == len(wanted), way
        for window, other in zip(found, wanted, strict=True):
            assert_close(window.loss, other.loss, f"{way}: loss")
            assert_close(window.outputs, other.outputs, f"{way}: outputs")


def test_class_numbers_and_trees_of_inputs():
    embedding, gru = nn.Embedding(5, 3), nn.GRU(4, 2)

    def model(x, state):
        return gru(torch.cat([embedding(x["word"]), x["level"]], -1), state)

    x = {"word": torch.arange(10).view(5, 2) % 5, "level": torch.ones(5, 2, 1)}
    d = (torch.zeros(5, 2, 2), torch.ones(5, 2, 1))
    windows = list(truncated(model, x, d, lambda y, d: ((y - d[0]) * d[1]).square().sum(), k1=2))
    assert [w.outputs.shape for w in windows] == [(2, 2, 2), (2, 2, 2), (1, 2, 2)]
    assert embedding.weight.grad.norm() > 0


def test_gradients_accumulate_unless_zeroed():
    model, module = model_of("GRU")
    x, d = sequence(model)
    shares = []
    for _ in truncated(model, x, d, mean_square, k1=4):
        shares.append(module.weight_hh_l0.grad.clone())
        module.zero_grad()
    for _ in truncated(model, x, d, mean_square, k1=4):
        pass
    assert_close(module.weight_hh_l0.grad, sum(shares), "the sum")


def test_a_shorter_last_window_of_chunks_goes_back_by_as_many_steps_less():
    model, module = model_of("GRU")
    x, d = sequence(model, T=10)
    for _ in truncated(model, chunks(x, 4, 4, 2), chunks(d, 4, 4, 2), mean_square, k1=4, k2=6):
        found = module.weight_hh_l0.grad.clone()
        module.zero_grad()
    with torch.no_grad():
        _, before = model(x[:6])
    mean_square(model(x[6:], before)[0][2:], d[8:]).backward()
    assert_close(found, module.weight_hh_l0.grad, "of the last two steps, four steps back")


def test_under_no_grad_too():
    model, module = model_of("GRU")
    x, d = sequence(model)
    with torch.no_grad():
        list(truncated(model, x, d.detach(), mean_square, k1=4))
    found = module.weight_hh_l0.grad.clone()
    module.zero_grad()
    list(truncated(model, x, d.detach(), mean_square, k1=4))
    assert torch.equal(found, module.weight_hh_l0.grad)


def test_resets_of_all_sequences_of_a_cell_at_once():
    model, _ = model_of("cell")
    x, d = sequence(model, B=3)
    resets = torch.zeros(11, dtype=torch.bool)
    resets[5] = True
    y = torch.cat([w.outputs for w in truncated(model, x, d.detach(), mean_square, k1=4, resets=resets)])
    assert_close(y[5:], model(x[5:])[0], "from the reset on")


def test_results_are_shown_by_their_shapes():
    model, x, d = bptt.GRU(3, 4), torch.zeros(6, 2, 3), torch.zeros(6, 2, 4)
    window = next(bptt.truncated(model, x, d, torch.nn.MSELoss(), k1=4))
    assert repr(window) == (
        "Window(loss=0, outputs=float32 (4, 2, 4), state=float32 (1, 2, 4), start=0, stop=4)"
    ).replace("loss=0", f"loss={window.loss.item():.6g}")
    result = bptt.checkpointed(model, x, d, torch.nn.MSELoss(), segment=2)
    assert repr(result) == f"Checkpointed(loss={result.loss.item():.6g}, state=float32 (1, 2, 4))"
