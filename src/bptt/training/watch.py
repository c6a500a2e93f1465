"""How far back the gradient reaches while a network learns, at next to no cost.

A training step's forward pass keeps what its backward pass needs. A few stretches of that are copied, and the
error at the end of each goes back through it: no second forward pass, no products but those that carry the error.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..checks import autocast_is_on, check_sizes
from ..equations import Weights
from ..equations.protocol import State
from ..insight.lags import back_from_the_end, norms_by_lag
from ..insight.plain_models import Criterion, Record, error_and_adjoint, into_hidden
from ..losses import squared_error
from ..networks import Elman, SequenceModel
from ..walks import door
from ..walks.call import Call

SHARE = 0.04  # of the time of training steps
# A call costs time before anything is computed: counted in products, of which a core does some 5 a nanosecond.
LOOK = 3.5e6  # that a look costs a layer, beside its own products
STEP = 4e6  # and a training step: forward, backward, clipping and Adam
SMALL = 2.5e5  # products that are not worth a second thread: a look is no more than that, or one stretch
MOST = 4  # stretches


class Stretches(NamedTuple):
    """Where to look: stretches of lags + 1 steps side by side, each ending with the step whose error is taken."""

    steps: Tensor  # (lags+1, W), none of them 0
    rows: Tensor  # (W,): of the batch


class Watch:
    """Runs a network's forward pass for its training, and computes the gradient by lag of that very pass.

        watch = Watch(model, steps=T, batch=B)
        if watch.due(epoch):
            y = watch(x)                  # instead of model(x)[0]
        ...                               # the loss, and loss.backward()
            by_lag = watch.by_lag(d)      # before optimizer.step()

    By lag it is the mean of ‖∂E_t/∂s_{t-lag}‖, exact for each step t taken: a few, spread evenly over the sequence
    and over the rows of the batch, always the same ones. How many, and in which epochs, follows from the sizes
    alone, so that watching takes less than `SHARE` of the time: every epoch, unless the network is so small that
    a call costs more than what it computes.

    Args:
        net: a `bptt.Elman` or a unidirectional `bptt.SequenceModel`, in float32 or float64.
        steps: T of the sequences it is trained on, at least 2.
        batch: their B. Default 1.
        criterion: (y, d) -> scalar of some steps, a sum over them. Default `bptt.squared_error`.
        lags: the longest lag; shortened to T - 2. Default 40.
        trained: where the watched forward pass is not the training's but an extra one, steps times rows of an
            epoch of training.
        overhead: what an epoch costs beside its walks, in products. Default that of one bare training step.
        most: how many steps t are taken at most; one alone is the last. Default 4.

    Attributes:
        epoch: what an epoch costs, in products.
        every: how many epochs lie between two that are watched, plus 1.
        stretches: how many steps t are taken.
    """

    def __init__(
        self,
        net: Elman | SequenceModel,
        steps: int,
        batch: int = 1,
        criterion: Criterion = squared_error,
        lags: int = 40,
        trained: int | None = None,
        overhead: float = STEP,
        most: int = MOST,
    ) -> None:
        check_sizes(steps=steps, batch=batch, lags=lags)
        if steps < 2:
            raise ValueError(f"steps is {steps}; a gradient by lag needs sequences of at least 2")
        if len(net.weight_names()[0]) != 1:
            raise ValueError("a bidirectional network has no lag: its error reaches later steps as well")
        self.net, self.sizes, self.criterion = net, (steps, batch), criterion
        lags = min(lags, steps - 2)
        forward, back = _products(net)
        one = (lags + 1) * back
        self.stretches = max(1, min(most, int(SMALL / one), steps - 1 - lags))
        look = LOOK + self.stretches * one
        if trained is not None:
            look += STEP / 4 + steps * batch * forward / 3  # a walk forward
        self.epoch = overhead + (steps * batch if trained is None else trained) * forward
        self.every = math.ceil(look / (SHARE * self.epoch))
        self._at = _spread(self.stretches, lags, steps, batch)
        self._names = [names for (names,) in net.weight_names()]
        self._layers: list[tuple[Record, list[int]]] = []  # with the versions of its weights
        self._unbatched = False

    def due(self, epoch: int) -> bool:
        """Whether an epoch, counted from 1, is one to watch: the first, and each `every`-th after it."""
        return (epoch - 1) % self.every == 0

    def __call__(self, x: Tensor, state: Any = None) -> Tensor:
        """The outputs y that ``net(x, state)`` gives, under autograd as there; the walk is watched.

        Args:
            x: as the network takes it, of the sizes the watch was made for.
            state: the initial state, None for zeros.

        Raises:
            ValueError: x is of other sizes.
            TypeError: x is packed, of half precision, or under autocast.
        """
        self._layers, self._unbatched = [], x.dim() == 2
        y = self.net.readout(self.net.hidden(x, state, self._walk))
        return torch.softmax(y, -1) if self.net.softmax else y

    def by_lag(self, d: Tensor) -> dict[str, list[float]]:
        """The gradient by lag of the walk before this call; by layer ("l0", ...) a number for each lag from 0.

        Args:
            d: what was desired at every step, laid out as y.

        Raises:
            RuntimeError: no walk was watched since the last call, or its weights have been changed.
        """
        layers, self._layers = self._layers, []
        if not layers:
            raise RuntimeError("no walk was watched: call watch(x) first, once for each by_lag")
        if any(_versions(layer.weights) != versions for layer, versions in layers):
            raise RuntimeError("the weights have changed since the walk: call by_lag before optimizer.step()")
        records = [[layer] for layer, _ in layers]
        _, dz = error_and_adjoint(self.net, records[-1][0].states[-1], self._desired(d), self.criterion)
        with torch.no_grad():
            norms = norms_by_lag(back_from_the_end(records, into_hidden(self.net, dz)))
            means = torch.stack(list(norms.values())).mean(1).tolist()
        return dict(zip(norms, means, strict=True))

    def _walk(self, call: Call) -> tuple[Tensor, State]:
        x = call.x
        if call.batch_sizes is not None:
            raise TypeError("packed sequences cannot be watched; pass sequences of one length")
        if x.dtype not in (torch.float32, torch.float64) or autocast_is_on(x.device):
            raise TypeError("watching takes float32 or float64, without autocast")
        if tuple(x.shape[:2]) != self.sizes:
            T, B = self.sizes
            raise ValueError(f"x has T={x.shape[0]}, B={x.shape[1]}, but this watch was made for T={T}, B={B}")
        y, state, recording = door.record_walk(call)
        steps, rows = self._at
        stretches = recording.stretches(steps[0].tolist(), rows.tolist(), len(steps))
        number = len(self._layers)
        record = Record(f"l{number}", False, self._names[number], stretches)
        self._layers.append((record, _versions(call.weights)))
        return y, state

    def _desired(self, d: Tensor) -> Tensor:
        """d where the stretches end, (W, ...)."""
        ends, rows = self._at.steps[-1], self._at.rows
        if self._unbatched:
            return d[ends]
        return d[rows, ends] if self.net.batch_first else d[ends, rows]


def _products(net: Elman | SequenceModel) -> tuple[int, int]:
    """Of the last layer and a row: those of a training step, and those that carry an error one step back."""
    cell = net.cell
    H = net.state_size if isinstance(net, Elman) else net.recurrent.hidden_size
    I = net.input_size if isinstance(net, Elman) else net.recurrent.input_size
    return cell.gates * H * (3 * H + 2 * I), cell.gates * H * H


def _spread(count: int, lags: int, steps: int, batch: int) -> Stretches:
    """So many stretches spread evenly over steps and rows, on the CPU; one alone ends with the last step."""
    ends = torch.linspace(steps - 1, lags + 1, count, device="cpu").round().long().flip(0)
    rows = torch.arange(count, device="cpu") * max(1, batch // count) % batch
    return Stretches(ends + torch.arange(-lags, 1, device="cpu")[:, None], rows)


def _versions(weights: Weights[Tensor]) -> list[int]:
    return [w._version for w in weights if w is not None]
