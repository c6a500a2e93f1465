"""Bad input at a module's door: a clear error before anything is read, and the module unchanged."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

import bptt
from support import normal

X = torch.zeros(4, 2, 3)


def packed(sizes, rows=None, features=3, sorted_indices=None, unsorted_indices=None):
    rows = sum(sizes) if rows is None else rows
    # Past PackedSequence.__new__, which checks some of it.
    parts = (
        torch.zeros(rows, features),
        torch.tensor(sizes, dtype=torch.int64),
        sorted_indices,
        unsorted_indices,
    )
    return tuple.__new__(PackedSequence, parts)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (torch.zeros(20, 3, 7), ValueError, r"7 features.*input_size=3.*T=20, B=3, I=7.*batch_first=True"),
        (torch.zeros(3), ValueError, r"1 dimensions.*\(T, B, I\)"),
        (torch.zeros(1, 4, 2, 3), ValueError, "4 dimensions"),
        (np.zeros((4, 2, 3)), TypeError, r"torch.Tensor.*numpy.ndarray"),
        ([[0.0]], TypeError, "a list of 1"),
        (None, TypeError, "NoneType"),
        ("x", TypeError, "str"),
        (X.long(), TypeError, r"int64.*float32.*\.to\(torch.float32\)"),
        (X.bool(), TypeError, r"bool.*float32"),
        (X.to(torch.complex64), TypeError, r"complex64.*float32"),
        (X.double(), TypeError, r"float64.*float32.*\.to\(torch.float32\).*\.to\(torch.float64\)"),
        (X.half(), TypeError, r"float16.*float32"),
        (torch.zeros(0, 2, 3), ValueError, "length"),
        (torch.zeros(0, 3), ValueError, "length"),
        (X.to("meta"), ValueError, "meta.*cpu"),
    ],
)
def test_input(kind, x, error, words):
    with pytest.raises(error, match=words):
        getattr(bptt, kind)(3, 5)(x)


def test_batch_first_names_its_axes():
    with pytest.raises(ValueError, match="B=4, T=2, I=3"):
        bptt.RNN(5, 5, batch_first=True)(X)


STATE = torch.zeros(1, 2, 5)


@pytest.mark.parametrize(
    ("kind", "hx", "error", "words"),
    [
        ("RNN", torch.zeros(1, 3, 5), ValueError, r"hx.*\(1, 3, 5\).*\(1, 2, 5\)"),
        ("GRU", torch.zeros(2, 2, 5), ValueError, r"hx.*\(2, 2, 5\).*\(1, 2, 5\)"),
        ("LSTM", (STATE, torch.zeros(1, 2, 4)), ValueError, r"c_0.*\(1, 2, 4\).*\(1, 2, 5\)"),
        ("LSTM", STATE, TypeError, r"tuple \(h_0, c_0\).*got Tensor"),
        ("LSTM", (STATE, STATE, STATE), TypeError, "a tuple of 3"),
        ("RNN", (STATE, STATE), TypeError, "one tensor.*a tuple of 2"),
        ("GRU", (STATE,), TypeError, "one tensor.*a tuple of 1"),
        ("GRU", STATE.double(), TypeError, r"hx.*float64.*float32"),
        ("LSTM", (STATE, STATE.half()), TypeError, r"hx \(c_0\).*float16"),
        ("RNN", torch.zeros(1, 5), ValueError, "hx"),
        ("RNN", "zeros", TypeError, "hx.*str"),
    ],
)
def test_state(kind, hx, error, words):
    with pytest.raises(error, match=words):
        getattr(bptt, kind)(3, 5)(X, hx)


def test_state_of_unbatched_input():
    with pytest.raises(ValueError, match=r"\(1, 2, 5\).*\(1, 5\)"):
        bptt.RNN(3, 5)(torch.zeros(4, 3), STATE)


@pytest.mark.parametrize(
    ("sequence", "words"),
    [
        (packed([2, 1], rows=4), "sum to 3.*4 rows"),
        (packed([1, 2]), "increase from 1 to 2 at step 1"),
        (packed([2, 0], rows=2), r"batch_sizes\[1\] is 0"),
        (packed([3, -1], rows=2), r"batch_sizes\[1\] is -1"),
        (packed([], rows=0), "empty"),
        (packed([2, 1], features=7), "input_size=3"),
        (packed([2, 1], sorted_indices=torch.tensor([0, 5])), "sorted_indices"),
        (packed([2, 1], unsorted_indices=torch.tensor([0, -1])), "unsorted_indices"),
        (packed([2, 1], unsorted_indices=torch.tensor([0])), "unsorted_indices"),
        (packed([2, 1], unsorted_indices=torch.tensor([1, 1])), "unsorted_indices"),
    ],
)
def test_packed_by_hand(sequence, words):
    with pytest.raises(ValueError, match=words):
        bptt.GRU(3, 5)(sequence)


def test_packed_with_a_state_of_another_batch():
    with pytest.raises(ValueError, match="hx"):
        bptt.GRU(3, 5)(packed([2, 1]), torch.zeros(1, 3, 5))


@pytest.mark.parametrize(
    ("weight", "error", "words"),
    [
        (torch.zeros(2, 2), ValueError, r"weight_hh_l0.*\(2, 2\).*\(20, 5\)"),
        (torch.zeros(0), ValueError, r"weight_hh_l0.*\(0,\).*\(20, 5\)"),
        (torch.zeros(20, 5).double(), TypeError, r"weight_hh_l0.*float64.*float32"),
        (torch.zeros(20, 5, device="meta"), ValueError, "weight_hh_l0.*meta.*cpu"),
    ],
)
def test_weights(weight, error, words):
    module = bptt.LSTM(3, 5)
    module.weight_hh_l0 = nn.Parameter(weight)
    with pytest.raises(error, match=words):
        module(X)


def test_an_emptied_weight_and_a_deleted_one():
    module = bptt.LSTM(3, 5)
    module.weight_ih_l0.data = torch.empty(0)
    with pytest.raises(ValueError, match="weight_ih_l0"):
        module(X)
    del module.weight_ih_l0
    with pytest.raises(ValueError, match=r"weight_ih_l0.*deleted"):
        module(X)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((0, 5), {}, ValueError, "input_size.*at least 1, got 0"),
        ((3, 5.0), {}, TypeError, "hidden_size.*float"),
        ((3, 5, 0), {}, ValueError, "num_layers"),
        ((3, 5), {"dropout": 2}, ValueError, "dropout"),
        ((3, 5), {"dropout": True}, TypeError, "dropout"),
        ((3, 5), {"bias": 1}, TypeError, "bias"),
        ((3, 5), {"nonlinearity": "tahn"}, ValueError, "tahn"),
        ((3, 5), {"leak": 0}, ValueError, r"leak.*\(0, 1\]"),
        ((3, 5), {"leak": float("nan")}, ValueError, "leak"),
        ((3, 5), {"leak": "1"}, TypeError, "leak"),
    ],
)
def test_constructor(arguments, options, error, words):
    with pytest.raises(error, match=words):
        bptt.RNN(*arguments, **options)


def test_projection():
    with pytest.raises(ValueError, match="LSTM only"):
        bptt.GRU(3, 5, proj_size=2)
    with pytest.raises(ValueError, match=r"between 0 .* 4, got 5"):
        bptt.LSTM(3, 5, proj_size=5)


@pytest.mark.parametrize("size", [2**40, 2**62])
def test_a_size_beyond_memory_is_a_memory_error(size):
    with pytest.raises(MemoryError, match="smaller input_size or hidden_size"):
        bptt.RNN(3, size)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: bptt.Elman(2, 2**45, 1), "W_x of this Elman .* smaller input_size, state_size or output_size"),
        (lambda: bptt.Elman(2, 3, 2**60), "W_y of this Elman"),
        (lambda: bptt.SequenceModel(bptt.GRU(2, 3), 2**45), "readout.weight .* smaller output_size"),
    ],
)
def test_networks_beyond_memory_are_a_memory_error(build, words):
    with pytest.raises(MemoryError, match=words):
        build()


FACTORIES = [
    lambda **o: bptt.RNN(3, 4, **o),
    lambda **o: bptt.LSTM(3, 4, **o),
    lambda **o: bptt.Elman(3, 4, 1, **o),
]


@pytest.mark.parametrize("build", FACTORIES)
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_weights_of_a_dtype_that_does_not_train_are_refused(build, dtype):
    with pytest.raises(TypeError, match=rf"dtype of .* torch.float32, .* got {dtype}"):
        build(dtype=dtype)


@pytest.mark.parametrize("build", FACTORIES)
def test_only_a_failed_allocation_is_a_memory_error(build):
    with pytest.raises(ValueError, match=r"device must be one that torch knows.* got 'nosuch'"):
        build(device="nosuch")
    with pytest.raises(TypeError, match=r"torch.device or a string"):
        build(device=1.5)
    with pytest.raises(TypeError, match=r"torch.dtype .* got 'float32'"):
        build(dtype="float32")


UNUSUAL = {
    "sparse": (lambda: X.float().to_sparse(), "sparse_coo.*to_dense"),
    "mkldnn": (lambda: X.float().to_mkldnn(), "mkldnn.*to_dense"),
    "csr": (lambda: X[0].float().to_sparse_csr(), "sparse_csr.*to_dense"),
    "quantised": (
        lambda: torch.quantize_per_tensor(X.float(), 0.1, 0, torch.qint8),
        "quantised.*dequantize",
    ),
    "jagged": (lambda: torch.nested.nested_tensor([X[0], X[1]], layout=torch.jagged), "nested.*pack_sequence"),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta", "ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"batch_first": True}, {"bidirectional": True}])
@pytest.mark.parametrize("name", UNUSUAL)
def test_tensors_that_are_not_dense_are_refused_by_our_own_message(name, options):
    make, words = UNUSUAL[name]
    x = make()
    with pytest.raises(TypeError, match=f"^x .*{words}"):
        bptt.LSTM(3, 5, **options)(x)


def test_states_weights_rows_and_steps_that_are_not_dense_are_refused():
    gru, x, h = bptt.GRU(3, 5), X.float(), torch.zeros(1, X.shape[1], 5)
    for call, name in (
        (lambda: gru(x, h.to_sparse()), r"hx \(h_0\)"),
        (lambda: gru.step(x[0].to_sparse()), "x_t"),
        (lambda: gru(PackedSequence(x[0].to_sparse(), torch.tensor([x.shape[1]]))), "x.data"),
        (lambda: bptt.pack_padded_sequence(x.to_sparse(), [x.shape[0]] * x.shape[1]), "input"),
        (lambda: bptt.Elman(3, 4, 1)(x.to_sparse()), "x"),
    ):
        with pytest.raises(TypeError, match=f"^{name} has the layout torch.sparse_coo"):
            call()
    gru.weight_hh_l0 = nn.Parameter(gru.weight_hh_l0.detach().to_sparse())
    with pytest.raises(TypeError, match=r"weight_hh_l0 of this GRU has the layout torch.sparse_coo"):
        gru(x)


def test_an_error_leaves_the_module_as_it_was():
    module = bptt.LSTM(3, 5)
    before = {name: w.clone() for name, w in module.state_dict().items()}
    with pytest.raises(TypeError):
        module(X.long())
    assert all(torch.equal(w, before[name]) for name, w in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())


def test_denormals_pass():
    x = torch.full((4, 2, 3), 1e-42)
    theirs, ours = nn.RNN(3, 5, bias=False), bptt.RNN(3, 5, bias=False)
    ours.load_state_dict(theirs.state_dict())
    assert torch.equal(ours(x)[0], theirs(x)[0])


def test_frozen_parameters_stay_without_gradients():
    module = bptt.GRU(3, 5, num_layers=2)
    module.weight_hh_l0.requires_grad_(False)
    module(normal(4, 2, 3, dtype=torch.float32))[0].sum().backward()
    assert {name for name, p in module.named_parameters() if p.grad is None} == {"weight_hh_l0"}
