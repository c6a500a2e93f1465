import pytest
import torch

import bptt
from bptt.forecast_model import ForecastModel, LinearPath
from bptt.networks import SequenceModel


@pytest.fixture
def model():
    torch.manual_seed(0)
    path = LinearPath(5, 2, 3)
    for buffer in path.buffers():
        buffer.copy_(torch.rand_like(buffer) + 0.1)
    made = ForecastModel(path, SequenceModel(bptt.GRU(3, 4), 2))
    made.share.copy_(torch.tensor([1.0, 0.25]))
    return made


def test_it_is_the_linear_part_and_a_share_of_the_network(model):
    x = torch.randn(7, 2, 5)
    y, _ = model(x)
    learned, _ = model.network(x @ model.path.reading.T + model.path.offset)
    linear = x @ model.path.weight.T + model.path.bias
    assert torch.allclose(y, linear + torch.tensor([1.0, 0.25]) * model.path.scale * learned, atol=1e-6)


def test_step_by_step_it_is_the_walk(model):
    x, state, found = torch.randn(6, 2, 5), None, []
    for x_t in x:
        y_t, state = model.step(x_t, state)
        found.append(y_t)
    assert torch.allclose(torch.stack(found), model(x)[0], atol=1e-6)


def test_what_the_network_learns_is_what_the_linear_part_leaves(model):
    x, d = torch.randn(7, 5), torch.randn(7, 2)
    rest = model.path.rest(x, d)
    assert torch.allclose(model.path(x) + model.path.scale * rest, d, atol=1e-6)


def test_only_the_network_is_trained_and_all_is_saved(model):
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"network"}
    names = {name for name in model.state_dict() if not name.startswith("network.")}
    assert names == {"share", *(f"path.{name}" for name in ("weight", "bias", "reading", "offset", "scale"))}


def test_it_is_exported(model, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    bptt.export_onnx(model, tmp_path / "m.onnx")
    session = runtime.InferenceSession(tmp_path / "m.onnx")
    x = torch.randn(9, 3, 5)
    (found,) = session.run(None, {"x": x.numpy()})
    assert torch.allclose(torch.from_numpy(found), model(x)[0], atol=1e-5)
