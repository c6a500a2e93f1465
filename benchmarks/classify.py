"""Classification by the command's defaults: accuracy on public sets, and the cross-validation that chose them.

    pip install aeon
    python benchmarks/classify.py               each set's test accuracy, seeds 0-2        (15 minutes on one core)
    python benchmarks/classify.py --choose      recipes by cross-validation within training sets alone    (an hour)
    python benchmarks/classify.py --stop        early stopping by a validation set, within training sets alone
    python benchmarks/classify.py SET ...       only some sets

The sets are those that the package aeon carries, of 7 to 1460 steps, 1 to 12 columns and 2 to 10 classes; some
have sequences of several lengths (the UEA and UCR archives, Bagnall et al. 2018, Dau et al. 2019).
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bptt.training.batches import logits_of
from bptt.training.loop import Training
from bptt.training.network import network_of
from bptt.training.options.classify import ClassifyOptions
from bptt.training.tasks import cross_validation
from bptt.training.tasks.classify import Classify
from bptt.training.tasks.sequence_splits import classify_task, stratified_split

SETS = ("GunPoint", "ItalyPowerDemand", "BasicMotions", "JapaneseVowels", "ArrowHead")
SETS += ("PickupGestureWiimoteZ", "OSULeaf", "ACSF1", "UnitTest")
RECIPES = {
    "defaults": {},
    "no noise": {"noise": 0.0},
    "noise 0.6": {"noise": 0.6},
    "learning rate 0.01": {"lr": 0.01},
    "128 units": {"hidden": 128},
    "LSTM": {"cell": "lstm"},
    "2 layers": {"layers": 2},
    "weight decay 1e-3": {"weight_decay": 1e-3},
}


def folder() -> Path:
    """Where the installed package aeon keeps its data sets."""
    spec = importlib.util.find_spec("aeon")
    if spec is None or spec.origin is None:
        sys.exit("the package aeon is not installed; it carries the data: pip install aeon")
    return Path(spec.origin).parent / "datasets" / "data"


def task_of(name: str, **choices: object) -> Classify:
    """A set as the command reads it."""
    path = folder() / name / f"{name}_TRAIN.ts"
    return classify_task(ClassifyOptions(data=path, missing="interpolate", **choices))  # pyright: ignore


def on_cpu(model: object) -> torch.device:
    """Where everything is trained here."""
    return torch.device("cpu")


def choose(names: list[str]) -> None:
    """A line for each recipe, stride and read-out: accuracy in cross-validation by trainings of full length."""
    cross_validation.TRIED = cross_validation.UPDATES
    print(f"{'':<50}", *(f"{name[:8]:>8}" for name in names), "    mean")
    for recipe, choices in RECIPES.items():
        tasks = [task_of(name, **choices) for name in names]
        for number, (steps, readout) in enumerate(
            (steps, r) for steps in cross_validation.STEPS for r in cross_validation.READOUTS
        ):
            found = []
            for task in tasks:
                config = cross_validation.candidates(task)
                config = config[number % len(config)]  # of a short set each stride is 1
                found.append(cross_validation.cross_validate(replace(task, config=config), on_cpu).accuracy)
            name = f"{recipe}, {steps} steps, {readout}"
            mean = statistics.mean(found)
            print(f"{name:<50}", *(f"{one:8.3f}" for one in found), f"{mean:8.4f}", flush=True)


def stop(names: list[str]) -> None:
    """A line for each set: accuracy on folds of the training set by a training on the others, and by one on four
    fifths of these that is stopped by its loss on the last fifth.
    """
    print(f"{'':<22}{'all':>8}{'stopped':>10}")
    for name in names:
        task, right = task_of(name, readout="both"), torch.zeros(2)
        task = replace(task, config=cross_validation.candidates(task)[-1])
        folds = cross_validation.stratified_folds(task.truth("training"), seed=0)
        for fold in folds.unique():
            known, held = (
                [task.splits["training"][i] for i in (folds == fold).eq(same).nonzero()] for same in (0, 1)
            )
            learned, validation = stratified_split(task.data, known, 0.2, np.random.default_rng(0))
            stopped = replace(task.config, validation=0.2, patience=task.config.epochs // 5)
            for place, (config, splits) in enumerate(
                (
                    (task.config, {"training": known}),
                    (stopped, {"training": learned, "validation": validation}),
                )
            ):
                own = replace(task, config=config, splits={**splits, "test": held})
                model = network_of(config, own)
                Training(model, own.updates(model), config).run()
                right[place] += (logits_of(model, own.inputs("test"), config).argmax(1) == own.truth("test")).sum()
        shares = (right / len(folds)).tolist()
        print(f"{name:<22}{shares[0]:8.3f}{shares[1]:10.3f}", flush=True)


def test(names: list[str]) -> None:
    """A line for each set: the test accuracy of three seeds, the baselines', and the seconds of a run."""
    for name in names:
        accuracies, baselines, began = [], [], time.monotonic()
        for seed in range(3):
            task = task_of(name, seed=seed)
            task = replace(task, config=cross_validation.choose_options(task, on_cpu, lambda line: None))
            model = network_of(task.config, task)
            Training(model, task.updates(model), task.config).run()
            with tempfile.TemporaryDirectory() as place:
                ours, *baselines = task.judge(task.whole(model), "ours", Path(place) / task.output).scores.items()
            accuracies.append(ours[1]["test"])
        shown = " ".join(f"{one:.3f}" for one in accuracies)
        beside = ", ".join(f"{baseline} {found['test']:.3f}" for baseline, found in baselines)
        seconds = (time.monotonic() - began) / 3
        median = statistics.median(accuracies)
        print(f"{name:<22} median {median:.3f}  ({shown})  {seconds:4.0f} s   {beside}", flush=True)


def main() -> None:
    """Print the table asked for."""
    torch.set_num_threads(1)
    names = [name for name in sys.argv[1:] if not name.startswith("-")] or list(SETS)
    (choose if "--choose" in sys.argv else stop if "--stop" in sys.argv else test)(names)


if __name__ == "__main__":
    main()
