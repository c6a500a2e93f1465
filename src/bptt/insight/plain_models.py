"""A network's forward pass, recorded, and backward passes from wherever an error enters it.

They are training's own, at its speed, stopped before the products with `delta` are summed over time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..dropout import without_dropout
from ..equations import Equations, Weights
from ..equations.protocol import State
from ..losses import cross_entropy
from ..networks import Elman, SequenceModel
from ..reach.gradients import check_criterion, scalar_loss
from ..recurrent import Recurrent, Walk
from ..walks import door
from ..walks.call import Call
from ..walks.recording import Recording
from ..walks.sweep import products
from ..walks.unfold import Adjoint, Factor, input_gradient

Criterion = Callable[[Tensor, Any], Tensor]  # (y, d) -> scalar


def check_call(criterion: Any) -> None:
    """Check what every function of this package needs: gradients that can be recorded, and a criterion.

    Raises:
        RuntimeError: under torch.inference_mode().
        TypeError: the criterion is no function.
    """
    if torch.is_inference_mode_enabled():
        raise RuntimeError("inference mode records no gradients: call this outside of torch.inference_mode()")
    if type(criterion) is int:
        raise TypeError(
            f"criterion must be a function (y, d) -> loss, got int; pass the step by its name, t={criterion}"
        )
    check_criterion(criterion)


class Bare(nn.Module):
    """A recurrent module on its own, as a network that puts out its hidden states."""

    softmax = False
    row_vectors = False

    def __init__(self, module: Recurrent) -> None:
        super().__init__()
        self.recurrent = module
        self.batch_first, self.weight_names = module.batch_first, module.weight_names

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        return self.recurrent(x, state)

    def hidden(self, x: Tensor, state: Any = None, walk: Walk = door.walk) -> Tensor:
        return self.recurrent.run(x, state, walk)[0]

    def readout(self, h: Tensor) -> Tensor:
        return h


Network = Elman | SequenceModel | Bare


def record_layers(net: Network, x: Tensor) -> tuple[Tensor, list[list[Record]]]:
    """The forward pass without dropout: hidden outputs h, laid out as x, and records by layer and direction."""
    places = [
        (f"l{layer}" + "_reverse" * direction, direction == 1, names)
        for layer, of_layer in enumerate(net.weight_names())
        for direction, names in enumerate(of_layer)
    ]
    records: list[Record] = []

    def walk(call: Call) -> tuple[Tensor, State]:
        if call.batch_sizes is not None:
            raise TypeError("packed sequences cannot be explained; pass one sequence, or a batch of one length")
        y, state, recording = door.record_walk(call)
        records.append(Record(*places[len(records)], recording))
        return y, state

    with torch.no_grad(), without_dropout(net):
        h = net.hidden(x, None, walk)
    directions = len(net.weight_names()[0])
    return h, [records[i : i + directions] for i in range(0, len(records), directions)]


class Record(NamedTuple):
    """The forward pass of one layer and direction; rows in the order of its walk."""

    layer: str  # "l0", "l0_reverse", ...
    backwards: bool  # whether it walks from the last step to the first
    names: Weights[str]
    recording: Recording

    @property
    def cell(self) -> Equations:
        return self.recording.cell

    @property
    def x(self) -> Tensor:
        return self.recording.x

    @property
    def weights(self) -> Weights[Tensor]:
        return self.recording.weights

    @property
    def states(self) -> Tensor:
        return self.recording.states

    def in_time(self, rows: Tensor) -> Tensor:
        """Rows in the order of the recording as rows in the order of time, or the other way round."""
        return rows.flip(0) if self.backwards else rows

    def operand_products(self) -> Weights[Tensor]:
        """The batch's rows times each other, (T, B, B), of what `delta` is multiplied with for each weight."""
        of_x, unprojected = products(self.x), self.recording.unprojected
        return Weights(
            of_x,
            products(self.states[:-1]),
            None if self.weights.b_ih is None else torch.ones_like(of_x),
            None if self.weights.b_hh is None else torch.ones_like(of_x),
            None if unprojected is None else products(unprojected),
        )


class WalkedBack(NamedTuple):
    """The backward pass of one layer and direction; its rows in the order of time."""

    record: Record  # of as many steps
    adjoint: Adjoint  # in the order of its walk

    @property
    def layer(self) -> str:
        return self.record.layer

    @property
    def dh(self) -> Tensor:
        """∂E/∂h, (K, B, R)."""
        return self.record.in_time(self.adjoint.dh)

    @property
    def delta(self) -> Tensor:
        """∂E/∂a of the input part, (K, B, G·H)."""
        return self.record.in_time(self.adjoint.delta_ih)

    @property
    def factors(self) -> Weights[Factor]:
        """Each weight's gradient before it is summed over time."""
        factors = self.record.recording.factors(self.adjoint)
        return factors.each(Factor.mirrored) if self.record.backwards else factors


