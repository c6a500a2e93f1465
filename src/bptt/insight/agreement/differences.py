"""Derivatives by nothing but the loss itself: central differences, extrapolated, each with its own uncertainty.

Richardson (1911): D(h) = (f(h) - f(-h)) / 2h errs by a series in h², so two step sizes r apart give
R = D(h/r) + (D(h/r) - D(h)) / (r² - 1), which errs by h⁴. How far two R differ is how far one may be trusted:
large steps are blunt where f is curved or has kinks, small ones where it is rounded (Ridders 1982).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

LARGEST = 2.0**-7
RATIO = 8.0
STEPS = 7  # the smallest is 3e-8
NOISE = 4 * torch.finfo(torch.float64).eps  # of a loss in float64, relative
DIRECTIONS = 2  # of a tensor that is too large to look at every entry


class Direction(NamedTuple):
    """A way to look at a tensor: one of its entries, or a direction through all of them."""

    place: str  # "(3, 1)", or "direction 1"
    direction: Tensor  # shaped as the tensor, of length 1


class Difference(NamedTuple):
    """A derivative by differences."""

    value: float
    uncertainty: float  # absolute


def probes(t: Tensor, looks: int, generator: torch.Generator) -> list[Direction]:
    """Every entry of a small tensor; of a larger one some entries, drawn, and two directions of random signs.

    A wrong entry anywhere turns the derivative along a direction wrong as well.

    Args:
        t: any shape.
        looks: how many probes at most, at least 3.
        generator: draws them, on the CPU.
    """
    n, found = t.numel(), []
    for number in range(DIRECTIONS if n > looks else 0):
        signs = torch.randint(2, (n,), generator=generator, device="cpu").to(t) * 2 - 1
        found.append(Direction(f"direction {number + 1}", signs.view(t.shape) / n**0.5))
    for entry in sorted(range(n) if n <= looks else _drawn(n, looks - DIRECTIONS, generator)):
        direction = t.new_zeros(n)
        direction[entry] = 1
        found.append(Direction(entry_name(t, entry), direction.view(t.shape)))
    return found


def entry_name(t: Tensor, place: int) -> str:
    """The index of an entry as a person writes it, from its place in the flattened tensor."""
    index = [int(i) for i in torch.unravel_index(torch.tensor(place, device="cpu"), t.shape)]
    return "" if not index else f"({', '.join(map(str, index))})"


def derivative(f: Callable[[float], float]) -> Difference:
    """f'(0), by steps that shrink until rounding outweighs what they still gain; f computed in float64."""
    best = Difference(float("nan"), float("inf"))
    slopes: list[float] = []
    extrapolated: list[float] = []
    for k in range(STEPS):
        h = LARGEST / RATIO**k
        ahead, behind = f(h), f(-h)
        slopes.append((ahead - behind) / (2 * h))
        if k > 0:
            extrapolated.append(slopes[-1] + (slopes[-1] - slopes[-2]) / (RATIO**2 - 1))
        if k > 1:
            value, apart = extrapolated[-1], abs(extrapolated[-1] - extrapolated[-2])
            rounding = NOISE * max(abs(ahead), abs(behind)) / h
            if apart + rounding < best.uncertainty:
                best = Difference(value, apart + rounding)
            if apart <= rounding:
                break
    return best


def _drawn(n: int, count: int, generator: torch.Generator) -> list[int]:
    """Different numbers below n."""
    chosen: set[int] = set()
    while len(chosen) < count:
        chosen.add(int(torch.randint(n, (), generator=generator, device="cpu")))
    return list(chosen)
