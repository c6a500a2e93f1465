"""The options and weights of RNN, GRU and LSTM, by layer and direction."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from . import checks
from .equations import Weights


class RecurrentWeights(nn.Module):
    """A module with the options and weights of torch.nn's recurrent modules, not yet its walk."""

    cell: Any  # its `Equations`
    projects = False  # whether proj_size is supported

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        checks.check_sizes(input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        checks.check_flags(bias=bias, batch_first=batch_first, bidirectional=bidirectional)
        checks.check_probability("dropout", dropout)
        checks.check_projection(type(self).__name__, proj_size, hidden_size, allowed=self.projects)
        checks.check_factory(type(self).__name__, device, dtype)
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                f"dropout={dropout} acts between layers, and num_layers=1 has no place for it", stacklevel=3
            )
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        walks = [Weights(**{_field(name): name for name in names}) for names in self._all_weights]
        self._names = [walks[i : i + self.num_directions] for i in range(0, len(walks), self.num_directions)]
        self._shapes = {name: self._shape_of(name) for names in self._all_weights for name in names}
        for name in self._shapes:
            self.register_parameter(name, self._empty(name, device, dtype))
        self.reset_parameters()

    @property
    def num_directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _all_weights(self) -> list[list[str]]:
        """The names of each layer's and direction's weights, in torch's order."""
        kinds = ["weight_ih", "weight_hh"]
        kinds += ["bias_ih", "bias_hh"] if self.bias else []
        kinds += ["weight_hr"] if self.proj_size else []
        suffixes = ("", "_reverse")[: self.num_directions]
        return [
            [f"{kind}_l{layer}{suffix}" for kind in kinds]
            for layer in range(self.num_layers)
            for suffix in suffixes
        ]

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The weights of each layer and direction, as lists of parameters."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def _shape_of(self, name: str) -> tuple[int, ...]:
        rows = self.cell.gates * self.hidden_size
        output = self.proj_size or self.hidden_size
        if name.startswith("weight_ih"):
            first = name.removesuffix("_reverse").endswith("_l0")
            return (rows, self.input_size if first else output * self.num_directions)
        if name.startswith("weight_hh"):
            return (rows, output)
        return (rows,) if name.startswith("bias") else (output, self.hidden_size)

    def _empty(self, name: str, device: Any, dtype: torch.dtype | None) -> nn.Parameter:
        shape = self._shapes[name]
        with checks.allocating(type(self).__name__, name, shape, "input_size or hidden_size"):
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """Draw every weight from U(-1/√H, 1/√H), as torch.nn does."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)

    @property
    def mode(self) -> str:
        """The kind of network by torch.nn's name: "GRU", "LSTM", "RNN_TANH", "RNN_RELU", ..."""
        return self.cell.name

    def flatten_parameters(self) -> None:
        """Nothing to do: weights need no special layout here; it is for code written for torch.nn."""

    def weights(self) -> list[list[Weights[Tensor]]]:
        """The weights by layer and direction, each read once and checked.

        Raises:
            ValueError: a weight is missing, of another shape than it was built with, or on another device.
            TypeError: a weight is no tensor, or its dtype is not the first weight's.
        """
        first = self._names[0][0].W_ih
        like = self._checked(first, getattr(self, first, None), None)

        def checked(name: str) -> Tensor:
            return like if name == first else self._checked(name, getattr(self, name, None), like)

        return [[names.each(checked) for names in layer] for layer in self._names]

    def _checked(self, name: str, weight: Any, like: Tensor | None) -> Tensor:
        who = type(self).__name__
        if weight is None:
            raise ValueError(f"{name} of this {who} was deleted; its shape was {self._shapes[name]}")
        return checks.check_weight(who, name, weight, self._shapes[name], like)

    def weight_names(self) -> list[list[Weights[str]]]:
        """The names of the weights, by layer and direction."""
        return self._names

    def extra_repr(self) -> str:
        shown = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        for name, default in defaults.items():
            if getattr(self, name) != default:
                shown.append(f"{name}={getattr(self, name)}")
        return ", ".join(shown)


def _field(name: str) -> str:
    """The field of `Weights` a parameter's name stands for: weight_ih_l0_reverse is W_ih."""
    kind, which = name.split("_")[:2]
    return f"{'W' if kind == 'weight' else 'b'}_{which}"
