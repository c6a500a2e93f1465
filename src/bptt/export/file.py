"""A trained model as an ONNX file: written, checked, and compared with the model by onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import __version__
from ..checks import check_flags
from ..dropout import without_dropout
from ..equations import Equations, Weights
from ..files import creating
from ..forecast_model import ForecastModel, LinearPath
from ..networks import Elman, SequenceModel
from ..recurrent import Recurrent
from ..trees import leaves
from .graph import IR_VERSION, OPSET, Graph, floats, onnx
from .layers import check_exportable, layer

COMPARED = ((5, 3), (9, 1))  # T and B of the sequences on which the file is compared with the model
ALLOWED = 1e-3  # largest relative difference that rounding explains


class OnnxFile(NamedTuple):
    """A file that `export_onnx` wrote.

    Attributes:
        path: the file.
        inputs: names of the graph's inputs.
        outputs: names of its outputs.
        difference: the largest between the file's outputs by onnxruntime and the model's own, at two pairs of T
            and B, relative to the largest output where that is above 1; None where onnxruntime is not installed.
    """

    path: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    difference: float | None


class _Network(NamedTuple):
    """A model of any of the three kinds, as the graph needs it."""

    cell: Equations
    layers: list[list[Weights[Tensor]]]
    batch_first: bool
    state: dict[str, tuple[int, ...]]  # the initial state's names, and their shapes without the batch
    W_y: Tensor | None  # (O, D·R)
    b_y: Tensor | None
    softmax: bool
    streams: bool = False  # whether the graph has the state as inputs and outputs
    path: LinearPath | None = None  # of a forecast model
    share: Tensor | None = None  # how much its forecasts take of the network's outputs, (O)

    @property
    def input_size(self) -> int:
        """I."""
        return (self.layers[0][0].W_ih if self.path is None else self.path.reading).shape[1]

    @property
    def one_row(self) -> bool:
        """Whether the state is (B, S), without an axis for layers and directions."""
        return "s_0" in self.state

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("x", *(self.state if self.streams else ()))

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("y", *(name.replace("_0", "_n") for name in self.inputs[1:]))


def export_onnx(
    model: Any, path: str | Path, metadata: Mapping[str, str] | None = None, state: bool = False
) -> OnnxFile:
    """Write a trained model as ONNX, for runtimes without Python: x in, y out, of any T and any B.

    One RNN, GRU or LSTM node for each layer, both directions in it; a Scan over the cell's own step where
    ONNX's nodes do not know it (a leak, gelu, a projection). Dropout is left out. The file is checked by ONNX's
    own checker and, with onnxruntime, compared with the model on sequences of two lengths.

    Args:
        model: a `bptt.RNN`, `GRU`, `LSTM`, `SequenceModel`, `Elman` or `ForecastModel`, its weights float32.
        path: the file to write; it must not exist.
        metadata: texts by name, stored in the file. Default none.
        state: for streams, whether the initial state is an input too and the final state an output, to be passed
            as the next call's initial state. Default False: every call starts from zeros.

    Returns:
        an `OnnxFile`. The graph takes x as the model does, with a batch (T, B, I) or (B, T, I), and returns y. The
        state has the names of the model: h_0 and c_0, each (L·D, B, ·), or Elman's s_0 (B, S), and h_n and c_n, or
        s_n; an initial state with B = 1, such as zeros, stands for every sequence of the batch.

    Raises:
        TypeError: the model is none of these, or its weights are not float32.
        ValueError: its activation is a custom function, or a weight has a wrong shape.
        FileExistsError, FileNotFoundError: there is something at path, or no folder to put it in.
        ModuleNotFoundError: the extra ``bptt[onnx]`` is not installed.
        RuntimeError: the file computes something else than the model; nothing is written.
    """
    path = Path(path)
    check_flags(state=state)
    network = _network(model)._replace(streams=state)
    check_exportable(network.cell)
    dtype = network.layers[0][0].W_hh.dtype
    if dtype != torch.float32:
        raise TypeError(
            f"the model's weights are {dtype}, but ONNX runtimes compute recurrent nodes in float32; convert it "
            "with model.float()"
        )
    if os.path.lexists(path):
        raise FileExistsError(f"{path} exists already and is not overwritten; choose another path")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}")
    proto = _proto(network, metadata or {})
    onnx().checker.check_model(proto, full_check=True)
    whole = proto.SerializeToString()
    difference = _difference(model, network, whole) if find_spec("onnxruntime") else None
    with creating(path) as file:
        file.write(whole)
    return OnnxFile(path, network.inputs, network.outputs, difference)


def _network(model: Any) -> _Network:
    if isinstance(model, ForecastModel):
        return _network(model.network)._replace(path=model.path, share=model.share)
    if isinstance(model, Elman):
        state, W_y = {"s_0": (model.state_size,)}, model.readout_matrix()
        return _Network(model.cell, [[model.weights()]], True, state, W_y, model.b_y, model.softmax)
    recurrent = model.recurrent if isinstance(model, SequenceModel) else model
    if not isinstance(recurrent, Recurrent):
        raise TypeError(
            f"model must be a bptt.RNN, GRU, LSTM, SequenceModel or Elman, got {type(model).__name__}; other "
            "modules around them go through torch.export"
        )
    rows = recurrent.num_layers * recurrent.num_directions
    sizes = (recurrent.proj_size or recurrent.hidden_size, recurrent.hidden_size)
    state = {name: (rows, size) for name, size in zip(recurrent.state_names, sizes, strict=False)}
    readout = model.linear_readout() if isinstance(model, SequenceModel) else None
    W_y, b_y = (None, None) if readout is None else (readout.weight, readout.bias)
    return _Network(recurrent.cell, recurrent.weights(), recurrent.batch_first, state, W_y, b_y, False)


def _proto(network: _Network, metadata: Mapping[str, str]) -> Any:
    g = Graph()
    features = _walked(g, network)
    step: list[int | str] = ["B", "T"] if network.batch_first else ["T", "B"]
    x = floats("x", [*step, network.input_size])
    given = [floats(name, _with(network.state[name], "B or 1")) for name in network.inputs[1:]]
    shapes = [[*step, features], *(_with(shape, "B") for shape in network.state.values())]
    outputs = [floats(name, shape) for name, shape in zip(network.outputs, shapes, strict=False)]
    proto = onnx().helper.make_model(
        g.proto("bptt", [x, *given], outputs),
        opset_imports=[onnx().helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="bptt",
        producer_version=__version__,
    )
    onnx().helper.set_model_props(proto, dict(metadata))
    return proto


def _walked(g: Graph, network: _Network) -> int:
    """Everything from the inputs to the outputs; returns y's features."""
    x = g.node("Transpose", "x", perm=[1, 0, 2]) if network.batch_first else "x"
    whole, path = x, network.path
    if path is not None:
        x = g.linear(x, path.reading, path.offset)
    batch = g.node("Shape", x, start=1, end=2)
    for name in set(network.state) - set(network.inputs):
        g.constant(np.zeros(_with(network.state[name], 1), np.float32), name)
    state = [_spread(g, name, shape, batch) for name, shape in network.state.items()]
    by_layer = zip(*(g.split(s, len(network.layers), axis=0) for s in state), strict=True)
    finals = []
    for weights, initial in zip(network.layers, by_layer, strict=True):
        x, final = layer(g, network.cell, x, list(initial), weights)
        finals.append(final)
    features = sum((w.W_hh if w.W_hr is None else w.W_hr.mT).shape[1] for w in network.layers[-1])
    if network.W_y is not None:
        x, features = g.linear(x, network.W_y, network.b_y), len(network.W_y)
    if path is not None and network.share is not None:
        learned = g.node("Mul", x, g.constant(network.share * path.scale))
        x = g.node("Add", g.linear(whole, path.weight, path.bias), learned)
    if network.softmax:
        x = g.node("Softmax", x, axis=-1)
    ends = [g.concatenated(parts, axis=0) for parts in zip(*finals, strict=True)] if network.streams else []
    if network.one_row:
        ends = [g.node("Squeeze", s, g.constant([0])) for s in ends]
    results = [g.node("Transpose", x, perm=[1, 0, 2]) if network.batch_first else x, *ends]
    for value, name in zip(results, network.outputs, strict=True):
        g.renamed(value, name)
    return features


