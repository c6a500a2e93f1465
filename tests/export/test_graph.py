import sys

import onnx
import pytest
import torch

from bptt.export import graph
from bptt.export.graph import Graph, floats
from support import normal


def test_a_graph_computes_what_was_put_in(tmp_path):
    import onnxruntime

    W, b, x = normal(4, 3).float(), normal(4).float(), normal(2, 5, 3).float()
    g = Graph()
    first, second = g.split(g.scaled(g.linear("x", W, b), 2.0), 2, axis=2)
    g.renamed(g.concatenated([second, first], axis=2), "y")
    proto = onnx.helper.make_model(
        g.proto("test", [floats("x", ["T", "B", 3])], [floats("y", ["T", "B", 4])]),
        opset_imports=[onnx.helper.make_opsetid("", graph.OPSET)],
        ir_version=graph.IR_VERSION,
    )
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    wanted = 2 * torch.nn.functional.linear(x, W, b)
    found = torch.from_numpy(session.run(None, {"x": x.numpy()})[0])
    assert (found - torch.cat([wanted[..., 2:], wanted[..., :2]], -1)).abs().max() < 1e-5


def test_one_part_needs_no_node():
    g = Graph()
    assert g.split("x", 1, axis=0) == ["x"]
    assert g.concatenated(["x"], axis=0) == "x"
    assert not g.nodes


def test_names_inside_a_body_are_not_those_around_it():
    g = Graph()
    outer = [g.node("Tanh", "x"), g.constant([1])]
    body = Graph(inside=g)
    assert not set(outer) & {body.node("Tanh", "x"), body.constant([1])}


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "bptt\[onnx\]"'):
        graph.onnx()
