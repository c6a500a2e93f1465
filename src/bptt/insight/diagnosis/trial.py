"""Trials of remedies: a few training updates of a network with the remedy, and of one without."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..plain_models import Criterion, Network

UPDATES = 100
EVERY = 10  # updates it is judged after; the least error counts, so that learning too much by heart does not
RATE, BETAS = 0.01, (0.9, 0.999)  # of Adam
HELD = 4  # one part in so many of the steps, the last one, is the validation set
STEPS = 1000  # of the training and the validation set at most, the last ones
MULTIPLICATIONS = 3e9  # of all updates of one network, about half a second; large networks get fewer updates
FEWEST = 3  # updates below which nothing is tried
GAIN = 0.1  # part of the error by which it must fall or rise to count: less may be luck


class Remedy(NamedTuple):
    """A piece of advice, and how a trial follows it."""

    name: str  # in a word or two
    text: str
    change: Callable[[Network], Network] | None = None  # of a copy; None where that cannot be tried
    clip: float | None = None  # the norm that gradients are clipped at


class Trial:
    """Trains copies of a network on the start of a sequence and validates them on its end.

    Args:
        net: in float64 on the CPU, in eval mode; it is copied.
        x, d: as the network takes them, d with one entry for each step.
        criterion: (y, d) -> scalar.
        axis: of time.
    """

    def __init__(self, net: Network, x: Tensor, d: Tensor, criterion: Criterion, axis: int) -> None:
        first = max(0, x.shape[axis] - STEPS)
        self.net, self.criterion, self.axis = net, criterion, axis
        self.x, self.d = (part.narrow(axis, first, part.shape[axis] - first) for part in (x, d))
        self.learned = self.x.shape[axis] - self.x.shape[axis] // HELD
        weights = sum(weight.numel() for weight in net.parameters())
        of_one = 6 * weights * self.x[..., 0].numel()
        self.updates = min(UPDATES, int(MULTIPLICATIONS / of_one))
        self._plain: float | None = None

    @property
    def plain(self) -> float:
        """The least error on the steps held out in so many updates, without any remedy."""
        if self._plain is None:
            self._plain = self._error(copy.deepcopy(self.net), None)
        return self._plain

    def error(self, remedy: Remedy) -> float:
        """The same with a remedy; inf where it is not finite."""
        assert remedy.change is not None or remedy.clip is not None
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)  # the CPU's alone: those of other devices stay as they are
            net = copy.deepcopy(self.net)
            return self._error(net if remedy.change is None else remedy.change(net), remedy.clip)

    def _error(self, net: Network, clip: float | None) -> float:
        x, d = (part.narrow(self.axis, 0, self.learned) for part in (self.x, self.d))
        weights = list(net.parameters())
        held = self.x.shape[self.axis] - self.learned
        least = self._judged(net, held)
        moments = [(torch.zeros_like(weight), torch.zeros_like(weight)) for weight in weights]
        for number in range(1, self.updates + 1):
            with torch.enable_grad():
                gradients = torch.autograd.grad(self.criterion(net(x)[0], d), weights, materialize_grads=True)
            norm = torch.stack([gradient.norm() for gradient in gradients]).norm().item()
            short = 1.0 if clip is None or norm <= clip else clip / norm
            for weight, gradient, (m, v) in zip(weights, gradients, moments, strict=True):
                _adam(weight.data, short * gradient, m, v, number)
            if number % EVERY == 0 or number == self.updates:
                least = min(least, self._judged(net, held))
        return least

    def _judged(self, net: Network, held: int) -> float:
        """The error on the steps held out; inf where it is not finite."""
        with torch.no_grad():
            y = net(self.x)[0].narrow(self.axis, self.learned, held)
            found = self.criterion(y, self.d.narrow(self.axis, self.learned, held)).item()
        return found if math.isfinite(found) else math.inf


def _adam(weight: Tensor, gradient: Tensor, m: Tensor, v: Tensor, number: int) -> None:
    """One update, in place (Kingma & Ba 2015, algorithm 1); torch.optim's would take a second to import."""
    m.lerp_(gradient, 1 - BETAS[0])
    v.lerp_(gradient.square(), 1 - BETAS[1])
    size = (v / (1 - BETAS[1] ** number)).sqrt_().add_(1e-8)
    weight.sub_(RATE / (1 - BETAS[0] ** number) * m / size)


def tried(remedies: list[Remedy], trial: Trial | None) -> list[str]:
    """Each remedy with what its trial showed; those that made things worse are named last, as what not to do.

    Args:
        remedies: the first thing first.
        trial: None where the data allow none.
    """
    given, harmful = [], []
    for remedy in remedies:
        if trial is None or trial.updates < FEWEST or (remedy.change is None and remedy.clip is None):
            given.append(f"{remedy.text}   (untried)")
            continue
        found, plain = trial.error(remedy), trial.plain
        if math.isfinite(plain) and found > plain * (1 + GAIN):
            harmful.append(f"{remedy.name} (an error of {found:.3g})")
            continue
        gain = "" if found < plain * (1 - GAIN) else "no gain yet, " if found <= plain else "no gain, "
        given.append(
            f"{remedy.text}   (tried for {trial.updates} updates: {gain}the error on the last quarter of the "
            f"steps is {found:.3g} with it and {plain:.3g} without)"
        )
    if harmful:
        assert trial is not None
        given.append(
            f"Not advised: {', '.join(harmful)}. In a trial of {trial.updates} updates the error on the last "
            f"quarter of the steps was {trial.plain:.3g} without."
        )
    return given
