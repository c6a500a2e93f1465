"""The choice of what a classification's options leave open: batch and epochs by rule, stride and read-out tried.

Cross-validation trains a network on a part of the training sequences, for half of the updates, and classifies the
rest of them. Test and validation sequences take no part in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import TrainingDiverged
from ...networks import SequenceModel
from ..batches import Minibatches, logits_of
from ..device import move_model
from ..loop import Training
from ..network import network_of
from ..options.classify import ClassifyOptions, ReadoutName
from .classify import Classify, inputs_of

UPDATES = 1500  # of a training, at least
PASSES = 30  # over the training set, at least
TRIED = 750  # updates of a training in cross-validation
FEW = 100  # sequences, up to which there are more folds
FOLDS, FOLDS_OF_FEW = 3, 5  # each sequence is classified by a network that was trained on the other folds
MOST = 300  # sequences that take part in it
STEPS = (64, 32)  # of the longest sequence, which the strides tried lead to
READOUTS: tuple[ReadoutName, ...] = ("last", "mean", "both")


class CrossValidated(NamedTuple):
    """The result of some options in cross-validation."""

    config: ClassifyOptions
    accuracy: float
    loss: float  # cross entropy; decides between the same accuracies

    def __str__(self) -> str:
        return f"--readout {self.config.readout} --stride {self.config.stride} {self.accuracy:.3f}"


def candidates(task: Classify) -> list[ClassifyOptions]:
    """The options with everything filled in, in each way that is tried."""
    config, count = task.config, len(task.splits["training"])
    batch = config.batch or max(1, min(32, count // 6))
    epochs = config.epochs or max(PASSES, math.ceil(UPDATES / math.ceil(count / batch)))
    longest = max(len(task.data.sequences[place]) for place in task.splits["training"])
    strides = [config.stride] if config.stride else sorted({math.ceil(longest / steps) for steps in STEPS})
    readouts = [config.readout] if config.readout else READOUTS
    filled = replace(config, batch=batch, epochs=epochs)
    return [replace(filled, stride=stride, readout=readout) for stride in strides for readout in readouts]


def choose_options(
    task: Classify, device_for: Callable[[SequenceModel], torch.device], say: Callable[[str], None]
) -> ClassifyOptions:
    """The options with those that were left open filled in as does best in cross-validation.

    Args:
        device_for: the device to train a network on.
        say: is called with a line on what is tried, and one on the result.
    """
    choices = candidates(task)
    if len(choices) == 1 or len(task.splits["training"]) < FOLDS_OF_FEW:
        return choices[0]
    count = min(MOST, len(task.splits["training"]))
    say(f"trying {len(choices)} read-outs and strides on parts of {count} training sequences")
    found = [cross_validate(replace(task, config=config), device_for) for config in choices]
    best, *others = sorted(found, key=lambda one: (-one.accuracy, one.loss))
    say(f"chosen by cross-validation: {best} of sequences right (others: {', '.join(map(str, others))})")
    return best.config


def cross_validate(task: Classify, device_for: Callable[[SequenceModel], torch.device]) -> CrossValidated:
    """Cross-validate the task's options; where a training diverges, the accuracy is 0."""
    config = task.config
    places = _some(task)
    x = inputs_of(task.data, task.scaling, config, [task.splits["training"][place] for place in places.tolist()])
    truth = task.truth("training")[places]
    found = torch.zeros(len(places), len(task.labels), dtype=torch.float32, device="cpu")
    folds = stratified_folds(truth, config.seed)
    for fold in folds.unique():
        learned, held = (folds != fold).nonzero()[:, 0], (folds == fold).nonzero()[:, 0]
        epochs = math.ceil(TRIED / math.ceil(len(learned) / config.stretches))
        own = replace(config, epochs=min(epochs, config.epochs), patience=None)
        model = network_of(own, task)
        move_model(model, device_for(model))
        rows = [x[place] for place in learned.tolist()]
        updates = Minibatches(model, rows, truth[learned], own, lambda: None, task.weights())
        try:
            Training(model, updates, own).run()
        except TrainingDiverged:
            return CrossValidated(config, 0.0, math.inf)
        found[held] = logits_of(model, [x[place] for place in held.tolist()], own)
    right = (found.argmax(1) == truth).double().mean().item()
    return CrossValidated(config, right, nn.functional.cross_entropy(found, truth).item())


def _some(task: Classify) -> Tensor:
    """The places among the training sequences of those that take part, drawn by the seed."""
    count = len(task.splits["training"])
    order = np.random.default_rng([task.config.seed, 0, 1]).permutation(count)
    return torch.from_numpy(np.sort(order[:MOST]))


def stratified_folds(truth: Tensor, seed: int) -> Tensor:
    """The fold of each sequence, those of a class spread evenly over the folds."""
    order = torch.from_numpy(np.random.default_rng([seed, 0, 2]).permutation(len(truth)))
    order = order[truth[order].argsort(stable=True)]
    folds = torch.empty(len(truth), dtype=torch.long, device="cpu")
    folds[order] = torch.arange(len(truth), device="cpu") % (FOLDS_OF_FEW if len(truth) <= FEW else FOLDS)
    return folds
