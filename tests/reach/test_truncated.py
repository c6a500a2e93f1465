import numpy as np
import pytest
import torch
from torch import nn

import bptt
from bptt.reach.truncated import truncated
from support import assert_close, normal
from zoo import MAKERS, laid_out, model_of


def mean_square(y, d):
    return (y - d).square().mean()


def sequence(model, T=11, B=2, I=3):
    x = normal(T, B, I)
    y = model(laid_out(model, x), None)[0]
    return laid_out(model, x), torch.tanh(normal(*y.shape, seed=1))


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


def descend(module, gradients):
    with torch.no_grad():
        for weight, gradient in zip(module.parameters(), gradients, strict=True):
            weight -= 0.5 * gradient


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


def one(y, d):
    return y.sum()


X, D = torch.zeros(6, 2, 3), torch.zeros(6, 2, 4)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"k1": 0}, ValueError, "k1 must be at least 1, got 0"),
        ({"k1": 2.0}, TypeError, "k1 must be an int"),
        ({"k1": 5, "k2": 4}, ValueError, "k2=4 is less than k1=5"),
        ({"k2": 0}, ValueError, "k2 must be at least 1"),
        ({"model": 3}, TypeError, "model must be a module or function"),
        ({"model": bptt.GRU(3, 4, bidirectional=True)}, ValueError, "GRU is bidirectional"),
        ({"d": D[:5]}, ValueError, "x has 6 steps and d has 5"),
        ({"d": torch.tensor(1.0)}, ValueError, r"d is \(\), but time is axis 0"),
        ({"x": X[:0], "d": D[:0]}, ValueError, "length 0"),
        ({"x": None}, TypeError, "x must hold a sequence"),
        ({"x": "a file"}, TypeError, "x holds a str"),
        ({"x": X.clone().requires_grad_()}, ValueError, r"x requires gradients.*x.detach\(\)"),
        ({"d": D.clone().requires_grad_()}, ValueError, r"d requires gradients.*d.detach\(\)"),
        (
            {"model": nn.Sequential(nn.Linear(3, 4))},
            TypeError,
            r"Sequential.forward takes \(input\).*\(x, state\) -> \(",
        ),
        ({"model": bptt.GRU}, TypeError, r"model is the class GRU; pass a model made of it, GRU\(...\)"),
        ({"x": {"a": X, "b": X[:4]}}, ValueError, r"parts of x have different lengths \[4, 6\]"),
        ({"x": np.full((6, 2, 3), "a")}, TypeError, "x is an array of <U1"),
        ({"state": (1.0,)}, TypeError, "state holds a float"),
        ({"resets": torch.zeros(6, 2)}, TypeError, "resets must be a boolean"),
        ({"resets": torch.zeros(5, 2, dtype=torch.bool)}, ValueError, "x has 6 steps and resets have 5"),
        ({"d": iter([D])}, TypeError, "d comes in chunks but x does not"),
        ({"x": iter([X])}, TypeError, "x comes in chunks but d is a Tensor"),
    ],
)
def test_refused_at_the_call(change, error, words):
    arguments = {"model": bptt.GRU(3, 4), "x": X, "d": D, "criterion": one, **change}
    with pytest.raises(error, match=words):
        truncated(**arguments)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"criterion": lambda y, d: y}, ValueError, r"scalar tensor, got shape \(2, 2, 4\)"),
        ({"criterion": lambda y, d: 1.0}, TypeError, "scalar tensor, got float"),
        ({"criterion": None}, TypeError, r"criterion must be a function \(y, d\) -> loss, got NoneType"),
        ({"model": lambda x, state: (x, x, x)}, TypeError, r"pair \(y, state\), got a tuple of 3"),
        ({"model": lambda x, state: x.mul_(2)}, TypeError, "got Tensor"),
        ({"model": lambda x, state: (x.mul_(2), x)}, ValueError, "changed x in place.*x = x.clone"),
        ({"x": iter([X.clone().requires_grad_()]), "d": iter([D])}, ValueError, "x requires gradients"),
        ({"x": iter([]), "d": iter([])}, ValueError, "x gave no chunk"),
        ({"criterion": lambda y, d: d.sum()}, ValueError, "depends on nothing that requires gradients"),
        ({"model": lambda x, state: x}, TypeError, r"must return a pair \(y, state\), got Tensor.*of x alone"),
        ({"model": lambda x, state: (x, None)}, TypeError, "returned no state"),
        ({"model": lambda x, state: (1, x)}, TypeError, "y of <lambda> must be a tensor, got int"),
        ({"model": lambda x, state: (x[:1], x)}, ValueError, r"put out y \(1, 2, 3\) for 2 steps"),
        ({"x": iter([X, X[:2]]), "d": iter([D])}, ValueError, "d ended after 1 chunks, but x goes on"),
        ({"x": iter([X]), "d": iter([D, D])}, ValueError, "x ended after 1 chunks, but d goes on"),
        ({"x": iter([X]), "d": iter([D[:5]])}, ValueError, "chunk after step 0: x has 6 steps and d has 5"),
        ({"x": iter([X]), "d": None}, TypeError, r"x must give pairs \(x, d\)"),
        ({"x": iter([X, X]), "d": iter([D, D]), "resets": iter([torch.ones(6) > 0])}, ValueError, "resets end"),
    ],
)
def test_refused_at_a_window(change, error, words):
    arguments = {"model": bptt.GRU(3, 4), "x": X, "d": D, "criterion": one, "k1": 2, **change}
    with pytest.raises(error, match=words):
        list(truncated(**arguments))


