"""Contributions of a `bptt.Cell`, through autograd: every step gets aliases of the parameters for itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..cell import Cell, check_cell
from ..dropout import without_dropout
from ..trees import Tree, leaves
from .pairs import ErrorNorms


class StepByStep(Cell):
    """A cell after its forward pass under autograd, with other aliases of its parameters at every step.

    Attributes:
        y: its outputs, (T, B, ·) or (B, T, ·).
        outputs: the same by step, (B, ·) each.
        states: after each step, its tensors that depend on the parameters.
        aliases: the parameters of each step, by name; the initial state was made of the first step's.
    """

    def __init__(self, cell: Cell, x: Tensor) -> None:
        super().__init__()
        check_cell(cell)
        self.cell, self.batch_first = cell, cell.batch_first
        self.outputs: list[Tensor] = []
        self.states: list[list[Tensor]] = []
        self.aliases = [self._aliases()]
        with torch.enable_grad(), without_dropout(cell):
            self.y, _ = self(x)
        if not self.y.requires_grad:
            raise ValueError(f"the outputs of this {self._get_name()} depend on no parameter: nothing contributes")

    def initial_state(self, batch: int) -> Tree:
        return self._with_aliases("initial_state", batch)

    def step(self, x_t: Tensor, state: Tree) -> tuple[Tensor, Tree]:
        if self.outputs:
            self.aliases.append(self._aliases())
        result = self._with_aliases("step", x_t, state)
        if isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Tensor):
            self.outputs.append(result[0])
            self.states.append([leaf for leaf in leaves(result[1]) if leaf.requires_grad])
        return result  # `Cell.forward` refuses what is no pair

    def _aliases(self) -> dict[str, Tensor]:
        named = self.cell.named_parameters()
        return {name: p.detach().requires_grad_() for name, p in named if p.is_floating_point()}

    def _with_aliases(self, method: str, *arguments: Any) -> Any:
        aliases = {f"cell.{name}": alias for name, alias in self.aliases[-1].items()}
        return functional_call(_Method(self.cell, method), aliases, arguments)

    def _get_name(self) -> str:
        return self.cell._get_name()

    def by_step(self, dy: Tensor) -> dict[str, Tensor]:
        """Each step's contribution to the gradient, (T, *shape of the parameter); dy (T, B, ·)."""
        sources = [alias for aliases in self.aliases for alias in aliases.values()]
        parts = iter(self._backpropagated(range(len(dy)), dy, sources))
        by_step = [{name: next(parts) for name in aliases} for aliases in self.aliases]
        return {name: torch.stack([of_step[name] for of_step in by_step]) for name in by_step[0]}

    def norms_by_pair(self, dy: Tensor, ends: list[int]) -> ErrorNorms:
        """As `pairs.norms_by_pair` has them, one error after another; dy (T, B, ·)."""
        T, names = len(dy), list(self.aliases[0])
        found = ErrorNorms({"state": dy.new_zeros(T, T)}, {name: dy.new_zeros(T, T) for name in names})
        for t in ends:
            sources = [[*self.aliases[k].values(), *self.states[k]] for k in range(t + 1)]
            parts = iter(self._backpropagated([t], dy, [source for of_step in sources for source in of_step]))
            for k, of_step in enumerate(sources):
                sizes = torch.stack([next(parts).norm() for _ in of_step])
                found.states["state"][t, k] = sizes[len(names) :].norm()
                for name, size in zip(names, sizes, strict=False):
                    found.weights[name][t, k] = size
        return found

    def _backpropagated(self, ends: Iterable[int], dy: Tensor, sources: list[Tensor]) -> tuple[Tensor, ...]:
        """The gradients of the errors of some steps."""
        ends = [t for t in ends if self.outputs[t].requires_grad]
        return torch.autograd.grad(
            [self.outputs[t] for t in ends],
            sources,
            [dy[t] for t in ends],
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )


class _Method(nn.Module):
    """One of a cell's methods as the call of a module."""

    def __init__(self, cell: Cell, method: str) -> None:
        super().__init__()
        self.cell, self.method = cell, method

    def forward(self, *arguments: Any) -> Any:
        return getattr(self.cell, self.method)(*arguments)
