"""Chooses the variant of the kernels that walks a layer, from the cell, its sizes and the compute capability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

import torch

from ..equations import ACTIVATIONS, ElmanEquations, GRUEquations, LSTMEquations
from ..equations.protocol import Equations

ROWS = 8  # rows of the batch that a block walks
REGISTERS = 512  # of a thread, divided by the warps that share one of a GPU's four schedulers; at most 255
# Of them, for all but weights: with fewer the compiler spills some to memory in each step.
RESERVED = 160  # where the weights are in registers too
RESERVED_BESIDE_SHARED = 120  # where they are in shared memory
KIB = 1024


class Precision(NamedTuple):
    """A type of precisions.h."""

    name: str
    number: int  # bytes of one number of h in shared memory
    weight: int  # bytes of one weight in registers or shared memory

    @property
    def columns(self) -> int:
        """Columns of W_hh in one product."""
        return 16 if self.number == 2 else 8


# Of each dtype those to choose from, the fastest first.
PRECISIONS = {
    torch.bfloat16: (Precision("Bf16", 2, 2),),
    torch.float16: (Precision("Fp16", 2, 2),),
    torch.float32: (Precision("F32", 8, 8), Precision("F32Unsplit", 4, 4)),
}


class CellType(NamedTuple):
    """A cell of elman.h, gru.h or lstm.h; the numbers are those of its C++ type."""

    name: str
    gates: int
    keeps: int  # values of a unit and step, besides h and c, that the backward pass needs
    one_delta: bool = True  # delta against W_ih and against W_hh are the same
    has_c: bool = False


class Device(NamedTuple):
    """Sizes of the GPUs of a compute capability, from the CUDA programming guide."""

    shared: int  # bytes of shared memory that a block can have
    cluster: int  # the most blocks of a cluster


DEVICES = {
    (8, 0): Device(163 * KIB, 1),
    (8, 6): Device(99 * KIB, 1),
    (8, 7): Device(163 * KIB, 1),
    (8, 9): Device(99 * KIB, 1),
    (9, 0): Device(227 * KIB, 16),
    (10, 0): Device(227 * KIB, 16),
    (10, 3): Device(227 * KIB, 16),
    (12, 0): Device(99 * KIB, 8),
}


MOST_STATES = 2**31 - 1  # B rows of T steps: the kernels count them in 32 bits


class Threshold(NamedTuple):
    """A limit to the kernels' use, and where it was measured."""

    value: int
    measured: str | None  # a card and version of torch; None: not measured, an estimate


LEAST_STEPS = Threshold(4, None)  # with fewer, loading the weights costs more than walking
MOST_BLOCKS = Threshold(512, None)  # with more, blocks wait for one another, and cuDNN's large products gain
# Where weights are read from L2 in each step: the most bytes that a block reads. At 64 a cycle these take about 2
# microseconds, and cuDNN's step takes 6 to 10. And the most blocks, all of which should walk at once: an H100 has
# 132 multiprocessors, an A100 108.
MOST_STREAMED = Threshold(192 * KIB, None)
MOST_STREAMING_BLOCKS = Threshold(128, None)
# The largest H for which cuDNN keeps float32 weights in registers throughout a dense walk.
LEFT_TO_CUDNN = {"Elman": Threshold(384, None), "GRU": Threshold(128, None), "LSTM": Threshold(192, None)}


