"""A graph of ONNX operators under construction: nodes and constants, each value known by its name."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
from torch import Tensor

OPSET = 20  # the first with Gelu; onnxruntime has it since 1.17
IR_VERSION = 9  # of the same release of ONNX


def onnx() -> Any:
    """The package, imported when first asked for.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'an ONNX file is made by the package onnx, which is not installed: pip install "bptt[onnx]"',
            name="onnx",
        ) from error
    return onnx


class Graph:
    """Nodes in the order of computation; every method returns the name of its result.

    Args:
        inside: the graph around this one, where it is the body of a Scan; names are unique in both.
    """

    def __init__(self, inside: Graph | None = None) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._numbers = count() if inside is None else inside._numbers

    def constant(self, value: Tensor | np.ndarray | Sequence[int] | float, name: str | None = None) -> str:
        """A number, floating as float32; a list of ints stays integer, as shapes and axes are."""
        if isinstance(value, Tensor):
            value = value.detach().cpu().numpy()
        array = np.asarray(value, np.float32 if isinstance(value, float) else None)
        name = name or self._name("constant")
        self.constants.append(onnx().numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """One operator with one result; "" stands for an optional input that is not there."""
        return self.nodes_of(operator, inputs, 1, **attributes)[0]

    def nodes_of(self, operator: str, inputs: Sequence[str], results: int, **attributes: Any) -> list[str]:
        """One operator with several results."""
        names = [self._name(operator) for _ in range(results)]
        self.nodes.append(onnx().helper.make_node(operator, inputs, names, name=names[0], **attributes))
        return names

    def renamed(self, value: str, name: str) -> None:
        """Rename a value to the graph's input or output name."""
        self.nodes.append(onnx().helper.make_node("Identity", [value], [name], name=name))

    def linear(self, x: str, W: Tensor, b: Tensor | None) -> str:
        """x Wᵀ + b, of x with any number of axes."""
        y = self.node("MatMul", x, self.constant(W.mT))
        return y if b is None else self.node("Add", y, self.constant(b))

    def scaled(self, x: str, factor: float) -> str:
        return self.node("Mul", x, self.constant(factor))

    def split(self, x: str, parts: int, axis: int) -> list[str]:
        """Equal parts along an axis."""
        return [x] if parts == 1 else self.nodes_of("Split", [x], parts, axis=axis, num_outputs=parts)

    def concatenated(self, parts: Sequence[str], axis: int) -> str:
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=axis)

    def proto(self, name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
        """The finished graph."""
        return onnx().helper.make_graph(self.nodes, name, inputs, outputs, self.constants)

    def _name(self, what: str) -> str:
        return f"{what}_{next(self._numbers)}"


def floats(name: str, shape: Sequence[int | str]) -> Any:
    """A float32 input or output, its shape with names for sizes that are free."""
    return onnx().helper.make_tensor_value_info(name, onnx().TensorProto.FLOAT, shape)
