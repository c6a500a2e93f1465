"""SequenceClassifier predicts the class of a sequence by the recipe of `bptt train --task classify`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted, column_or_1d

from ..errors import UserError
from ..runs.run import Run
from ..runs.train import options_from
from ..training.batches import logits_of
from ..training.config_file import config_of
from ..training.data.frames import IN_MEMORY
from ..training.data.labelled import Labelled
from ..training.loop import Training
from ..training.network import network_of
from ..training.options.choosing import as_keywords
from ..training.options.classify import ClassifyOptions
from ..training.tasks.classify import inputs_of
from ..training.tasks.cross_validation import choose_options
from ..training.tasks.sequence_splits import split_sequences
from .base import unchanged_by_errors
from .classifier import check_labels
from .run_estimator import RunEstimator
from .samples import Samples, samples_for

OF_A_TABLE = {"series": "series", "label": "label"}  # the columns that the options have to name
# options of `bptt.train` about its data, its run folder and where it runs
NOT_TAKEN = {
    *("data", "input", "label", "missing", "series", "task", "test", "time"),
    *("device", "out", "resume", "snapshot", "tensorboard", "workers"),
}


@dataclass(eq=False, repr=False)
class SequenceClassifier(ClassifierMixin, RunEstimator):
    """A recurrent network that predicts the class of a sequence, trained as `bptt train --task classify` does.

    X is standardised, and what is not given is chosen by the training sequences: batch and epochs by their number,
    `stride` and `readout` by cross-validation. With the training sequences of `bptt train` and its options, the
    probabilities are the same to the last digit. All sequences of `fit` are trained on, besides those for
    validation.

    Args:
        cell, hidden, layers, epochs, batch, lr, stride, readout, noise, validation, patience: options of
            `bptt train --task classify`, None for their defaults. Default None.
        options: further options by name, such as {"class_weights": "balanced"}; none about data, device or run
            folder. Default None.
        random_state: the seed; None, or a numpy RandomState, to draw one. Default 0.
        verbose: whether to print what is tried and each epoch's loss. Default False.

    X is (n_samples, n_steps, n_features); (n_samples, n_steps) for one feature a step; or a list of arrays or
    frames (n_steps, n_features) of different lengths. y is (n_samples,): integers, text or booleans.

    Attributes:
        classes_: the labels, sorted.
        run_: the `bptt.Run`, for diagnosis, explanation and export.
        model_, loss_curve_, n_iter_: its model, the training loss of each epoch, and their number.
        n_features_in_: features of a step.
        feature_names_in_: the columns of X, where it has text for names: frames.

    Raises:
        ValueError, TypeError: at `fit`, for parameters, X and y that cannot be used; the message says why.

    >>> X = np.sin(np.arange(12) * np.repeat([0.5, 1.0], 20)[:, None] + np.arange(40)[:, None])
    >>> y = np.repeat(["slow", "fast"], 20)
    >>> classifier = SequenceClassifier(hidden=8, epochs=40, stride=1, readout="last").fit(X[::2], y[::2])
    >>> classifier.predict_proba(X).shape, classifier.score(X[1::2], y[1::2]) > 0.9
    ((40, 2), True)
    """

    cell: str | None = None
    _: KW_ONLY
    batch: int | None = None
    stride: int | None = None
    readout: str | None = None
    noise: float | None = None
    patience: int | None = None
    classes_: np.ndarray = field(init=False)

    @unchanged_by_errors
    def fit(self, X: Any, y: Any) -> Self:
        """Train on labelled sequences.

        Args:
            X, y: as the class says.
        """
        sequences = samples_for(self, X, fresh=True)
        labels = _labels_of(y, len(sequences.each))
        classes, numbers = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y has one class, {classes.tolist()}; a classifier needs at least 2 classes")
        names = [str(label) for label in classes.tolist()]
        try:
            data = _labelled(sequences, names, [names[number] for number in numbers])
            run = self._trained(data)
        except UserError as error:
            raise ValueError(as_keywords(str(error))) from error
        self._keep(run, len(data.columns))
        self.classes_ = classes
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each sequence, (n_samples,)."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities in the order of `classes_`, (n_samples, n_classes)."""
        check_is_fitted(self)
        data, config = _labelled(samples_for(self, X, fresh=False)), self.run_.config
        if len(data.columns) != self.n_features_in_:
            raise ValueError(
                f"X has {len(data.columns)} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input at each step"
            )
        assert isinstance(config, ClassifyOptions)
        return logits_of(self.model_, inputs_of(data, self.run_.scaling, config), config).softmax(-1).numpy()

    def _trained(self, data: Labelled) -> Run:
        """The run of a training on labelled sequences."""
        if not_taken := NOT_TAKEN.intersection(self.options or {}):
            raise ValueError(
                f"options has {min(not_taken)!r}, which {type(self).__name__} does not take: it trains on X and y "
                "on the CPU and writes no run folder"
            )
        config = options_from(Path(IN_MEMORY), self._choices() | OF_A_TABLE)
        assert isinstance(config, ClassifyOptions)
        config.check()
        tell = print if self.verbose else lambda line: None
        task = split_sequences(data, [], config)
        config = choose_options(task, lambda model: torch.device("cpu"), tell)
        task = replace(task, config=config)
        model = network_of(config, task)
        training = Training(model, task.updates(model), config)
        training.run(lambda epoch: tell(f"epoch {epoch.epoch}: loss {epoch.loss:.6g}"))
        lines = [{"event": "epoch", **epoch._asdict()} for epoch in training.epochs]
        described = vars(config_of(config, task, {}))
        return Run(**described, folder=None, model=model, intervals=None, task_at_hand=task, lines=lines)


def _labels_of(y: Any, count: int) -> np.ndarray:
    """One label for each of so many sequences."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    labels = column_or_1d(check_labels(y, "y"), warn=True)
    if len(labels) != count:
        raise ValueError(f"X has {count} sequences and y has {len(labels)} labels; each sequence needs its own")
    return labels


def _labelled(sequences: Samples, classes: list[str] | None = None, labels: list[str] | None = None) -> Labelled:
    """Sequences with their labels, where these are known."""
    count, width = len(sequences.each), sequences.each[0].shape[1]
    each = [x.astype(np.float64) for x in sequences.each]
    columns = [f"x{place + 1}" for place in range(width)]
    names = [str(place + 1) for place in range(count)]
    return Labelled("X", columns, names, each, [*(labels or [None] * count)], classes or [])
