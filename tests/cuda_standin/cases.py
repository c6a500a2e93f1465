"""Walks by the CUDA kernels on the CPU, beside the equations in float64."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from bptt.cuda.arguments import SIZES, Arguments, operands
from bptt.cuda.plan import PRECISIONS, KernelPlan, cell_type
from bptt.equations import ACTIVATIONS, ElmanEquations, GRUEquations, LSTMEquations, Weights
from bptt.walks.call import Call
from bptt.walks.unfold import unfold_adjoint, unfold_layer

# Of a tensor's norm: what rounding to the dtype once a step, and TF32 three times, may cost.
TOLERANCES = {torch.bfloat16: 3e-2, torch.float16: 4e-3, torch.float32: 3e-6}
CELLS = {
    **{name: ElmanEquations(activation) for name, activation in ACTIVATIONS.items()},
    **{f"leaky {name}": ElmanEquations(activation, leak=0.3) for name, activation in ACTIVATIONS.items()},
    "GRU": GRUEquations(),
    "LSTM": LSTMEquations(),
}
GUARD = 1024  # numbers behind each result, which must stay as they are
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


class Case(NamedTuple):
    """A walk: a cell, a dtype, H units, B rows, T steps, and a variant of the kernels."""

    cell: str
    dtype: str
    H: int
    B: int
    T: int
    units: int
    blocks: int = 1
    packed: bool = False
    in_shared: bool = False
    precision: int = 0  # of those of the dtype
    streams: bool = False  # half of the weights, back, and fewer forward

    @property
    def plan(self) -> KernelPlan:
        kind, precision = cell_type(CELLS[self.cell]), PRECISIONS[DTYPES[self.dtype]][self.precision]
        assert kind is not None
        plan = KernelPlan(kind, precision, self.units, self.blocks, self.packed, self.in_shared)
        if not self.streams:
            return plan
        weights = kind.gates * plan.padded * plan.units * precision.weight
        return replace(plan, shared=plan.shared_bytes(True) - weights // 2)

    def __str__(self) -> str:
        extras = [word for word in ("packed", "in_shared", "streams") if getattr(self, word)]
        return "-".join(map(str, [self.cell, self.plan.precision.name, *self[2:7], *extras]))


# H, B, T, units of a block, blocks, and whether the weights lie in shared memory, all or some.
LAYOUTS = [
    (5, 3, 4, 16, 1, False, False),
    (33, 11, 6, 48, 1, False, False),
    (64, 17, 5, 64, 1, True, False),
    (20, 9, 4, 16, 2, False, False),
    (120, 8, 4, 32, 4, True, False),
    (40, 9, 4, 48, 1, True, True),
    (90, 9, 4, 32, 4, True, True),
]


def every_case() -> list[Case]:
    """Every cell, activation and precision in every layout, with sequences of one length and packed."""
    return [
        Case(cell, dtype, *layout[:5], packed, layout[5], precision, layout[6])
        for cell in CELLS
        for dtype in DTYPES
        for precision in range(len(PRECISIONS[DTYPES[dtype]]))
        for layout in LAYOUTS
        if not layout[6] or precision + 1 == len(PRECISIONS[DTYPES[dtype]])
        for packed in (False, True)
    ]


def walk(case: Case, launch: Callable[[KernelPlan, bool, Arguments], None]) -> dict[str, tuple[Tensor, Tensor]]:
    """Everything that a walk forward and back writes, and what the equations give for it.

    Raises:
        RuntimeError: a store past the end of what it belongs to, or a barrier that not all threads reach.
    """
    torch.manual_seed(1)
    cell, dtype = CELLS[case.cell], DTYPES[case.dtype]
    G, H, B, T = cell.gates, case.H, case.B, case.T
    sizes = [max(1, B - B * t // T) for t in range(T)] if case.packed else None
    N = sum(sizes) if sizes else T * B
    steps = (N,) if sizes else (T, B)
    kind = case.plan.cell
    separate = not kind.one_delta

    def drawn(*shape, scale=1.0, dtype=dtype) -> Tensor:
        return (scale * torch.randn(shape)).to(dtype)

    guards = []

    def unset(*shape, dtype=dtype) -> Tensor:
        tensor, guard = torch.full((math.prod(shape) + GUARD,), float("nan"), dtype=dtype).split(
            [math.prod(shape), GUARD]
        )
        guards.append(guard)
        return tensor.view(shape)

    p, W_hh, b = drawn(*steps, G * H), drawn(G * H, H, scale=H**-0.5), drawn(G * H, scale=0.3)
    b[: 2 * H if separate else None] = 0  # the other biases are in p
    state = [drawn(B, H, dtype=torch.float32) for _ in range(1 + kind.has_c)]
    seeds = drawn(*steps, H), [drawn(B, H, dtype=torch.float32) for _ in state]

    rows, one = torch.float32, (B, H)
    given = {"p": p, "W_hh": W_hh, "b_hh": b if separate else None, "dy": seeds[0]}
    given |= dict(zip(("h0", "c0"), state, strict=False)) | dict(zip(("dh_n", "dc_n"), seeds[1], strict=False))
    written = {"y": unset(*steps, H), "h_n": unset(*one, dtype=rows), "d_h0": unset(*one, dtype=rows)}
    written |= {"delta_ih": unset(*steps, G * H), "dh": unset(*steps, H)}
    if separate:
        written["delta_hh"] = unset(*steps, G * H)
    if kind.has_c:
        written |= {name: unset(*one, dtype=rows) for name in ("c_n", "d_c0")}
    kept = {
        "kept": unset(*steps, max(kind.keeps, 1) * H),
        "c": unset(*steps, H, dtype=rows) if kind.has_c else None,
    }
    tensors = given | written | kept | {"sizes": torch.tensor(sizes, dtype=torch.int32) if sizes else None}
    arguments = Arguments(
        **dict(zip(SIZES, (T, B, H, N, B), strict=True)),
        leak=getattr(cell, "leak", 1.0),
        **{name: t.data_ptr() for name, t in tensors.items() if t is not None},
    )
    for back in (False, True):
        streamed = operands(W_hh, case.plan, back) if case.streams else None
        arguments.operands = None if streamed is None else streamed.data_ptr()
        launch(case.plan, back, arguments)
    if not all(guard.isnan().all() for guard in guards):
        raise RuntimeError("a store past the end of a tensor")

    weights = Weights(torch.eye(G * H).double(), W_hh.double(), None, b.double())
    call = Call(cell, p.double(), tuple(s.double() for s in state), weights, sizes)
    unfolded = unfold_layer(call)
    saved = unfolded.kept
    if case.cell.endswith("relu"):  # of the side where rounding has put each number
        saved = saved._replace(phi=(kept["kept"] if kind.keeps else written["y"]).double())
    adjoint = unfold_adjoint(call, saved, seeds[0].double(), tuple(s.double() for s in seeds[1]))
    wanted = {"y": unfolded.y, "delta_ih": adjoint.delta_ih, "delta_hh": adjoint.delta_hh, "dh": adjoint.dh}
    wanted |= dict(zip(("h_n", "c_n"), unfolded.state, strict=False))
    wanted |= dict(zip(("d_h0", "d_c0"), adjoint.d_state, strict=False))
    return {name: (found, wanted[name]) for name, found in written.items()}


def largest_error(results: dict[str, tuple[Tensor, Tensor]]) -> float:
    """‖found - wanted‖ / ‖wanted‖, the largest of all results; infinite where one is not a number."""
    errors = [((found.double() - wanted).norm() / wanted.norm()).item() for found, wanted in results.values()]
    return max(error if error == error else float("inf") for error in errors)