@dataclass(frozen=True)
class KernelPlan:
    """A variant of the kernels: the template arguments of `forward` and `backward` in walk.h."""

    cell: CellType
    precision: Precision
    units: int  # of a block
    blocks: int  # of a cluster, which together have all units
    packed: bool
    in_shared: bool  # whether the weights lie in shared memory, not in registers
    shared: int | None = None  # bytes of shared memory, where not all lie there: the others are read in each step

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return 2 * self.units

    @property
    def padded(self) -> int:
        """Units of all blocks, H and padding."""
        return self.units * self.blocks

    @property
    def layout(self) -> str:
        """In words, where the weights lie."""
        blocks = "a block" if self.blocks == 1 else f"{self.blocks} blocks"
        where = "the shared memory" if self.in_shared else "the registers"
        where = where if self.shared is None else f"L2 and {where}"
        return f"W_hh in {where} of {blocks} for every {ROWS} rows"

    def kernel(self, back: bool) -> str:
        """The kernel's name in C++."""
        switches = (str(switch).lower() for switch in (self.packed, self.in_shared))
        types = f"bptt_cuda::{self.precision.name}, bptt_cuda::{self.cell.name}"
        name = "backward" if back else "forward"
        most = "" if self.shared is None else f", {self.held(back)}"
        return f"bptt_cuda::{name}<{types}, {self.units}, {self.blocks}, {', '.join(switches)}{most}>"

    def shared_bytes(self, back: bool) -> int:
        """Shared memory of a block: two times 8 rows of h, or of delta, and the weights."""
        return self._rows_bytes(back) + (self.held(back) * self._product_bytes(back) if self.in_shared else 0)

    def held(self, back: bool) -> int:
        """Of the products of a sum, those whose weights stay in a block."""
        products = self._products(back)
        if self.shared is None:
            return products
        return max(0, min(products, (self.shared - self._rows_bytes(back)) // self._product_bytes(back)))

    def streamed_bytes(self) -> int:
        """Weights that a block reads in each step, forward or back, the larger of both."""
        return max((self._products(back) - self.held(back)) * self._product_bytes(back) for back in (False, True))

    def _products(self, back: bool) -> int:
        """Products of a sum over all units; back over those of all gates."""
        return (self.cell.gates if back else 1) * self.padded // self.precision.columns

    def _product_bytes(self, back: bool) -> int:
        """A block's weights in one product of each of its sums."""
        sums = 1 if back else self.cell.gates
        return sums * self.units * self.precision.columns * self.precision.weight

    def _rows_bytes(self, back: bool) -> int:
        row = ((self.cell.gates if back else 1) * self.padded + 4) * self.precision.number
        row += 8 if self.precision.number == 2 else 0  # 4 words, as in precisions.h
        return 2 * ROWS * row

    def registers(self) -> int:
        """A thread's registers that hold weights."""
        return 0 if self.in_shared else self.cell.gates * self.padded * self.precision.weight // 8

    def blocks_for(self, B: int) -> int:
        """Blocks that walk B rows."""
        return -(-B // ROWS) * self.blocks

    def fits(self, device: Device) -> bool:
        """Whether a block's registers and shared memory suffice, forward and back."""
        reserved = RESERVED_BESIDE_SHARED if self.in_shared else RESERVED
        per_thread = min(255, REGISTERS // -(-self.threads // (4 * 32)) // 8 * 8)
        return (
            self.threads <= 1024
            and self.registers() + reserved <= per_thread
            and max(self.shared_bytes(back) for back in (False, True)) <= device.shared
            and self.streamed_bytes() <= MOST_STREAMED.value
        )


def plan(
    cell: Equations,
    dtype: torch.dtype,
    H: int,
    B: int,
    T: int,
    packed: bool,
    capability: tuple[int, int],
    failed: Mapping[KernelPlan, str] = MappingProxyType({}),
) -> KernelPlan | str:
    """The variant that walks a layer; or, in words, why the kernels do not.

    Args:
        failed: variants that this GPU could not load, and why. Default none.

    >>> plan(LSTMEquations(), torch.bfloat16, H=64, B=32, T=100, packed=False, capability=(9, 0)).threads
    128
    >>> plan(LSTMEquations(), torch.float64, H=64, B=32, T=100, packed=False, capability=(9, 0))
    'the CUDA kernels have no torch.float64'
    """
    kind = cell_type(cell)
    if kind is None:
        return f"the CUDA kernels have no {_described(cell)}"
    if dtype not in PRECISIONS:
        return f"the CUDA kernels have no {dtype}"
    if H < 1:
        return f"a layer of {H} units has no weights"
    if capability not in DEVICES:
        return f"the CUDA kernels were not built for compute capability {capability[0]}.{capability[1]}"
    least, most, left = LEAST_STEPS.value, MOST_BLOCKS.value, LEFT_TO_CUDNN[cell.name].value
    if least > T:
        return f"{T} steps are too few for the CUDA kernels"
    if T * B > MOST_STATES:
        return f"{T} steps of {B} rows are more than {MOST_STATES} states, which the CUDA kernels count in 32 bits"
    if dtype == torch.float32 and not packed and _cudnn_has(cell) and left >= H:
        return f"cuDNN keeps the weights of {H} units in registers too"
    fitting = _fitting(kind, dtype, H, packed, capability)
    if not fitting:
        return (
            f"the weights of {H} units fit no cluster of compute capability {capability[0]}.{capability[1]}, and "
            f"to read more than {MOST_STREAMED.value // KIB} KiB of them from L2 in each step gains nothing"
        )
    loadable = [variant for variant in fitting if variant not in failed]
    if not loadable:
        return failed[fitting[0]]
    most = most if loadable[0].shared is None else MOST_STREAMING_BLOCKS.value
    few_blocks = (variant for variant in loadable if variant.blocks_for(B) <= most)
    blocks = min(variant.blocks_for(B) for variant in loadable)
    return next(few_blocks, f"a batch of {B} takes {blocks} blocks, more than {most}")


@lru_cache(maxsize=256)
def _fitting(
    kind: CellType, dtype: torch.dtype, H: int, packed: bool, capability: tuple[int, int]
) -> tuple[KernelPlan, ...]:
    """The variants that fit, from the one to prefer: weights in registers first, then few blocks.

    Those that read a part of the weights in each step are taken where no other fits.
    """
    device = DEVICES[capability]
    variants = [
        KernelPlan(kind, precision, -(-H // (16 * blocks)) * 16, blocks, packed, in_shared)
        for precision in PRECISIONS[dtype]
        for in_shared in (False, True)
        for blocks in (1, 2, 4, 8, 16)
        if blocks <= device.cluster
    ]
    streaming = [
        replace(variant, shared=device.shared)
        for variant in variants
        if variant.in_shared and variant.precision == PRECISIONS[dtype][-1]
    ]
    return tuple(v for v in variants if v.fits(device)) or tuple(v for v in streaming if v.fits(device))


def cell_type(cell: Equations) -> CellType | None:
    """A cell's type in C++; None where it has none."""
    if type(cell) is ElmanEquations:
        activation, leaky = cell.activation, cell.leak != 1
        if ACTIVATIONS.get(activation.name) != activation:  # equal where it was copied or read from a file
            return None
        name = f"Elman<bptt_cuda::{activation.name.title()}, {str(leaky).lower()}>"
        return CellType(name, 1, int(leaky or activation.keeps == "input"))
    if type(cell) is GRUEquations:
        return CellType("GRU", 3, 4, one_delta=False)
    return CellType("LSTM", 4, 4, has_c=True) if type(cell) is LSTMEquations else None


def _described(cell: Equations) -> str:
    return f"activation {cell.activation.name!r}" if isinstance(cell, ElmanEquations) else type(cell).__name__


def _cudnn_has(cell: Equations) -> bool:
    return not isinstance(cell, ElmanEquations) or (cell.leak == 1 and cell.activation.name in ("tanh", "relu"))