def test_a_state_that_grows_is_refused():
    def grows(x, state):
        return W * x, torch.ones(1 if state is None else len(state) + 1)

    W = torch.ones(3, requires_grad=True)
    windows = truncated(grows, X, D, one, k1=2)
    next(windows)
    with pytest.raises(ValueError, match=r"grows changed the form of its state from float32 \(1,\) to .* \(2,\)"):
        next(windows)


class FailsOnce(torch.autograd.Function):
    """The identity, whose gradient cannot be had."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, d):
        raise RuntimeError("lost on the way back")


@pytest.mark.parametrize("before", [None, 1.0])
def test_an_error_on_the_way_back_leaves_the_gradients_alone(before):
    readout, gru = nn.Linear(4, 1), bptt.GRU(3, 4)
    parameters = [*readout.parameters(), *gru.parameters()]
    for weight in parameters:
        weight.grad = None if before is None else torch.full_like(weight, before)

    def model(x, state):
        h, state = gru(x, state)
        return readout(FailsOnce.apply(h)), state

    with pytest.raises(RuntimeError, match="lost on the way back"):
        next(truncated(model, X, D, one))
    for weight in parameters:
        assert weight.grad is None if before is None else (weight.grad == before).all()


def test_resets_on_a_state_of_unknown_layout():
    gru = nn.GRU(3, 2, num_layers=2)

    def model(x, state):
        return gru(x, state)

    resets = torch.zeros(6, 2, dtype=torch.bool)
    resets[3, 0] = True
    with pytest.raises(ValueError, match=r"a state \(2, 2, 2\) has 3 axes of 2 rows.*bptt.Cell"):
        list(truncated(model, X, D, one, resets=resets))


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


def places(model, module, x, d, k1, k2, learned):
    """Walk truncated BPTT to its end, learning; the place before each window, and the weights there."""
    windows, found = truncated(model, x, d, mean_square, k1=k1, k2=k2), []
    while True:
        found.append((windows.state_dict(), [weight.detach().clone() for weight in module.parameters()]))
        if next(windows, None) is None:
            return found
        learned(module, [weight.grad for weight in module.parameters()])
        module.zero_grad()


@pytest.mark.parametrize(("k1", "k2"), [(3, 3), (3, 7), (2, 20)])
@pytest.mark.parametrize("chunked", [False, True])
def test_from_a_saved_place_it_goes_on_bit_for_bit(tmp_path, chunked, k1, k2):
    model, module = model_of("LSTM")
    x, d = sequence(model, B=1)
    if chunked:
        np.save(tmp_path / "series.npy", torch.cat([x, d], -1).flatten(1).numpy())
        names = [str(i) for i in range(x.shape[-1] + d.shape[-1])]
        x, d = (
            bptt.stream(
                tmp_path / "series.npy", names[: x.shape[-1]], names[x.shape[-1] :], 0, window=k1, dtype=x.dtype
            ),
            None,
        )
    wanted = places(model, module, x, d, k1, k2, descend)
    assert len(wanted) == -(-11 // k1) + 1
    for place, weights in wanted:
        with torch.no_grad():
            for weight, then in zip(module.parameters(), weights, strict=True):
                weight.copy_(then)
        windows = truncated(model, x, d, mean_square, k1=k1, k2=k2)
        windows.load_state_dict(place)
        for _ in windows:
            descend(module, [weight.grad for weight in module.parameters()])
            module.zero_grad()
        for (name, weight), last in zip(module.named_parameters(), wanted[-1][1], strict=True):
            assert torch.equal(weight, last), f"{name}, from step {place['start']}"


def test_places_that_are_none_are_refused():
    model, _ = model_of("GRU")
    x, d = sequence(model)
    windows = truncated(model, x, d, mean_square, k1=3)
    with pytest.raises(ValueError, match=r"has \['first', 'start', 'state'\], got \['position'\]"):
        windows.load_state_dict({"position": 3})
    with pytest.raises(ValueError, match=r"has \['first', 'start', 'state'\], got a NoneType"):
        windows.load_state_dict(None)
    with pytest.raises(ValueError, match=r"a place has ints for its steps, got first=1.5"):
        windows.load_state_dict({"first": 1.5, "start": 3, "state": None})
    with pytest.raises(ValueError, match="from step 9 for a window from step 12"):
        windows.load_state_dict({"first": 9, "start": 12, "state": None})
    chunks = truncated(model, iter([x]), iter([d]), mean_square, k1=3)
    with pytest.raises(TypeError, match=r"a list_iterator cannot be taken up at step 3.*seek\(step\)"):
        chunks.load_state_dict({"first": 3, "start": 3, "state": None})


class Changing(nn.Module):
    """Changes its state in place: a trace, and a count of its steps that the output hangs on."""

    def __init__(self):
        super().__init__()
        self.inward = nn.Linear(3, 4, dtype=torch.float64)

    def forward(self, x, state=None):
        if state is None:
            state = {"trace": x.new_zeros(x.shape[1], 4), "count": torch.zeros(x.shape[1], 1, dtype=torch.int64)}
        y = []
        for x_t in x:
            state["count"] += 1
            state["trace"].mul_(0.5).add_(self.inward(x_t))
            y.append(state["trace"] + 0.1 * state["count"])
        return torch.stack(y), state


class Constant(Changing):
    """The same, in new tensors."""

    def forward(self, x, state=None):
        return super().forward(x, None if state is None else {key: part.clone() for key, part in state.items()})


@pytest.mark.parametrize(("k1", "k2"), [(3, 3), (3, 5), (2, 11)])
def test_a_state_that_is_changed_in_place(k1, k2):
    x, d, found = normal(11, 2, 3), normal(11, 2, 4), []
    for make in (Changing, Constant):
        torch.manual_seed(0)
        model = make()
        state = {"trace": normal(2, 4, seed=5), "count": torch.ones(2, 1, dtype=torch.int64)}
        before, states = state["trace"].clone(), []
        for window in truncated(model, x, d, mean_square, k1=k1, k2=k2, state=state):
            states.append(window.state["trace"])
            found.append((window.loss, model.inward.weight.grad.clone(), states[-1].clone()))
            model.zero_grad()
        assert torch.equal(state["trace"], before)
        assert (state["count"] == 1).all()
        assert all(torch.equal(kept, then[2]) for kept, then in zip(states, found[-len(states) :], strict=True))
    half = len(found) // 2
    for one, other in zip(found[:half], found[half:], strict=True):
        for part, wanted in zip(one, other, strict=True):
            assert torch.equal(part, wanted)


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
