"""Write inputs for the kernels, and torch.nn's float64 results for them, to a file that harness.cpp reads.

torch.nn has no leaky units, and no softplus or gelu: those results are autograd's through their equations.
"""

from __future__ import annotations

import dataclasses
import struct
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import gelu, linear, relu, softplus

Activation = Callable[[Tensor], Tensor]
State = tuple[Tensor, ...]

# In the order of native/call.h and of the table in native/kernels.cpp.
ACTIVATIONS: tuple[Activation, ...] = (torch.tanh, relu, torch.sigmoid, softplus, gelu, lambda a: a)
CELLS = (torch.nn.RNNCell, torch.nn.GRUCell, torch.nn.LSTMCell)
LSTM = 2


@dataclass(frozen=True)
class Case:
    """One walk of a layer, or a sweep through it."""

    cell: int = 0
    activation: int = 0
    leak: float = 1.0
    T: int = 9
    B: int = 5
    I: int = 3
    H: int = 19
    batch_sizes: tuple[int, ...] = ()  # of packed sequences
    bare: bool = False  # without biases and initial state
    copies: int = 0  # of a sweep; copy k's error enters at step T - 1 - 2k
    everywhere: bool = False  # a sweep's errors also enter at every step before

    @property
    def gates(self) -> int:
        return (1, 3, 4)[self.cell]

    @property
    def states(self) -> int:
        return 2 if self.cell == LSTM else 1

    @property
    def rows(self) -> tuple[int, ...]:
        return self.batch_sizes or (self.B,) * self.T

    @property
    def ends(self) -> list[int]:
        return [self.T - 1 - 2 * copy for copy in range(self.copies)]

    @cached_property
    def module(self) -> torch.nn.Module:
        """torch.nn's cell, whose parameters a step replaces."""
        options = {"nonlinearity": ("tanh", "relu")[self.activation]} if self.cell == 0 else {}
        return CELLS[self.cell](self.I, self.H, **options)

    def step(self, x: Tensor, state: State, weights: State) -> State:
        """The state after a step, as torch.nn computes it where it has the cell."""
        if self.cell == 0 and (self.activation > 1 or self.leak != 1):
            W_ih, W_hh, b_ih, b_hh = weights
            (h,) = state
            s = ACTIVATIONS[self.activation](linear(x, W_ih, b_ih) + linear(h, W_hh, b_hh))
            return ((1 - self.leak) * h + self.leak * s,)
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        given = (x, state if self.cell == LSTM else state[0])
        after = torch.func.functional_call(self.module, dict(zip(names, weights, strict=True)), given)
        return after if self.cell == LSTM else (after,)

    def inputs(self) -> tuple[list[Tensor], State, State]:
        """x of every step, the initial state, and the weights."""
        x = [torch.randn(rows, self.I, requires_grad=True) for rows in self.rows]
        state = tuple((torch.zeros if self.bare else torch.randn)(self.B, self.H) for _ in range(self.states))
        K, bound = self.gates * self.H, self.H**-0.5
        shapes = (K, self.I), (K, self.H), (K,), (K,)
        weights = tuple(torch.empty(shape).uniform_(-bound, bound) for shape in shapes)
        if self.bare:
            weights = (*weights[:2], torch.zeros(K), torch.zeros(K))
        return x, tuple(s.requires_grad_() for s in state), tuple(w.requires_grad_() for w in weights)

    def walk(self, x: list[Tensor], state: State, weights: list[State]) -> tuple[list[State], State]:
        """The states after each step, and the final ones; `weights`: of each step."""
        after, ended = [], []
        for x_t, w, (rows, later) in zip(x, weights, pairwise((*self.rows, 0)), strict=True):
            state = self.step(x_t, tuple(s[:rows] for s in state), w)
            after.append(state)
            ended.append([s[later:] for s in state])
        return after, tuple(torch.cat(parts[::-1]) for parts in zip(*ended, strict=True))

    def arrays(self) -> Iterable[Tensor | None]:
        """Inputs, states and gradients in the order in which harness.cpp reads them; None where there is none."""
        x, state, weights = self.inputs()
        after, final = self.walk(x, state, [weights] * self.T)
        y = torch.cat([s[0] for s in after])
        dy, d_final = torch.randn_like(y), [torch.randn_like(s) for s in final]
        loss = (y * dy).sum() + sum((s * d).sum() for s, d in zip(final, d_final, strict=True))
        dx, *gradients = _gradients(loss, x, *state, *weights)
        no_c = [None] * (LSTM - self.cell > 0)
        yield from (torch.cat(x), *((None, None) if self.bare else (*state, *no_c)))
        yield from (*weights[:2], *((None, None) if self.bare else weights[2:]))
        yield from (dy, *d_final, *no_c, y, *final, *no_c)
        yield from (dx, *gradients[: self.states], *no_c, *gradients[self.states :])
        yield from self.swept(x, state, weights) if self.copies else [None] * 7

    def swept(self, x: list[Tensor], state: State, weights: State) -> list[Tensor | None]:
        """A sweep's errors, its active rows, and its results by step and copy; NaN where an error has not entered.

        Each row is walked by itself with biases of its own at each step, whose gradients are delta.
        """
        row = dataclasses.replace(self, B=1)
        biases = [[tuple(b.clone() for b in weights[2:]) for _ in x] for _ in range(self.B)]
        xs = [[x_t[b : b + 1] for x_t in x] for b in range(self.B)]
        walks = [
            row.walk(
                xs[b], tuple(s[b : b + 1] for s in state), [(*weights[:2], *of_step) for of_step in biases[b]]
            )[0]
            for b in range(self.B)
        ]
        h = [[after[0] for after in walk] for walk in walks]
        errors = torch.zeros(self.T, self.copies, self.B, self.H)
        squares = torch.full((self.T, self.copies), torch.nan)
        ih = torch.full((self.T, self.copies, self.B, self.B), torch.nan)
        hh, dx = ih.clone(), torch.full((self.T, self.copies, self.B, self.I), torch.nan)
        for k, end in enumerate(self.ends):
            errors[0 if self.everywhere else end : end + 1, k].normal_()
            loss = sum((h[b][t] * errors[t, k, b]).sum() for b in range(self.B) for t in range(end + 1))
            each = [(h[b][t], *biases[b][t], xs[b][t]) for t in range(end + 1) for b in range(self.B)]
            joined = _gradients(loss, *map(list, zip(*each, strict=True)))
            dh, delta_ih, delta_hh, d_x = (g.view(end + 1, self.B, -1) for g in joined)
            squares[: end + 1, k], dx[: end + 1, k] = dh.square().sum((1, 2)), d_x
            ih[: end + 1, k], hh[: end + 1, k] = delta_ih @ delta_ih.mT, delta_hh @ delta_hh.mT
        last = None if self.everywhere else torch.stack([errors[end, k] for k, end in enumerate(self.ends)])
        active = torch.tensor([self.B * sum(t <= end for end in self.ends) for t in range(self.T)])
        return [errors if self.everywhere else None, last, active, squares, ih, hh, dx]


