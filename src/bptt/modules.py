"""RNN, GRU and LSTM as in torch.nn, computed by the backends of `walks`.

Same constructors, parameter names, shapes, initialisation and results as torch.nn's; what the vendor
kernels refuse works too: second derivatives, backward in eval mode, vmap, per-sample gradients, forward
mode, and for the RNN any activation and leaky units.

`torch.export.export` takes them, and models of them, with T and B dynamic, for example
``dynamic_shapes=({0: T, 1: B},)``, wherever there is a native kernel: not with a user's activation or a
projection, whose steps are unfolded one by one. For ONNX there is `bptt.export_onnx`.

`torch.profiler` shows each native walk by its name: ``bptt::gru_forward``, ``bptt::gru_backward``, and so
for lstm and elman. Without gradients a module's layers and directions are one walk.
"""

from __future__ import annotations

from typing import Any, overload

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from . import checks
from .equations import Activation, ElmanEquations, GRUEquations, LSTMEquations
from .equations.activations import as_activation
from .recurrent import Recurrent


class RNN(Recurrent):
    """An Elman network of one or more layers; a drop-in for torch.nn.RNN.

        h_t = (1 - α) h_{t-1} + α Φ(x_t W_ihᵀ + b_ih + h_{t-1} W_hhᵀ + b_hh)

    Args:
        input_size: I, features of a step's input.
        hidden_size: H, units.
        num_layers: L, layers stacked. Default 1.
        nonlinearity: Φ: "tanh", "relu", "sigmoid", "softplus", "gelu", "identity", or a user's own
            `bptt.Activation` (or pair of function and derivative in terms of its output). Default "tanh".
        bias: whether there are biases b_ih and b_hh. Default True.
        batch_first: whether input and output are (B, T, ·) and not (T, B, ·). Default False.
        dropout: probability that an output of a layer but the last is zeroed, while training. Default 0.
        bidirectional: whether each layer also walks from the last step to the first. Default False.
        leak: α in (0, 1]; below 1 the units are leaky. Default 1, the plain network.
        device, dtype: of the weights. Default torch's own.

    Call:
        module(input, hx=None) -> output, h_n, with input (T, B, I), (B, T, I) if batch_first, (T, I)
        unbatched, or a PackedSequence; hx and h_n (L·D, B, H), zeros by default, with D directions;
        output like input with D·H features.

    Raises:
        ValueError, TypeError: an argument does not fit; the message says what is needed and what to do.

    Source: Elman (1990), "Finding structure in time"; leaky units: Jaeger et al. (2007), equation 2.

    >>> rnn = RNN(8, 32, nonlinearity="softplus", leak=0.5)
    >>> output, h_n = rnn(torch.zeros(10, 4, 8))
    >>> tuple(output.shape), tuple(h_n.shape)
    ((10, 4, 32), (1, 4, 32))
    """

    cell = ElmanEquations()

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str | Activation | tuple = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        leak: float = 1.0,
    ) -> None:
        checks.check_leak(leak)
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )
        self.cell = ElmanEquations(as_activation(nonlinearity), float(leak))

    @property
    def mode(self) -> str:
        """RNN_ and the activation's name in capitals, as torch.nn.RNN has "RNN_TANH" and "RNN_RELU"."""
        return f"RNN_{self.nonlinearity.upper()}"

    @property
    def nonlinearity(self) -> str:
        """The activation's name."""
        return self.cell.activation.name

    @property
    def leak(self) -> float:
        """α of the leaky units; 1 for the plain network."""
        return self.cell.leak

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        output, (h_n,) = self.run(input, hx)
        return output, h_n

    def extra_repr(self) -> str:
        shown = super().extra_repr()
        shown += f", nonlinearity={self.nonlinearity}" if self.nonlinearity != "tanh" else ""
        return shown + (f", leak={self.leak}" if self.leak != 1 else "")


class GRU(Recurrent):
    """Gated recurrent units; a drop-in for torch.nn.GRU.

        r = σ(x_t W_irᵀ + b_ir + h_{t-1} W_hrᵀ + b_hr)
        z = σ(x_t W_izᵀ + b_iz + h_{t-1} W_hzᵀ + b_hz)
        n = tanh(x_t W_inᵀ + b_in + r (h_{t-1} W_hnᵀ + b_hn))
        h_t = (1 - z) n + z h_{t-1}

    Args, call, errors: as `RNN`, without nonlinearity and leak. The weights stack the gates (r, z, n).

    Source: Cho et al. (2014), equations 5-8, the reset gate after the product as in cuDNN.

    >>> output, h_n = GRU(8, 32, num_layers=2, batch_first=True)(torch.zeros(4, 10, 8))
    >>> tuple(output.shape), tuple(h_n.shape)
    ((4, 10, 32), (2, 4, 32))
    """

    cell = GRUEquations()

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        output, (h_n,) = self.run(input, hx)
        return output, h_n


class LSTM(Recurrent):
    """Long short-term memory; a drop-in for torch.nn.LSTM.

        i = σ(x_t W_iiᵀ + b_ii + h_{t-1} W_hiᵀ + b_hi)
        f = σ(x_t W_ifᵀ + b_if + h_{t-1} W_hfᵀ + b_hf)
        g = tanh(x_t W_igᵀ + b_ig + h_{t-1} W_hgᵀ + b_hg)
        o = σ(x_t W_ioᵀ + b_io + h_{t-1} W_hoᵀ + b_ho)
        c_t = f c_{t-1} + i g
        h_t = o tanh(c_t)
        h_t = (o tanh(c_t)) W_hrᵀ    with a projection

    Args, call, errors: as `RNN`, without nonlinearity and leak, and with a state (h, c): hx and the returned state
    are tuples of (L·D, B, R) and (L·D, B, H). The weights stack the gates (i, f, g, o).

    Args:
        proj_size: R, size of the projected output, below hidden_size; 0 is no projection (R = H). Default 0.

    Source: Hochreiter & Schmidhuber (1997), Gers et al. (2000); projection: Sak et al. (2014).

    >>> output, (h_n, c_n) = LSTM(8, 32, bidirectional=True)(torch.zeros(10, 4, 8))
    >>> tuple(output.shape), tuple(h_n.shape), tuple(c_n.shape)
    ((10, 4, 64), (2, 4, 32), (2, 4, 32))
    """

    cell = LSTMEquations()
    state_names = ("h_0", "c_0")
    projects = True

    @overload  # type: ignore[override]
    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, tuple[Tensor, Tensor]]: ...
    @overload
    def forward(self, input: PackedSequence, hx: Any = None) -> tuple[PackedSequence, tuple[Tensor, Tensor]]: ...
    def forward(self, input: Any, hx: Any = None) -> Any:
        return self.run(input, hx)
