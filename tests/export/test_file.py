import math
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch

import bptt
from bptt import files
from bptt.equations import ACTIVATIONS
from bptt.export import file
from support import SINE, normal

MODELS = {
    f"{kind} of {layers}, {directions} directions": (
        lambda kind=kind, layers=layers, directions=directions: getattr(bptt, kind)(
            3, 8, num_layers=layers, bidirectional=directions == 2
        )
    )
    for kind in ("RNN", "GRU", "LSTM")
    for layers in (1, 2)
    for directions in (1, 2)
}
MODELS |= {
    f"{'leaky ' if leak != 1 else ''}{name}": (
        lambda name=name, leak=leak: bptt.RNN(3, 8, 2, nonlinearity=name, leak=leak, bidirectional=True)
    )
    for name in ACTIVATIONS
    for leak in (1, 0.3)
}
MODELS |= {
    "projection": lambda: bptt.LSTM(3, 8, 2, proj_size=4, bidirectional=True),
    "no bias": lambda: bptt.GRU(3, 8, 2, bias=False),
    "no bias in a scan": lambda: bptt.LSTM(3, 8, proj_size=2, bias=False),
    "batch first": lambda: bptt.LSTM(3, 8, batch_first=True),
    "read-out": lambda: bptt.SequenceModel(bptt.GRU(3, 8, 2, batch_first=True, dropout=0.5), 2),
    "the lesson's": lambda: bptt.Elman(3, 8, 2),
    "with biases and softmax": lambda: bptt.Elman(3, 8, 2, softmax=True, bias=True),
    "leaky with biases": lambda: bptt.Elman(3, 8, 2, "gelu", bias=True, leak=0.5),
}


def made(name: str):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return MODELS[name]()


def zeros_of(model, name: str):
    """An initial state for a batch of one."""
    if isinstance(model, bptt.Elman):
        return torch.zeros(1, model.state_size)
    recurrent = getattr(model, "recurrent", model)
    size = recurrent.hidden_size if name == "c_0" else recurrent.proj_size or recurrent.hidden_size
    return torch.zeros(recurrent.num_layers * recurrent.num_directions, 1, size)


def by_onnxruntime(path, **inputs):
    session = onnxruntime.InferenceSession(str(path))
    return [torch.from_numpy(y) for y in session.run(None, {name: t.numpy() for name, t in inputs.items()})]


@pytest.mark.parametrize("name", MODELS)
def test_the_file_computes_what_the_model_computes(name, tmp_path):
    """At other T and B than it compares itself, from zeros, and going on from the state it returned."""
    model = made(name)
    before = [w.clone() for w in model.parameters()]
    written = bptt.export_onnx(model, tmp_path / "model.onnx", state=True)
    assert written.difference < 1e-5
    assert model.training
    assert all(torch.equal(w, b) for w, b in zip(model.parameters(), before, strict=True))
    x = normal(4, 17, 3, dtype=torch.float32)
    model.eval()
    axis = int(model.batch_first)
    cut = 6 if model.batch_first else 1
    wanted = model(x)[0].detach()
    zeros = {name: zeros_of(model, name) for name in written.inputs[1:]}
    y, *state = by_onnxruntime(written.path, x=x, **zeros)
    assert (y - wanted).abs().max() < 1e-5
    if getattr(model, "bidirectional", False):
        return  # a sequence cannot be cut where the other direction starts from its end
    first, second = x.tensor_split([cut], axis)
    y, *state = by_onnxruntime(written.path, x=first, **zeros)
    rest, *_ = by_onnxruntime(written.path, x=second, **dict(zip(written.inputs[1:], state, strict=True)))
    assert (torch.cat([y, rest], axis) - wanted).abs().max() < 1e-5


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_one_node_a_layer(kind, bidirectional, tmp_path):
    bptt.export_onnx(getattr(bptt, kind)(3, 8, 2, bidirectional=bidirectional), tmp_path / "model.onnx")
    nodes = [node for node in onnx.load(tmp_path / "model.onnx").graph.node if node.op_type in (kind, "Scan")]
    assert [node.op_type for node in nodes] == [kind, kind]
    for node in nodes:
        (direction,) = (a.s for a in node.attribute if a.name == "direction")
        assert direction == (b"bidirectional" if bidirectional else b"forward")


