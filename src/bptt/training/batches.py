"""Mini-batches of labelled sequences of several lengths, and of whole series, in a new order each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence

from ..reach.truncated import WindowInput
from ..trees import Tree
from .forward import in_precision, learning, noisy
from .options.classify import ClassifyOptions
from .transfer import device_of, to_device
from .updates import Pass, Update, Updates
from .workers import ALONE, Workers

TOGETHER = 256  # sequences judged side by side


class Minibatches:
    """One update for each mini-batch of sequences; errors are propagated back to each sequence's first step.

    Args:
        model: (x, state) -> (y, state), packed sequences in and out.
        sequences: each (T, I).
        classes: (N), the number of each one's class.
        config: batch, read-out, noise, dropout, precision, seed, which alone with the epoch draws the order.
        validate: as `Updates.validation`.
        weight: of each class in the loss; None for the same.
        workers: among whom each update's sequences are shared.
    """

    def __init__(
        self,
        model: nn.Module,
        sequences: list[Tensor],
        classes: Tensor,
        config: ClassifyOptions,
        validate: Callable[[], float | None],
        weight: Tensor | None = None,
        workers: Workers = ALONE,
    ) -> None:
        self.model, self.sequences, self.classes = in_precision(model, config), sequences, classes
        self.config, self.validation, self.weight, self.workers = config, validate, weight, workers
        self.device = device_of(model)
        self.loss = nn.CrossEntropyLoss(weight).to(self.device)

    def epoch(self, number: int, place: Tree = None) -> Pass:
        return _Batched(self, number, 0 if place is None else place["start"])


class _Batched(Iterator[Update]):
    """A pass over the sequences."""

    def __init__(self, source: Minibatches, epoch: int, start: int) -> None:
        self._source, self._epoch, self._start = source, epoch, start
        self.walked: WindowInput | None = None
        self._order = np.random.default_rng([source.config.seed, epoch]).permutation(len(source.sequences))

    def __next__(self) -> Update:
        source, start = self._source, self._start
        chosen = self._order[start : start + source.config.stretches].tolist()
        if not chosen:
            raise StopIteration
        self._start += len(chosen)
        config, share = source.config, source.workers.share(len(chosen))
        sequences = [source.sequences[place] for place in chosen]
        steps = noisy(torch.cat(sequences), config, self._epoch, start)  # the same for any number of workers
        noised, chosen = steps.split([len(x) for x in sequences])[share], chosen[share]
        if not chosen:
            return Update(0.0, 0)
        classes, batch = source.classes[chosen], packed(noised, source.device)
        d = to_device(classes, source.device)
        self.walked = WindowInput(batch.x, classes[batch.order], None)
        with learning(source.model, config, self._epoch, start, *source.workers.apart):
            loss = source.loss(pooled(source.model, batch, config), d)
            loss.backward()
        weight = source.weight
        return Update(loss.detach(), len(chosen) if weight is None else weight[classes].sum().item())

    def state_dict(self) -> Tree:
        return {"start": self._start}


def balanced(totals: Tensor) -> Tensor:
    """Weights that give every class the same share of the loss, (C), from each class's total weight, (C)."""
    return totals.sum() / (len(totals) * torch.where(totals > 0, totals, 1))


class Packed(NamedTuple):
    """Sequences packed on a device, the longest first: the device is not asked for their order."""

    x: PackedSequence
    order: Tensor  # the numbers of the sequences in x, (B), on the CPU


def packed(sequences: Sequence[Tensor], device: torch.device) -> Packed:
    """Sequences on the CPU, packed and copied to a device."""
    order = torch.tensor([len(x) for x in sequences], device="cpu").sort(descending=True).indices
    with torch.device("cpu"):  # where it counts the lengths, whatever torch's default device is
        x = pack_sequence([sequences[place] for place in order.tolist()])
    return Packed(x._replace(data=to_device(x.data, device)), order)


def pooled(model: nn.Module, batch: Packed, config: ClassifyOptions) -> Tensor:
    """The scores of each sequence in its own order, (B, C), from its outputs, as `class_scores` has them."""
    steps, lengths = pad_packed_sequence(model(batch.x)[0])
    lengths, places = (to_device(one, steps.device) for one in (lengths, batch.order.argsort()))
    last = steps[lengths - 1, torch.arange(len(lengths), device=steps.device)]
    return _scores(last, steps.sum(0) / lengths[:, None], config).index_select(0, places)


def class_scores(y: Tensor, config: ClassifyOptions) -> Tensor:
    """The classes' scores of sequences of one length, (B, C), from their outputs y (T, B, C).

    The read-out of a state is linear, so that they are those of the last state, of the mean state, or of the mean
    of both.
    """
    return _scores(y[-1], y.mean(0), config)


def _scores(last: Tensor, mean: Tensor, config: ClassifyOptions) -> Tensor:
    if config.readout == "both":
        return (last + mean) / 2
    return mean if config.readout == "mean" else last


def logits_of(model: nn.Module, sequences: list[Tensor], config: ClassifyOptions) -> Tensor:
    """The class's scores before the softmax, (N, C), on the CPU."""
    order = sorted(range(len(sequences)), key=lambda place: len(sequences[place]))
    found: list[Tensor] = []
    with torch.no_grad():
        for start in range(0, len(order), TOGETHER):
            chosen = [sequences[place] for place in order[start : start + TOGETHER]]
            found.append(pooled(model, packed(chosen, device_of(model)), config).cpu())
    return torch.cat(found)[torch.tensor(order, device="cpu").argsort()]


class Groups:
    """All updates of one group of series, then those of the next: `Updates` of the training loop.

    Args:
        count: how many series there are.
        size: of a group; the last one may be smaller.
        seed: alone with the epoch draws the order.
        group: the updates from the series of some numbers.
        validate: as `Updates.validation`.
    """

    def __init__(
        self,
        count: int,
        size: int,
        seed: int,
        group: Callable[[list[int]], Updates],
        validate: Callable[[], float | None],
    ) -> None:
        self.count, self.size, self.seed, self.group, self.validation = count, size, seed, group, validate

    def epoch(self, number: int, place: Tree = None) -> Pass:
        return _Grouped(self, number, place)


class _Grouped(Iterator[Update]):
    """A pass over the groups."""

    def __init__(self, source: Groups, epoch: int, place: Tree) -> None:
        self._source, self._epoch = source, epoch
        self._order = np.random.default_rng([source.seed, epoch]).permutation(source.count)
        self._start = 0 if place is None else place["start"]
        self._pass = self._begun(None if place is None else place["within"])

    @property
    def walked(self) -> WindowInput | None:
        return self._pass.walked

    def __next__(self) -> Update:
        update = next(self._pass, None)  # pyright: ignore[reportArgumentType]
        while update is None:
            if self._start + self._source.size >= self._source.count:
                raise StopIteration
            self._start += self._source.size
            self._pass = self._begun(None)
            update = next(self._pass, None)  # pyright: ignore[reportArgumentType]
        return update

    def _begun(self, place: Tree) -> Pass:
        """The pass over the group that starts here, with noise and dropout of its own."""
        source, start = self._source, self._start
        group = source.group(self._order[start : start + source.size].tolist())
        return group.epoch(self._epoch * source.count + start, place)

    def state_dict(self) -> Tree:
        return {"start": self._start, "within": self._pass.state_dict()}
