"""Speakers recognised by two vowels: accuracy on JapaneseVowels, seeds 0-4.

    pip install aeon; python benchmarks/vowels.py [PATH_TO_JapaneseVowels_TRAIN.ts]      (a minute)

270 training and 370 test sequences of 7 to 29 steps of 12 numbers, 9 speakers (Kudo, Toyama & Shimbo 1999), as the
package aeon carries them. One-nearest-neighbour with dynamic time warping has 0.949 (Bagnall et al. 2018). A line
for each recipe: the command's defaults, and some of its options.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import tempfile
from pathlib import Path

from bptt.training.loop import Training
from bptt.training.network import network_of
from bptt.training.options.classify import ClassifyOptions
from bptt.training.tasks.classify import classify_task

RECIPES = {
    "default (GRU, last state)": {},
    "LSTM": {"cell": "lstm"},
    "Elman": {"cell": "elman"},
    "GRU, mean of the states": {"readout": "mean"},
    "GRU, noise 0.3": {"noise": 0.3},
    "GRU, mean, noise 0.3": {"readout": "mean", "noise": 0.3},
}


def found() -> Path:
    """The training file in the installed package, or the one named."""
    if len(sys.argv) > 1:
        return Path(sys.argv[1])
    spec = importlib.util.find_spec("aeon")
    if spec is None or spec.origin is None:
        sys.exit("the package aeon is not installed; it carries the data: pip install aeon")
    return Path(spec.origin).parent / "datasets" / "data" / "JapaneseVowels" / "JapaneseVowels_TRAIN.ts"


def main() -> None:
    """Print the accuracy of each recipe."""
    path = found()
    for name, choices in RECIPES.items():
        accuracies = []
        for seed in range(5):
            config = ClassifyOptions(data=path, seed=seed, **choices)
            task = classify_task(config)
            model = network_of(config, task.columns, task.labels)
            Training(model, task.updates(model), config).run()
            with tempfile.TemporaryDirectory() as folder:
                judged = task.judge(model, "ours", Path(folder) / task.output)
            accuracies.append(judged.scores["ours"]["test"])
        mean, shown = statistics.mean(accuracies), "  ".join(f"{one:.3f}" for one in accuracies)
        print(f"{name:<28} mean {mean:.4f}   {shown}", flush=True)


if __name__ == "__main__":
    main()