def test_what_a_deployer_sees(tmp_path):
    model = bptt.SequenceModel(bptt.LSTM(3, 8, 2), 1)
    written = bptt.export_onnx(model, str(tmp_path / "m.onnx"), {"unit": "MW"}, state=True)
    assert written[:3] == (tmp_path / "m.onnx", ("x", "h_0", "c_0"), ("y", "h_n", "c_n"))
    session = onnxruntime.InferenceSession(str(written.path))
    assert [(i.name, i.shape) for i in session.get_inputs()] == [
        ("x", ["T", "B", 3]),
        ("h_0", [2, "B or 1", 8]),
        ("c_0", [2, "B or 1", 8]),
    ]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [
        ("y", ["T", "B", 1]),
        ("h_n", [2, "B", 8]),
        ("c_n", [2, "B", 8]),
    ]
    assert session.get_modelmeta().custom_metadata_map == {"unit": "MW"}
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (bptt.RNN(3, 4, nonlinearity=SINE), ValueError, "'sine' is a Python function"),
        (bptt.GRU(3, 4, dtype=torch.float64), TypeError, r"float64.*model\.float\(\)"),
        (torch.nn.GRU(3, 4), TypeError, "got GRU"),
    ],
)
def test_what_cannot_be_exported(model, error, words, tmp_path):
    with pytest.raises(error, match=words):
        bptt.export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    there = tmp_path / "model.onnx"
    there.write_text("mine")
    with pytest.raises(FileExistsError, match="not overwritten"):
        bptt.export_onnx(bptt.GRU(3, 4), there)
    assert there.read_text() == "mine"
    with pytest.raises(FileNotFoundError, match="no folder"):
        bptt.export_onnx(bptt.GRU(3, 4), tmp_path / "nowhere" / "model.onnx")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is simulated by /dev/full")
def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    real = open

    def full(path, mode):
        real(path, mode).close()
        return real("/dev/full", "wb")

    monkeypatch.setattr(files, "open", full, raising=False)
    with pytest.raises(OSError, match="No space"):
        bptt.export_onnx(bptt.GRU(3, 4), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_that_computes_something_else_is_refused(tmp_path):
    model = bptt.GRU(3, 4)
    with torch.no_grad():
        model.weight_hh_l0[0, 0] = math.nan
    with pytest.raises(RuntimeError, match="y differs from the model's"):
        bptt.export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_torchs_default_dtype_and_device_do_not_count(tmp_path, request):
    model = bptt.GRU(3, 4)
    request.addfinalizer(lambda: torch.set_default_dtype(torch.float32))
    request.addfinalizer(lambda: torch.set_default_device(None))
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    assert bptt.export_onnx(model, tmp_path / "gru.onnx").difference < 1e-6


def test_without_onnxruntime_it_is_written_and_not_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(file, "find_spec", lambda name: None)
    written = bptt.export_onnx(bptt.GRU(3, 4), tmp_path / "model.onnx")
    assert written.difference is None
    assert by_onnxruntime(written.path, x=torch.zeros(2, 1, 3))[0].shape == (2, 1, 4)


@pytest.mark.parametrize("model", [bptt.LSTM(3, 4, 2, bidirectional=True), bptt.Elman(3, 4, 2)])
def test_by_default_only_x_is_asked_for_and_every_call_starts_from_zeros(model, tmp_path):
    written = bptt.export_onnx(model, tmp_path / "model.onnx")
    assert (written.inputs, written.outputs) == (("x",), ("y",))
    assert [o.name for o in onnxruntime.InferenceSession(str(written.path)).get_outputs()] == ["y"]
    assert written.difference < 1e-5
    x = normal(4, 17, 3, dtype=torch.float32)
    assert (by_onnxruntime(written.path, x=x)[0] - model(x)[0]).abs().max() < 1e-5
