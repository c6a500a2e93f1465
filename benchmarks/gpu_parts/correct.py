"""cuDNN's results in every kind of stack, beside the reference in float64 on the CPU; and the order of its buffer.

Checked are values, gradients, a second backward pass through a kept graph, a backward pass in eval mode, and, in
float64 and float32 without autocast, second derivatives. float32 is compared without TF32. The reference has the
weights as rounded by autocast. The derivative of relu jumps at 0, where half precision may be on the other side:
its gradients are only checked roughly.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from bptt.walks import cudnn_calls
from bptt.walks.reference import REFERENCE
from bptt.walks.stack import Stack

from .cases import KINDS, Case, every_case, name_of, sources_of, tensors_of
from .measuring import Clock, Line, float32_by

ALLOWED = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
RELU_GRADIENTS = 0.5  # in half precision
THROUGH_TF32 = 0.1  # ten bits of each factor; relu's derivative jumps
CPU = torch.device("cpu")


def correct(device: torch.device, tiny: bool, clock: Clock) -> Iterator[Line]:
    """A line for each kind and dtype, with its largest errors; then the orders of cuDNN's buffer."""
    # Tiny: the largest stack alone.
    chosen = [
        c for c in every_case() if not tiny or (c.layers, c.directions, c.bias, c.packed) == (2, 2, True, True)
    ]
    for (kind, dtype, autocast), group in itertools.groupby(
        clock.each(chosen), lambda case: (case.kind, case.dtype, case.autocast)
    ):
        cases = list(group)
        with float32_by("ieee"):
            found = [errors(case, device) for case in cases]
        rough = kind == "RNN relu" and ALLOWED[autocast or dtype] > ALLOWED[torch.float32]
        allowed = dict.fromkeys(found[0], ALLOWED[autocast or dtype])
        allowed |= {what: RELU_GRADIENTS for what in allowed if rough and what != "values"}
        largest = {what: max(one.get(what, 0.0) for one in found) for what in found[0]}
        bad = [
            f"{case}: {what} {error:.1e}"
            for case, one in zip(cases, found, strict=True)
            for what, error in one.items()
            if not error <= allowed[what]
        ]
        name = f"{kind}, {name_of(dtype)}" + ("" if autocast is None else f", autocast {name_of(autocast)}")
        data = {"case": name, "stacks": len(cases), "allowed": allowed, "largest": largest, "bad": bad}
        yield Line(
            f"{name:<46}{_shown(largest)}" + "".join(f"\n    TOO LARGE: {line}" for line in bad), data, bool(bad)
        )
    for kind in KINDS:
        with float32_by("tf32"):
            largest = errors(Case(kind, 2, 2, True, False, torch.float32, None), device)
        bad = not max(largest.values()) <= THROUGH_TF32
        yield Line(
            f"{f'{kind}, float32 through TF32':<46}{_shown(largest)}", {"TF32": kind, "largest": largest}, bad
        )
    yield from orders(device)


def _shown(largest: dict[str, float]) -> str:
    return "  ".join(f"{what} {error:.0e}" for what, error in largest.items())


def errors(case: Case, device: torch.device) -> dict[str, float]:
    """The relative errors of one stack, the largest over its tensors."""
    module, x = case.module(device), case.x(device)
    reference = copy.deepcopy(module).to(case.autocast or case.dtype).to(CPU, torch.float64)
    x_reference = _doubled(x, case.autocast or case.dtype)
    y, state = reference.run(x_reference, None, REFERENCE.walk)
    wanted = tensors_of((y, state if len(state) > 1 else state[0]))
    sources = sources_of(reference, x_reference)
    found: dict[str, float] = {}
    with case.numbers(device):
        results = tensors_of(module(x))
    found["values"] = _largest(results, wanted)
    first = gradients(results, sources_of(module, x), retain_graph=True)
    wanted_first = gradients(wanted, sources, create_graph=True)
    found["gradients"] = _largest(first, wanted_first)
    found["again"] = _largest(gradients(results, sources_of(module, x)), wanted_first)
    module.eval()
    with case.numbers(device):
        results = tensors_of(module(x))
    found["eval"] = _largest(gradients(results, sources_of(module, x)), wanted_first)
    if case.autocast is None and case.dtype in (torch.float32, torch.float64):
        results = tensors_of(module(x))
        once = gradients(results, sources_of(module, x), create_graph=True)
        twice = torch.autograd.grad(_squares(once), sources_of(module, x))
        found["second"] = _largest(twice, torch.autograd.grad(_squares(wanted_first), sources))
    return found


def gradients(results: Sequence[Tensor], sources: Sequence[Tensor], **options: Any) -> tuple[Tensor, ...]:
    """Of a loss in which every number of the results counts differently."""
    seeds = [torch.linspace(-1, 1, t.numel(), device="cpu").view(t.shape).to(t) for t in results]
    return torch.autograd.grad(results, sources, seeds, **options)


def orders(device: torch.device) -> Iterator[Line]:
    """How cuDNN lays out its buffer, beside the order that torch writes: all matrices, then all biases."""
    other, shapes = {}, 0
    for case in every_case():
        if case.packed or case.autocast is not None or case.dtype not in (torch.float32, torch.float16):
            continue
        module = case.module(device)
        weights = [w for layer in module.weights() for w in layer]
        width = module.proj_size or module.hidden_size
        state = [torch.zeros(len(weights), 1, n, device=device) for n in (width, module.hidden_size)]
        x = torch.zeros(1, 1, module.input_size, device=device)
        stack = Stack(module.cell, x, tuple(state[: len(module.state_names)]), tuple(weights), case.directions)
        terms, _, listed = cudnn_calls.Terms.of(stack)
        order = cudnn_calls.order_of(terms, module.input_size, case.layers, case.dtype, device)
        shapes += 1
        if order is None or not _matrices_first([n for n, _ in order if n is not None], listed):
            other[str(case)] = "no concatenation makes it" if order is None else str(order)
    text = f"the buffer's order is all matrices, then all biases, in {shapes - len(other)} of {shapes} shapes"
    yield Line(text + "".join(f"\n    {case}: {order}" for case, order in other.items()), {"orders": other})


def _matrices_first(numbers: Sequence[int], weights: Sequence[Tensor]) -> bool:
    wanted = sorted(range(len(weights)), key=lambda n: weights[n].dim() == 1)
    return list(numbers) == wanted


def _doubled(x: Any, rounded: torch.dtype) -> Any:
    """x as rounded, in float64 on the CPU."""
    data = x.data if isinstance(x, PackedSequence) else x
    data = data.detach().to(rounded).to(CPU, torch.float64).requires_grad_()
    return PackedSequence(data, x.batch_sizes) if isinstance(x, PackedSequence) else data


def _squares(of: Sequence[Tensor]) -> Any:
    return sum(t.square().sum() for t in of)


def _largest(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """‖found - wanted‖ / ‖wanted‖, the largest; NaN where one is."""
    pairs = [(f.detach().to(CPU, torch.float64), w.detach()) for f, w in zip(found, wanted, strict=True)]
    each = [((f - w).norm() / (w.norm() + 1e-30)).item() for f, w in pairs]
    return float("nan") if any(error != error for error in each) else max(each)