def _gradients(loss: Tensor, *tensors: Tensor | list[Tensor]) -> list[Tensor]:
    """∂loss/∂ each, those of a list joined."""
    groups = [[t] if isinstance(t, Tensor) else t for t in tensors]
    found = iter(torch.autograd.grad(loss, [t for group in groups for t in group], retain_graph=True))
    return [torch.cat([next(found) for _ in group]) for group in groups]


def cases() -> Iterable[Case]:
    """Every cell, activation and leak: batches, packed sequences, without biases, sweeps; then other sizes."""
    cells = [Case(activation=a, leak=leak) for leak in (1.0, 0.3) for a in range(len(ACTIVATIONS))]
    for case in (*cells, Case(cell=1), Case(cell=2)):
        yield case
        yield dataclasses.replace(case, batch_sizes=(5, 5, 4, 4, 4, 2, 1, 1, 1))
        yield dataclasses.replace(case, bare=True)
        for everywhere in (False, True):
            yield dataclasses.replace(case, B=2, T=6, copies=3, everywhere=everywhere)
    for cell in range(len(CELLS)):
        for T, B, I, H in ((1, 6, 5, 33), (1, 1, 40, 24), (30, 16, 20, 36), (3, 1, 300, 20), (6, 4, 3, 128)):
            yield Case(cell, T=T, B=B, I=I, H=H)


def write(path: Path) -> None:
    """Integers as int64, numbers as float64; before an array its size, 0 for None."""
    torch.manual_seed(7)
    torch.set_default_dtype(torch.float64)
    every = list(cases())
    with path.open("wb") as file:
        file.write(struct.pack("<q", len(every)))
        for c in every:
            batch_sizes = struct.pack(f"<{len(c.batch_sizes)}q", *c.batch_sizes)
            sizes = (c.cell, c.activation, c.T, c.B, c.I, c.H, c.copies, len(c.batch_sizes))
            file.write(struct.pack("<8qd", *sizes, c.leak) + batch_sizes)
            for array in c.arrays():
                values = torch.empty(0) if array is None else array.detach().double().contiguous()
                file.write(struct.pack("<q", values.numel()) + values.numpy().astype("<f8").tobytes())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
