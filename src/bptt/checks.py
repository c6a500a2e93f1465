"""Argument checks of the recurrent modules: sizes, dtype, device, input, state, weights, packed rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

WEIGHT_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def check_sizes(**sizes: int) -> None:
    """Sizes are integers of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool):
            raise TypeError(f"{name} must be an int, got {type(size).__name__}")
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")


def check_flags(**flags: bool) -> None:
    """Flags are booleans."""
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise TypeError(f"{name} must be a bool, got {type(flag).__name__}")


def check_probability(name: str, p: float) -> None:
    """A probability is a number between 0 and 1."""
    if isinstance(p, bool) or not isinstance(p, int | float):
        raise TypeError(f"{name} must be a number, got {type(p).__name__}")
    if not 0 <= p <= 1:
        raise ValueError(f"{name} is a probability and must lie in [0, 1], got {p}")


def check_leak(leak: float) -> None:
    """A leak is a number above 0 and at most 1."""
    if isinstance(leak, bool) or not isinstance(leak, int | float):
        raise TypeError(f"leak must be a number, got {type(leak).__name__}")
    if not 0 < leak <= 1:
        raise ValueError(f"leak must lie in (0, 1], got {leak}: 1 is the plain network, small is slow")


def check_projection(who: str, proj_size: int, hidden_size: int, allowed: bool) -> None:
    """A projection is below the hidden size, and for the LSTM alone."""
    if not isinstance(proj_size, int) or isinstance(proj_size, bool):
        raise TypeError(f"proj_size must be an int, got {type(proj_size).__name__}")
    if proj_size and not allowed:
        raise ValueError(f"proj_size={proj_size} is for the LSTM only; a {who} has no projection")
    if not 0 <= proj_size < hidden_size:
        raise ValueError(
            f"proj_size must lie between 0 (no projection) and hidden_size - 1 = {hidden_size - 1}, "
            f"got {proj_size}"
        )


def check_factory(who: str, device: Any, dtype: Any) -> None:
    """device names a device, and dtype is one that weights can have; None for torch's defaults."""
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype must be a torch.dtype such as torch.float32, got {dtype!r}")
    if dtype is not None and dtype not in WEIGHT_DTYPES:
        names = ", ".join(map(str, WEIGHT_DTYPES))
        raise TypeError(f"dtype of {who} must be one of {names}, got {dtype}")
    if device is None or isinstance(device, torch.device | int):
        return
    if not isinstance(device, str):
        raise TypeError(f'device must be a torch.device or a string such as "cpu" or "cuda:0", got {device!r}')
    try:
        torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f'device must be one that torch knows, such as "cpu" or "cuda:0", got {device!r}'
        ) from error


@contextmanager
def allocating(who: str, name: str, shape: tuple[int, ...], sizes: str) -> Iterator[None]:
    """Make a failed allocation of a weight a MemoryError that names it and the sizes to change."""
    message = (
        f"{name} of this {who} would hold {math.prod(shape):,} numbers {shape}, more than could be allocated; "
        f"choose a smaller {sizes}"
    )
    if math.prod(shape) >= 2**60:  # whose bytes torch cannot count
        raise MemoryError(message)
    try:
        yield
    except RuntimeError as error:
        if not ran_out_of_memory(error):
            raise
        raise MemoryError(message) from error


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch says that a device, or the CPU, has no memory left."""
    said = "out of memory" in str(error) or "DefaultCPUAllocator" in str(error)
    return said or isinstance(error, torch.OutOfMemoryError)


def check_input(who: str, x: Any, input_size: int, batch_first: bool, like: Tensor) -> None:
    """x is (T, B, I), or (B, T, I) with batch_first, or (T, I), of the weights' dtype and device."""
    check_tensor("x", x, like, who)
    if x.dim() not in (2, 3):
        wanted = "(B, T, I)" if batch_first else "(T, B, I)"
        raise ValueError(f"x has {x.dim()} dimensions {_shape(x)}; {who} takes {wanted}, or (T, I) unbatched")
    batch_first_now = batch_first and x.dim() == 3
    T = x.shape[1 if batch_first_now else 0]
    if x.shape[-1] != input_size:
        raise ValueError(
            f"x has {x.shape[-1]} features, but this {who} was built with input_size={input_size} "
            f"(x: {_named_shape(x, batch_first)}). "
            + (
                "Pass batch_first=True if x is (B, T, I)."
                if x.dim() == 3 and not batch_first
                else "The last axis holds the features."
            )
        )
    if T == 0:
        raise ValueError(
            f"x is a sequence of length 0 ({_named_shape(x, batch_first)}); the length must be at least 1"
        )


