"""The cost of truncation on a trained sunspot model: the truncated gradient beside the full one.

    python benchmarks/truncation.py     (half a minute)

Networks are trained by full BPTT with the command's own recipe on 1700-1920. At three moments (before training,
after a tenth of it, at its end) the gradient over the training years by truncated BPTT, nothing learned between
the windows, is compared with that by full BPTT: the cosine of the angle between the two, and the ratio of
their norms. Medians over seeds 0-4.
"""

from __future__ import annotations

import statistics
from dataclasses import replace

import torch

import bptt
from bptt.reach.bias import Bias
from bptt.training.loop import Training
from bptt.training.network import build
from bptt.training.options.forecast import SunspotOptions
from bptt.training.tasks.forecast import sunspot_forecast

K1, K2 = 5, (5, 10, 15, 20, 40, 80, 219)
SEEDS = range(5)
CELLS = "elman", "gru", "lstm"
MOMENTS = {"untrained": 0.0, "after 30 epochs": 0.1, "trained": 1.0}


def rows(config: SunspotOptions, part: float) -> list[Bias]:
    """The comparison for a network trained for a part of its epochs."""
    task = sunspot_forecast(config)
    model = build(config, len(task.columns) * config.lags)
    stop, done = round(part * config.epochs), []
    Training(model, task.updates(model), config).run(done.append, lambda: len(done) >= stop)
    excerpt = task.training_excerpt()
    return bptt.truncation_bias(model, excerpt.x, excerpt.d, bptt.squared_error, k1=K1, k2s=K2)


def main() -> None:
    """Print a table for each cell."""
    print(f"torch {torch.__version__}; k1 = {K1}; cosine and ‖truncated‖ / ‖full‖, medians of seeds 0-4")
    for cell in CELLS:
        config = SunspotOptions(cell=cell)
        print(f"\n{cell:<18}" + "".join(f"{f'k2={k2}':>14}" for k2 in K2))
        for moment, part in MOMENTS.items():
            found = [rows(replace(config, seed=seed), part) for seed in SEEDS]
            cells = []
            for place in range(len(K2)):
                cosine = statistics.median(seed[place].cosine for seed in found)
                ratio = statistics.median(seed[place].norm_ratio for seed in found)
                cells.append(f"{cosine:>8.3f} {ratio:>5.2f}")
            print(f"{moment:<18}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
