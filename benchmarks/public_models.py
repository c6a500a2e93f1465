"""Contributions and a diagnosis of recurrent models as packages on PyPI publish them, unchanged.

    python benchmarks/public_models.py [--packages torchaudio joeynmt ...] [--full]

Each model is untrained, and takes random data in one forward pass and its loss. A package that is not installed is
skipped (`pip install torchaudio pytorch-forecasting gluonts joeynmt stanza sb3-contrib torchrl torch-geometric
speechbrain` installs them all). Of each model is printed

    error      the relative error of the contributions' sum to autograd's gradient, the worst of all parameters
    a line     for each recurrent module: calls, steps, the norm of its gradient, the norms of the steps'
               contributions, the step since which nine tenths of them come, and the verdict of `bptt.diagnose`

and with --full the whole diagnosis of each module, its remedies included.
"""

from __future__ import annotations

import argparse
import random
import warnings
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from public_model_cases import CASES, Case

import bptt


def _seed() -> None:
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)


def looked_at(made: Case) -> tuple[float, dict[str, str], Any]:
    """The worst error of the contributions' sums, a line of them for each module, and the diagnosis."""
    model, loss_of, d = made
    _seed()
    plain = loss_of(model)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(plain, list(parameters.values()), allow_unused=True)
    wanted = dict(zip(parameters, gradients, strict=True))
    _seed()
    with bptt.record(model) as walks:
        loss = loss_of(model)
    found = bptt.contributions(walks, loss)
    error = 0.0
    for name, gradient in found.gradient.items():
        if (other := wanted.get(name)) is not None and other.norm() > 0:
            error = max(error, ((gradient - other).norm() / other.norm()).item())
    lines = {name: line for line in str(found).splitlines() for name in found if line.split(" ")[0] == name}
    return error, lines, bptt.diagnose(walks, loss, d)


def main() -> None:
    """Print each model's lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", nargs="+", choices=sorted({row[0] for row in CASES}))
    parser.add_argument("--full", action="store_true", help="print the whole diagnosis of each module")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for distribution, module, name, dtype, make in CASES:
        if options.packages and distribution not in options.packages:
            continue
        if find_spec(module) is None:
            print(f"\n{distribution} {name}: {distribution} is not installed")
            continue
        torch.set_default_dtype(dtype)
        _seed()
        error, lines, diagnosis = looked_at(make())
        print(f"\n{distribution} {version(distribution)}, {name}, {str(dtype)[6:]}: error {error:.1e}")
        for part, line in lines.items():
            print(f"{line}  {diagnosis[part].sentence if part in diagnosis else diagnosis.left_out[part]}")
        if options.full:
            print(f"\n{diagnosis}")


if __name__ == "__main__":
    main()