def check_step(who: str, x_t: Any, input_size: int) -> None:
    """x_t is one step's input, (B, I), or (I) unbatched."""
    check_dense("x_t", x_t)
    if x_t.dim() not in (1, 2) or x_t.shape[-1] != input_size:
        raise ValueError(
            f"x_t is {_shape(x_t)}, but a step of this {who} takes (B, {input_size}), or ({input_size},) unbatched"
        )


def check_packed(who: str, packed: PackedSequence, input_size: int, like: Tensor) -> list[int]:
    """A packed sequence that holds together; returns its batch sizes."""
    rows, batch_sizes, sorted_indices, unsorted_indices = packed
    check_tensor("x.data", rows, like, who)
    if rows.dim() != 2 or rows.shape[1] != input_size:
        raise ValueError(
            f"x is packed with rows {_shape(rows)}, but this {who} was built with input_size={input_size} "
            f"and takes packed rows (N, {input_size})"
        )
    sizes = _batch_sizes(batch_sizes)
    if sum(sizes) != rows.shape[0]:
        raise ValueError(
            f"x.batch_sizes sum to {sum(sizes)}, but x.data has {rows.shape[0]} rows; they must be equal"
        )
    for name, indices in (("sorted_indices", sorted_indices), ("unsorted_indices", unsorted_indices)):
        _check_permutation(name, indices, sizes[0])
    return sizes


def _batch_sizes(batch_sizes: Any) -> list[int]:
    if not isinstance(batch_sizes, Tensor) or batch_sizes.dtype.is_floating_point or batch_sizes.dim() != 1:
        raise TypeError("x.batch_sizes must be a 1-D tensor of integers, as pack_padded_sequence makes it")
    sizes: list[int] = batch_sizes.tolist()
    if not sizes:
        raise ValueError("x.batch_sizes is empty: a packed sequence has a length of at least 1")
    for t, size in enumerate(sizes):
        if size < 1:
            raise ValueError(f"x.batch_sizes[{t}] is {size}; each must be at least 1")
        if t > 0 and size > sizes[t - 1]:
            raise ValueError(
                f"x.batch_sizes increase from {sizes[t - 1]} to {size} at step {t}; sequences are packed "
                "longest first, so they can only shrink"
            )
    return sizes


def _check_permutation(name: str, indices: Tensor | None, batch: int) -> None:
    if indices is None:
        return
    if indices.shape != (batch,):
        raise ValueError(f"x.{name} has shape {_shape(indices)}, but the batch has {batch} sequences")
    if sorted(indices.tolist()) != list(range(batch)):
        raise ValueError(f"x.{name} must hold each of 0..{batch - 1} once, got {indices.tolist()}")


def check_state(who: str, hx: Any, names: Sequence[str], shapes: Sequence[tuple[int, ...]], like: Tensor) -> None:
    """hx is a tensor (one name), or a tuple of as many tensors as there are names; each (L·D, B, ·)."""
    wanted = " and ".join(f"{name}: {shape}" for name, shape in zip(names, shapes, strict=True))
    if len(names) == 1:
        if not isinstance(hx, Tensor):
            raise TypeError(f"hx of {who} must be one tensor ({wanted}), got {_type_of(hx)}")
        hx = (hx,)
    elif not isinstance(hx, tuple | list) or len(hx) != len(names):
        raise TypeError(f"hx of {who} must be a tuple ({', '.join(names)}) ({wanted}), got {_type_of(hx)}")
    for name, part, shape in zip(names, hx, shapes, strict=True):
        check_tensor(f"hx ({name})", part, like, who)
        if tuple(part.shape) != shape:
            raise ValueError(
                f"hx ({name}) has shape {_shape(part)}, but {who} needs {shape}: "
                "(layers times directions, batch, size), without the batch where x is (T, I)"
            )