def _spread(g: Graph, name: str, shape: tuple[int, ...], batch: str) -> str:
    """An initial state (L·D, B, ·), of a batch of 1 spread over the batch."""
    rows = g.constant(shape[:-1] or (1,))
    return g.node("Expand", name, g.concatenated([rows, batch, g.constant(shape[-1:])], axis=0))


def _with(shape: tuple[int, ...], batch: Any) -> list[Any]:
    """A state's shape with its batch."""
    return [*shape[:-1], batch, shape[-1]]


def _difference(model: Any, network: _Network, file: bytes) -> float:
    """The largest difference between the file's outputs and the model's, relative where outputs exceed 1.

    Raises:
        RuntimeError: it is beyond what rounding explains.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    largest = 0.0
    for T, B in COMPARED:
        x, *state = given = _sample(network, T, B)[: len(network.inputs)]
        found = session.run(None, {name: t.numpy() for name, t in zip(network.inputs, given, strict=True)})
        wanted = _outputs(model, network, x, state)
        for name, f, w in zip(network.outputs, found, wanted, strict=False):
            scale = max(1.0, w.abs().max().item())
            difference = (torch.from_numpy(f) - w).abs().max().item() / scale
            if not difference <= ALLOWED:
                raise RuntimeError(
                    f"the file's {name} differs from the model's by {difference:.1e} at T={T}, B={B}; nothing was "
                    "written. Outputs that grow without bound, or weights that are not finite, may be the reason"
                )
            largest = max(largest, difference)
    return largest


def _sample(network: _Network, T: int, B: int) -> list[Tensor]:
    """An input and an initial state, random, without touching torch's generator."""
    g = torch.Generator().manual_seed(0)
    shapes = [[*((B, T) if network.batch_first else (T, B)), network.input_size]]
    shapes += [_with(shape, B) for shape in network.state.values()]
    return [torch.randn(shape, generator=g, dtype=torch.float32, device="cpu") for shape in shapes]


def _outputs(model: Any, network: _Network, x: Tensor, state: list[Tensor]) -> list[Tensor]:
    device = network.layers[0][0].W_hh.device
    given = tuple(s.to(device) for s in state)
    with torch.no_grad(), without_dropout(model):
        y, final = model(x.to(device), given if len(given) > 1 else given[0] if given else None)
    return [t.cpu() for t in (y, *leaves(final))]
