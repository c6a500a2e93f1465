"""Packed sequences: packing with checked lengths, and reversal in time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import rnn

from .checks import check_dense


def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | list[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> rnn.PackedSequence:
    """`torch.nn.utils.rnn.pack_padded_sequence`, with lengths on any device and errors that name the row.

    Args:
        input: (T, B, ·), or (B, T, ·) with batch_first.
        lengths: (B) integers, 1 to T: the steps of each sequence; a tensor on any device, or a list.
        batch_first: whether the batch is input's first axis. Default False.
        enforce_sorted: whether the sequences stand longest first; False sorts them. Default True.

    Returns:
        the PackedSequence, as torch.nn's and bptt's recurrent modules take it.

    Raises:
        TypeError: input is not a dense tensor, or lengths are not integers.
        ValueError: a length is below 1 or beyond T, there are not B of them, or they are unsorted
            where enforce_sorted is True.

    >>> packed = pack_padded_sequence(torch.ones(8, 3, 2), [5, 3, 8], enforce_sorted=False)
    >>> packed.batch_sizes.tolist()  # sequences that have a step 1, 2, ..., 8
    [3, 3, 3, 2, 2, 1, 1, 1]
    """
    check_dense("input", input)
    if input.dim() < 2:
        raise ValueError(
            f"input has shape {tuple(input.shape)}; (T, B, ·) is needed, or (B, T, ·) with batch_first"
        )
    T, B = (input.shape[1], input.shape[0]) if batch_first else (input.shape[0], input.shape[1])
    sizes = _checked_lengths(lengths, T, B)
    if enforce_sorted:
        for row in range(1, B):
            if sizes[row] > sizes[row - 1]:
                raise ValueError(
                    f"lengths are not sorted longest first: lengths[{row}] is {sizes[row]} after "
                    f"{sizes[row - 1]}. Pass enforce_sorted=False to have them sorted."
                )
    return rnn.pack_padded_sequence(input, torch.tensor(sizes, device="cpu"), batch_first, enforce_sorted)


def _checked_lengths(lengths: Any, T: int, B: int) -> list[int]:
    if isinstance(lengths, Tensor):
        if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool:
            raise TypeError(f"lengths must be integers, got {lengths.dtype}; convert with .long()")
        lengths = lengths.tolist()
    if not isinstance(lengths, list | tuple) or not all(type(n) is int for n in lengths):
        raise TypeError("lengths must be a 1-D tensor or a list of integers")
    if len(lengths) != B:
        raise ValueError(f"there are {len(lengths)} lengths, but input holds {B} sequences")
    if B == 0:
        raise ValueError("there is nothing to pack: input holds 0 sequences")
    for row, length in enumerate(lengths):
        if not 1 <= length <= T:
            raise ValueError(f"lengths[{row}] is {length}; it must lie between 1 and {T}, the steps of input")
    return list(lengths)


def reversed_rows(batch_sizes: list[int], device: torch.device) -> Tensor:
    """Where each packed row's mirror image in time stands, (N); its own inverse.

    Step t of a sequence of length n trades places with step n-1-t of the same sequence.
    """
    sizes = torch.tensor(batch_sizes, device="cpu")
    starts = sizes.cumsum(0) - sizes
    lengths = (sizes[None, :] > torch.arange(batch_sizes[0], device="cpu")[:, None]).sum(1)
    step = torch.arange(len(batch_sizes), device="cpu").repeat_interleave(sizes)
    row = torch.arange(int(sizes.sum()), device="cpu") - starts[step]
    return (starts[lengths[row] - 1 - step] + row).to(device)