def error_and_adjoint(net: Network, h: Tensor, d: Any, criterion: Criterion) -> tuple[Tensor, Tensor]:
    """E and ∂E/∂z, with z = h W_y before any softmax; of one step or of all."""
    with torch.no_grad():
        z = net.readout(h)
    return loss_and_adjoint(z, d, criterion, net.softmax)


def loss_and_adjoint(z: Tensor, d: Any, criterion: Criterion, softmax: bool = False) -> tuple[Tensor, Tensor]:
    """E and ∂E/∂z, with y = z, or softmax of it; `cross_entropy` is that of the softmax of z in both."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        y = torch.softmax(z, -1) if softmax and criterion is not cross_entropy else z
        error = scalar_loss(criterion, y, d)
        (dz,) = torch.autograd.grad(error, z, materialize_grads=True)
    return error.detach(), dz


class OneError(nn.Module):
    """A criterion as a function of y_t alone, the other outputs held as they are: what E_t is of the whole loss.

    Args:
        criterion: (y, d) -> scalar.
        y: the outputs, laid out as the model does.
        t: the step, from 1.
        axis: of time.
    """

    y: Tensor
    is_t: Tensor

    def __init__(self, criterion: Criterion, y: Tensor, t: int, axis: int) -> None:
        super().__init__()
        self.criterion = criterion
        shape = [-1 if dim == axis else 1 for dim in range(y.dim())]
        self.register_buffer("y", y.detach())
        self.register_buffer("is_t", (torch.arange(1, y.shape[axis] + 1, device=y.device) == t).view(shape))

    def forward(self, y: Tensor, d: Any) -> Tensor:
        return self.criterion(torch.where(self.is_t, y, self.y), d)


def checked_step(t: Any, T: int | None = None) -> int:
    """The number of a step, 1 to T where T is known."""
    if not isinstance(t, int) or isinstance(t, bool):
        raise TypeError(f"t must be an int, the number of a step, got {type(t).__name__}")
    if t < 1 or (T is not None and t > T):
        there = "steps count from 1" if T is None else f"x has the steps 1 to {T}"
        raise ValueError(f"t is {t}, but {there}")
    return t


def into_hidden(net: Network, dz: Tensor) -> Tensor:
    """∂E/∂h from ∂E/∂z: (..., O) -> (..., D·R)."""
    return dz if isinstance(net, Bare) else dz @ net.readout_matrix()


def readout_factors(net: Network, dz: Tensor, h: Tensor) -> dict[str, Factor]:
    """The factors of the read-out's gradients by their names; dz (..., B, O), h (..., B, D·R)."""
    if isinstance(net, Bare):
        return {}
    weight, bias = net.readout_names()
    parts = {weight: Factor(h, dz) if net.row_vectors else Factor(dz, h)}
    if bias is not None:
        parts[bias] = Factor(dz, None)
    return parts


def factors_by_name(row_vectors: bool, walks: list[WalkedBack]) -> dict[str, Factor]:
    """The factors of every recurrent weight by its name, oriented as the network has it."""
    return {
        name: Factor(factor.operand, factor.delta) if row_vectors and factor.operand is not None else factor
        for walk in walks
        for name, factor in zip(walk.record.names, walk.factors, strict=True)
        if name is not None and factor is not None
    }


def walk_back(records: list[list[Record]], d_outputs: Tensor) -> list[WalkedBack]:
    """The backward pass of ∂E/∂h of the last layer, (K, B, D·R), through all layers and directions; K is the
    records' T, or less where nothing walks backwards in time."""
    walks: list[WalkedBack] = []

    def back(record: Record, d_outputs: Tensor, wanted: bool) -> Tensor | None:
        record = record._replace(recording=record.recording.up_to(len(d_outputs)))
        adjoint = record.recording.adjoint(d_outputs)
        walks.append(WalkedBack(record, adjoint))
        return input_gradient(adjoint, record.weights) if wanted else None

    back_through_layers(records, d_outputs, back)
    return [walk for layer in records for r in layer for walk in walks if walk.layer == r.layer]


def back_through_layers(
    records: list[list[Record]], d_outputs: Tensor, back: Callable[[Record, Tensor, bool], Tensor | None]
) -> None:
    """Backpropagate ∂E/∂h of the last layer, (..., D·R), from layer to layer.

    Args:
        back: the backward pass of one layer and direction, from ∂E/∂(its outputs), (..., R), to ∂E/∂(its inputs),
            (K, B, ·), where they are wanted; both in the order of its walk.
    """
    for layer in reversed(records):
        wanted = layer is not records[0]
        shares = d_outputs.chunk(len(layer), -1)
        d_inputs = [(r, back(r, r.in_time(share), wanted)) for r, share in zip(layer, shares, strict=True)]
        if wanted:
            d_outputs = reduce(torch.add, [r.in_time(d) for r, d in d_inputs if d is not None])