def check_weight(who: str, name: str, weight: Any, shape: tuple[int, ...], like: Tensor | None) -> Tensor:
    """A weight is a floating tensor of its shape, of the first weight's dtype and device."""
    check_dense(f"{name} of this {who}", weight)
    if tuple(weight.shape) != shape:
        raise ValueError(f"{name} of this {who} has shape {_shape(weight)}, but {shape} is needed")
    if not weight.is_floating_point():
        raise TypeError(f"{name} of this {who} is {weight.dtype}, but a floating dtype is needed")
    if like is not None and weight.dtype != like.dtype:
        raise TypeError(
            f"{name} of this {who} is {weight.dtype}, but its first weight is {like.dtype}; "
            f"convert the module with .to({like.dtype})"
        )
    if like is not None and weight.device != like.device:
        raise ValueError(
            f"{name} of this {who} is on {weight.device}, but its first weight is on {like.device}; "
            f'move the module with .to("{like.device}")'
        )
    return weight


def check_tensor(name: str, x: Any, like: Tensor, who: str) -> None:
    """A floating tensor on the weights' device and, outside autocast, of their dtype."""
    check_dense(name, x)
    autocast = autocast_is_on(like.device)
    if not x.is_floating_point() or (x.dtype != like.dtype and not autocast):
        raise TypeError(
            f"{name} is {x.dtype}, but the weights of this {who} are {like.dtype}. "
            f"Convert it with .to({like.dtype})"
            + (f", or the module with .to({x.dtype})" if x.is_floating_point() else "")
        )
    check_device(name, x, like, f"the weights of this {who} are")


def check_device(name: str, x: Tensor, like: Tensor, these_are: str) -> None:
    """A tensor is on the device of another; `these_are` names the other with its verb in the message."""
    if x.device != like.device:
        raise ValueError(
            f"{name} is on {x.device}, but {these_are} on {like.device}; "
            f'move one of them, for example with .to("{like.device}")'
        )


def check_dense(name: str, x: Any) -> None:
    """A tensor whose numbers stand in memory as they are: not sparse, quantised or nested."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {_type_of(x)}")
    if x.is_nested:
        raise TypeError(
            f"{name} is a nested tensor; pad it with .to_padded_tensor(0.0), or pack the sequences with "
            "torch.nn.utils.rnn.pack_sequence"
        )
    if x.is_quantized:
        raise TypeError(f"{name} is quantised ({x.dtype}); convert it with .dequantize()")
    if x.layout is not torch.strided:
        raise TypeError(
            f"{name} has the layout {x.layout}, but a dense tensor is needed; convert it with .to_dense()"
        )


def _type_of(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    module = type(value).__module__
    return type(value).__name__ if module in ("builtins", "torch") else f"{module}.{type(value).__name__}"


def _shape(x: Tensor) -> str:
    return str(tuple(x.shape))


def _named_shape(x: Tensor, batch_first: bool) -> str:
    letters = "TI" if x.dim() == 2 else "BTI" if batch_first else "TBI"
    return ", ".join(f"{letter}={size}" for letter, size in zip(letters, x.shape, strict=True))


def autocast_is_on(device: torch.device) -> bool:
    """Whether autocast acts on tensors of this device."""
    if not torch._C._is_any_autocast_enabled():
        return False
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


def autocast_dtype(weight: Tensor) -> torch.dtype | None:
    """The dtype that autocast walks this weight in, float64 left as it is, as in torch; None where it is off."""
    if not autocast_is_on(weight.device):
        return None
    is_double = weight.dtype == torch.float64
    return weight.dtype if is_double else torch.get_autocast_dtype(weight.device.type)
