"""Change a tensor between the walk forward and the walk back: gradients are of what was walked, or an error comes.

    python tests/fuzz_memory.py 2000 [FIRST]     so many cases, from seed FIRST on

Each case draws a module, a tensor of its call and a change: other data, another dtype, its storage emptied or cut,
a change in place. Its gradients must be bit by bit those of an undisturbed copy, which are torch.nn's, or a Python
error. The cases run in a process of their own, whose crash is a failure like any other.
"""

import copy
import random
import subprocess
import sys
from collections import Counter

import torch
from torch.nn.utils.rnn import pack_padded_sequence

import bptt
from support import TOLERANCE

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def other_data(t):
    t.data = torch.randn(t.shape).to(t.dtype)


def other_shape(t):
    t.data = torch.randn(2, 2).to(t.dtype)


def other_dtype(t):
    t.data = t.data.to(torch.float64 if t.dtype == torch.float32 else torch.float32)


def other_strides(t):
    t.data = torch.randn(*t.shape[::-1], 2).to(t.dtype)[..., 0].permute(*reversed(range(t.dim())))


def no_data(t):
    t.data = torch.empty(0, dtype=t.dtype)


def emptied(t):
    t.untyped_storage().resize_(0)


def cut(t):
    t.untyped_storage().resize_(t.untyped_storage().nbytes() // 2)


def set_elsewhere(t):
    with torch.no_grad():
        t.set_(torch.randn(3).to(t.dtype))


def in_place(t):
    with torch.no_grad():
        t.mul_(2)


CHANGES = (other_data, other_shape, other_dtype, other_strides, no_data, emptied, cut, set_elsewhere, in_place)
CONVERSIONS = (torch.nn.Module.half, torch.nn.Module.double, torch.nn.Module.float, torch.nn.Module.bfloat16)


class Case:
    """A module's call, drawn by a seed."""

    def __init__(self, seed):
        draw = self.draw = random.Random(seed)
        torch.manual_seed(seed)
        self.kind = draw.choice(("RNN", "GRU", "LSTM"))
        self.dtype = draw.choice(DTYPES)
        self.options = {
            "num_layers": draw.choice((1, 1, 1, 2)),
            "bias": draw.random() < 0.7,
            "bidirectional": draw.random() < 0.25,
            "batch_first": draw.random() < 0.25,
        }
        self.sizes = draw.choice((1, 3, 9)), draw.choice((1, 5, 17))  # I, H
        self.T, self.B = draw.choice((1, 2, 7)), draw.choice((1, 3))
        self.packed = draw.random() < 0.3
        self.module = getattr(bptt, self.kind)(*self.sizes, **self.options, dtype=self.dtype)
        rows = (self.B, self.T) if self.options["batch_first"] else (self.T, self.B)
        self.x = torch.randn(*rows, self.sizes[0]).to(self.dtype).requires_grad_(draw.random() < 0.5)
        layers = self.options["num_layers"] * self.module.num_directions
        states = [torch.randn(layers, self.B, self.sizes[1]).to(self.dtype) for _ in self.module.state_names]
        given, wants = draw.random() < 0.5, draw.random() < 0.5
        self.state = [s.requires_grad_(wants) for s in states] if given else []
        self.dy = None

    def walk(self, module=None):
        """y, the final states, and what gradients are taken of."""
        module = module or self.module
        x, hx = self.x, None
        if self.state:
            hx = tuple(self.state) if self.kind == "LSTM" else self.state[0]
        if self.packed:
            lengths = torch.arange(self.B).flip(0) % self.T + 1
            x = pack_padded_sequence(x, lengths, self.options["batch_first"], enforce_sorted=False)
        y, last = module(x, hx)
        y = y.data if self.packed else y
        outputs = [y, *(last if self.kind == "LSTM" else [last])]
        sources = [t for t in (self.x, *self.state, *module.parameters()) if t.requires_grad]
        self.dy = self.dy or [torch.randn(t.shape).to(t.dtype) for t in outputs]
        return outputs, sources

    def gradients(self, outputs, sources):
        for source in sources:
            source.grad = None
        torch.autograd.backward(outputs, self.dy)
        return [source.grad for source in sources]

    def change(self, y):
        """Draw a tensor and change it; the change's name."""
        weights = list(self.module.parameters())
        if self.draw.random() < 0.2:
            conversions = self.draw.sample(CONVERSIONS, self.draw.choice((1, 2)))
            for convert in conversions:
                convert(self.module)
            return "Module." + ".".join(c.__name__ for c in conversions)
        of = {"weight": self.draw.choice(weights), "x": self.x, "y": y, "dy": self.dy[0]}
        if self.state:
            of["state"] = self.draw.choice(self.state)
        # torch's own operations read dy and y before we do in these, and crash
        plain = self.dtype in DTYPES[:2] and not self.options["bidirectional"] and self.options["num_layers"] == 1
        name = self.draw.choice([n for n in of if n != "dy" or plain])
        change = self.draw.choice(CHANGES)
        change(of[name])
        return f"{name} {change.__name__}"


def allowed(change, error):
    """Whether a change may end in such an error, which torch or we raise."""
    what, _, how = change.partition(" ")
    if isinstance(error, ValueError):
        return how in ("emptied", "cut") and "lost its memory" in str(error)
    if how == "in_place":
        return what != "y" and "modified by an inplace operation" in str(error)
    # autograd itself refuses the new size of a tensor whose gradient it computes, and smaller output gradients
    return how in ("other_shape", "no_data", "set_elsewhere") or (what == "dy" and how in ("emptied", "cut"))


def run(seed):
    """What became of a case: "same" or the error's type; raises AssertionError where gradients differ."""
    case = Case(seed)
    theirs = getattr(torch.nn, case.kind)(*case.sizes, **case.options, dtype=case.dtype)
    theirs.load_state_dict(case.module.state_dict())
    case.walk()  # draws dy
    wanted = case.gradients(*case.walk(copy.deepcopy(case.module)))
    torchs = case.gradients(*case.walk(theirs))
    largest = max(t.double().norm().item() for t in torchs)  # beside it: torch's half sums may cancel to anything
    for ours, own in zip(wanted, torchs, strict=True):
        error = (ours.double() - own.double()).norm().item() / largest
        assert error < 100 * TOLERANCE[case.dtype], f"seed {seed}: {error} from torch.nn's undisturbed"
    outputs, sources = case.walk()
    change = case.change(outputs[0])
    new = "dy" in change.split()  # a new dy has gradients of its own, where it fits
    try:
        found = case.gradients(outputs, sources)
    except (RuntimeError, ValueError) as error:
        if allowed(change, error):
            return change, type(error).__name__
        raise
    if new:
        return change, "of another dy"
    for number, (f, w) in enumerate(zip(found, wanted, strict=True)):
        assert torch.equal(f.to(w.dtype), w), f"seed {seed}: {change}: gradient {number} is not of what was walked"
    return change, "same"


def main(count, first=0):
    seen = Counter()
    for seed in range(first, first + count):
        print(seed, file=sys.stderr, flush=True)
        change, found = run(seed)
        seen[f"{change}: {found}" if not change.startswith("Module") else f"Module: {found}"] += 1
    for what, times in sorted(seen.items()):
        print(f"{times:6} {what}")


if __name__ == "__main__":
    if sys.argv[1] == "--here":
        main(*map(int, sys.argv[2:]))
    else:
        child = subprocess.run(
            [sys.executable, __file__, "--here", *sys.argv[1:]], stderr=subprocess.PIPE, text=True
        )
        if child.returncode:
            sys.exit(f"failed (exit {child.returncode}) at seed:\n{child.stderr[-3000:]}")
