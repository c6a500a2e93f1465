"""Networks with a read-out: Elman and SequenceModel."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from . import checks
from .equations import Activation, ElmanEquations, Equations, Weights
from .equations.activations import as_activation
from .equations.protocol import State
from .recurrent import Recurrent, Walk
from .walks import door
from .walks.call import Call


class Elman(nn.Module):
    """The lesson's network, in the lesson's letters and row vectors.

        s_t = Φ(x_t W_x + s_{t-1} W_s)        y_t = s_t W_y, or softmax of it

    Args:
        input_size: I, features of x_t.
        state_size: S, units of the state.
        output_size: O, outputs of y_t.
        activation: Φ, as `bptt.RNN` takes it. Default "tanh".
        softmax: whether y_t are probabilities, softmax(s_t W_y). Default False.
        bias: whether b_s is added before Φ and b_y to the output. Default False, as in the lesson.
        leak: α in (0, 1], s_t = (1-α) s_{t-1} + α Φ(·). Default 1.
        device, dtype: of the weights. Default torch's own.

    W_x (I, S), W_s (S, S) and W_y (S, O) are parameters; a tensor or nested lists assigned to one are copied
    into it. They start uniform in ±1/√S.

    Call:
        net(x, s_0=None) -> y, state: x (T, I) or (B, T, I); y (T, O) or (B, T, O); s_0 and the state after the
        last step (S) or (B, S). Default s_0: zeros. `hidden` returns the states s_t of all steps.

    Raises:
        ValueError, TypeError: for a wrong size, option, shape or type, of the network or of x and s_0.

    Source: Elman (1990), "Finding structure in time".

    >>> net = Elman(input_size=2, state_size=3, output_size=1)
    >>> x = torch.zeros(5, 2)
    >>> y, state = net(x)
    >>> tuple(y.shape), tuple(state.shape), tuple(net.hidden(x).shape)
    ((5, 1), (3,), (5, 3))
    """

    batch_first = True
    row_vectors = True  # W_y is (S, O), W_x is W_ih.T

    def __init__(
        self,
        input_size: int,
        state_size: int,
        output_size: int,
        activation: str | Activation | tuple = "tanh",
        softmax: bool = False,
        bias: bool = False,
        *,
        leak: float = 1.0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        checks.check_sizes(input_size=input_size, state_size=state_size, output_size=output_size)
        checks.check_flags(softmax=softmax, bias=bias)
        checks.check_leak(leak)
        self.input_size, self.state_size, self.output_size = input_size, state_size, output_size
        self.softmax = softmax
        self.cell = ElmanEquations(as_activation(activation), float(leak))
        checks.check_factory("Elman", device, dtype)
        self.W_x, self.W_s, self.W_y = (self._empty(name, device, dtype) for name in ("W_x", "W_s", "W_y"))
        self.b_s = self._empty("b_s", device, dtype) if bias else None
        self.b_y = self._empty("b_y", device, dtype) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every weight from U(-1/√S, 1/√S)."""
        bound = 1 / math.sqrt(self.state_size)
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)

    def __setattr__(self, name: str, value: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        old = self.__dict__.get("_parameters", {}).get(name)
        if old is None or value is None:
            return super().__setattr__(name, value)  # pyright: ignore[reportArgumentType]
        try:
            new = torch.as_tensor(value, dtype=old.dtype, device=old.device)
        except (TypeError, ValueError) as error:
            wanted = f"a tensor or nested lists of shape {tuple(old.shape)}"
            raise TypeError(f"{name} takes {wanted}, got {type(value).__name__}: {error}") from error
        if new.shape != old.shape:
            raise ValueError(f"{name} has shape {tuple(old.shape)}, but {tuple(new.shape)} was assigned")
        if isinstance(value, nn.Parameter):
            return super().__setattr__(name, value)
        with torch.no_grad():
            old.copy_(new)

    def forward(self, x: Tensor, s_0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        s, (state,) = self.run(x, s_0)
        y = self.readout(s)
        return torch.softmax(y, -1) if self.softmax else y, state

    def step(self, x_t: Tensor, s: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One step, for streams: the same as a walk over all steps, one after the other.

        Args:
            x_t: (B, I), or (I) unbatched.
            s: the state before the step, (B, S) or (S); None for zeros. Default None.

        Returns:
            y_t (B, O) or (O), and the state after the step, as s.
        """
        checks.check_step("Elman", x_t, self.input_size)
        y, state = self.forward(x_t.unsqueeze(-2), s)
        return y.squeeze(-2), state

    def hidden(self, x: Tensor, s_0: Tensor | None = None, walk: Walk = door.walk) -> Tensor:
        """The states s_t after each step, (T, S) or (B, T, S); `walk` replaces the walk through time."""
        return self.run(x, s_0, walk)[0]

    def run(self, x: Tensor, s_0: Tensor | None = None, walk: Walk = door.walk) -> tuple[Tensor, State]:
        """The states s_t after each step, and a tuple of the last one, as the recurrent modules' `run`."""
        checks.check_input("Elman", x, self.input_size, True, self.W_x)
        rows = x.unsqueeze(1) if x.dim() == 2 else x.transpose(0, 1)
        s, (state,) = walk(Call(self.cell, rows, (self._initial(s_0, x),), self.weights()))
        return (s.squeeze(1), (state.squeeze(0),)) if x.dim() == 2 else (s.transpose(0, 1), (state,))

    def readout(self, s: Tensor) -> Tensor:
        """s W_y (+ b_y), before any softmax: (..., S) -> (..., O)."""
        y = s @ self.W_y
        return y if self.b_y is None else y + self.b_y

    def weights(self) -> Weights[Tensor]:
        """The recurrent weights as the equations take them, checked."""
        for name, shape in self._shapes().items():
            if name.startswith("W") or getattr(self, name) is not None:
                checks.check_weight("Elman", name, getattr(self, name, None), shape, self.W_x)
        return Weights(self.W_x.mT, self.W_s.mT, self.b_s)

    def _empty(self, name: str, device: Any, dtype: torch.dtype | None) -> nn.Parameter:
        shape = self._shapes()[name]
        with checks.allocating("Elman", name, shape, "input_size, state_size or output_size"):
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        I, S, O = self.input_size, self.state_size, self.output_size
        return {"W_x": (I, S), "W_s": (S, S), "W_y": (S, O), "b_s": (S,), "b_y": (O,)}

    def weight_names(self) -> list[list[Weights[str]]]:
        """The names of the recurrent weights, by layer and direction: one of each."""
        return [[Weights("W_x", "W_s", None if self.b_s is None else "b_s")]]

    def readout_names(self) -> tuple[str, str | None]:
        """The names of the read-out's weight and bias."""
        return "W_y", None if self.b_y is None else "b_y"

    def readout_matrix(self) -> Tensor:
        """The read-out's weights in torch's orientation, (O, S)."""
        return self.W_y.detach().mT

    def _initial(self, s_0: Tensor | None, x: Tensor) -> Tensor:
        batch = 1 if x.dim() == 2 else x.shape[0]
        if s_0 is None:
            return self.W_s.new_zeros(batch, self.state_size)
        wanted = (self.state_size,) if x.dim() == 2 else (batch, self.state_size)
        checks.check_tensor("s_0", s_0, self.W_s, "Elman")
        if tuple(s_0.shape) != wanted:
            raise ValueError(f"s_0 has shape {tuple(s_0.shape)}, but {wanted} is needed for this x")
        return s_0.reshape(batch, self.state_size)

    def extra_repr(self) -> str:
        shown = f"{self.input_size}, {self.state_size}, {self.output_size}"
        shown += f", activation={self.cell.activation.name}"
        shown += ", softmax=True" if self.softmax else ""
        shown += ", bias=True" if self.b_s is not None else ""
        return shown + (f", leak={self.cell.leak}" if self.cell.leak != 1 else "")


class SequenceModel(nn.Module):
    """A recurrent module and a read-out at every step: y_t = h_t W_y + b_y.

    In torch's orientation: W_y is ``readout.weight`` transposed, b_y is ``readout.bias``.

    Args:
        recurrent: a `bptt.RNN`, `bptt.GRU` or `bptt.LSTM`, of any layers and directions.
        output_size: O, outputs of y_t.
        bias: whether the read-out has a bias. Default True.

    Call:
        model(x, state=None) -> y, state: x and y laid out by the recurrent module's batch_first, state as it
        takes and returns it.

    Raises:
        TypeError: recurrent is not one of bptt's modules.
        ValueError: output_size is below 1.

    >>> from bptt.modules import GRU
    >>> model = SequenceModel(GRU(8, 32, batch_first=True), output_size=3)
    >>> y, state = model(torch.zeros(4, 10, 8))
    >>> tuple(y.shape), tuple(state.shape)
    ((4, 10, 3), (1, 4, 32))
    """

    def __init__(self, recurrent: Recurrent, output_size: int, bias: bool = True) -> None:
        super().__init__()
        if not isinstance(recurrent, Recurrent):
            name = type(recurrent).__name__
            if isinstance(recurrent, nn.RNNBase):
                name = f"torch.nn's {name}; convert it: bptt.from_torch(module)"
            raise TypeError(f"recurrent must be a bptt.RNN, GRU or LSTM, got {name}")
        checks.check_sizes(output_size=output_size)
        self.recurrent = recurrent
        width = (recurrent.proj_size or recurrent.hidden_size) * recurrent.num_directions
        like = recurrent.all_weights[0][0]
        with checks.allocating("SequenceModel", "readout.weight", (output_size, width), "output_size"):
            self.readout = nn.Linear(width, output_size, bias, device=like.device, dtype=like.dtype)

    softmax = False  # y is the read-out itself
    row_vectors = False  # readout.weight is (O, D·R)

    @property
    def batch_first(self) -> bool:
        """Whether x and y are (B, T, ·)."""
        return self.recurrent.batch_first

    @property
    def cell(self) -> Equations:
        """The equations of a step, as those of an `Elman`."""
        return self.recurrent.cell

    def hidden(self, x: Tensor, state: Any = None, walk: Walk = door.walk) -> Tensor:
        """The recurrent module's outputs h_t, laid out as x; `walk` replaces the walk through time."""
        return self.run(x, state, walk)[0]

    def run(self, x: Any, state: Any = None, walk: Walk = door.walk) -> tuple[Any, State]:
        """The recurrent module's outputs h_t and final state, as its `run`."""
        return self.recurrent.run(x, state, walk)

    def weight_names(self) -> list[list[Weights[str]]]:
        """The names of the recurrent weights, by layer and direction."""
        return [[w.each("recurrent.{}".format) for w in layer] for layer in self.recurrent.weight_names()]

    def readout_names(self) -> tuple[str, str | None]:
        """The names of the read-out's weight and bias."""
        return "readout.weight", None if self.linear_readout().bias is None else "readout.bias"

    def readout_matrix(self) -> Tensor:
        """The read-out's weights, (O, D·R)."""
        return self.linear_readout().weight.detach()

    def linear_readout(self) -> nn.Linear:
        """The read-out, where it was not replaced by another module.

        Raises:
            TypeError: it was.
        """
        if not isinstance(self.readout, nn.Linear):
            raise TypeError(
                f"the readout of this SequenceModel is a {type(self.readout).__name__}, but a torch.nn.Linear is "
                "needed here; bptt.record(model) takes a model with any read-out"
            )
        return self.readout

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """One step, for streams: y_t (B, O) or (O), and the state after it, as the recurrent module's `step`."""
        modules: Any = self._modules  # faster than attributes
        recurrent, readout = modules["recurrent"], modules["readout"]
        if _is_only_linear(readout) and getattr(type(recurrent), "step", None) is Recurrent.step:
            weights = readout._parameters
            found = recurrent.quick_step(x_t, state, (weights["weight"], weights["bias"]))
            if found is not None:
                return found
        h_t, state = recurrent.step(x_t, state)
        return readout(h_t), state

    def forward(self, x: Any, state: Any = None) -> tuple[Any, Any]:
        h, state = self.recurrent(x, state)
        if isinstance(h, nn.utils.rnn.PackedSequence):
            return h._replace(data=self.readout(h.data)), state
        return self.readout(h), state


def _is_only_linear(layer: Any) -> bool:
    """Whether a call of a layer is nn.Linear's product of its own parameters and nothing else."""
    if type(layer) is not nn.Linear or not {"weight", "bias"} <= layer._parameters.keys():
        return False
    return not (
        layer._forward_hooks or layer._forward_pre_hooks or "forward" in layer.__dict__ or _has_any_global_hook()
    )
