"""The rows of carried states: which sequences of a batch they are of, and back to the initial state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ..cell import Cell
from ..modules import LSTM
from ..networks import Elman
from ..trees import Tree, leaves, mapped
from .layout import called

OF_ONE_STEP = (nn.RNNCellBase, Elman)  # their states are (B, ·), those of other modules (L, B, ·)


def reset_rows(modules: Mapping[str, nn.Module], states: Mapping[str, Tree], rows: Tensor) -> dict[str, Tree]:
    """The states with some rows, booleans (B,), back at the initial state; without entries where that is all."""
    if rows.all():
        return {}

    def of_module(module: nn.Module, state: Tree) -> Tree:
        fresh = iter(leaves(module.initial_state(len(rows)))) if isinstance(module, Cell) else None

        def with_fresh(leaf: Tensor) -> Tensor:
            new = torch.zeros_like(leaf) if fresh is None else next(fresh)
            return replaced_rows(leaf, new, rows, _batch_axis(module, leaf))

        return mapped(with_fresh, state)

    return {name: of_module(modules[name], state) for name, state in states.items()}


def replaced_rows(leaf: Tensor, new: Tensor, rows: Tensor, axis: int) -> Tensor:
    """A state's tensor with some rows, booleans (B,) along an axis, of another one."""
    shape = [1] * leaf.dim()
    shape[axis] = len(rows)
    return torch.where(rows.to(leaf.device).view(shape), new, leaf)


def row_mask(rows: Any, batch: int) -> Tensor:
    """Booleans (B,) of rows, which are booleans already, or numbers."""
    try:
        rows = torch.as_tensor(rows, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"rows must be booleans (B,) or numbers of rows, got {rows!r}") from error
    if rows.dtype == torch.bool:
        if tuple(rows.shape) != (batch,):
            raise ValueError(f"rows have shape {tuple(rows.shape)}, but the states are of {batch} sequences")
        return rows
    if rows.numel() and (rows.is_floating_point() or rows.is_complex()):  # an empty list is of floats
        raise TypeError(f"rows must be booleans (B,) or numbers of rows, got {rows.dtype}")
    outside = rows[(rows < -batch) | (rows >= batch)]
    if len(outside.flatten()):
        raise ValueError(f"there is no row {int(outside.flatten()[0])}: the states are of {batch} sequences")
    return torch.zeros(batch, dtype=torch.bool, device="cpu").index_fill(0, rows.flatten().long() % batch, True)


def _batch_axis(module: nn.Module, leaf: Tensor) -> int:
    """Which axis of a module's batched state is the batch."""
    return 0 if isinstance(module, Cell) else leaf.dim() - 2


def rows_of_state(module: nn.Module, leaf: Tensor) -> int | None:
    """The sequences of a state; None for one without a batch."""
    batched = 2 if isinstance(module, OF_ONE_STEP) else 3
    return None if leaf.dim() < batched and not isinstance(module, Cell) else leaf.shape[_batch_axis(module, leaf)]


def rows_of_input(module: nn.Module, input: Any) -> int | None:
    """The sequences of an input; None for one without a batch."""
    if isinstance(input, PackedSequence):
        return int(input.batch_sizes[0])
    if isinstance(module, nn.RNNCellBase):
        return input.shape[0] if input.dim() > 1 else None
    if input.dim() < 3 and not isinstance(module, Cell):
        return None
    return input.shape[0 if module.batch_first else 1]


def check_saved_state(name: str, module: Any, state: Tree) -> None:
    """A saved state has the shapes that its module needs, of some batch."""
    found = leaves(state)
    if not found:
        return
    wanted: Tree
    if isinstance(module, Cell):
        wanted = module.initial_state(found[0].shape[0]) if found[0].dim() else None
    else:
        batch = rows_of_state(module, found[0])
        size = module.state_size if isinstance(module, Elman) else module.hidden_size
        sizes = [getattr(module, "proj_size", 0) or size] + [size] * _is_lstm(module)
        rows = [] if isinstance(module, OF_ONE_STEP) else [module.num_layers]
        rows += [] if batch is None else [batch]
        wanted = [torch.empty(*rows, size, device="meta") for size in sizes]
    shapes = [tuple(leaf.shape) for leaf in found], [tuple(leaf.shape) for leaf in leaves(wanted)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"the state of {called(name)} has the shapes {shapes[0]}, but it needs {shapes[1]}")


def _is_lstm(module: nn.Module) -> bool:
    return isinstance(module, nn.LSTM | nn.LSTMCell | LSTM)
