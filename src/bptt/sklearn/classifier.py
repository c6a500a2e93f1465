"""RecurrentClassifier: a class a sequence, or one a step."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted
from torch.nn.functional import cross_entropy

from .base import RecurrentEstimator
from .sequences import Sequences, Targets, read_sequences, read_targets


class RecurrentClassifier(ClassifierMixin, RecurrentEstimator):
    """A recurrent network that tells the class of a sequence, from its last step, or of each step.

    Learned by Adam on the cross entropy, taken back through time over all steps, or by truncated BPTT every k1
    steps over k2.

    Args and X: as `RecurrentRegressor`.

    y is (n_samples,), one label a sequence, or (n_samples, n_steps), one a step, a list of arrays where X is one;
    labels are integers, text or booleans.

    Attributes:
        classes_: the labels, sorted.
        model_, n_features_in_, loss_curve_, validation_curve_, n_iter_, per_step_: as `RecurrentRegressor`.

    Raises:
        ValueError, TypeError: at `fit`, for parameters, X and y, by what came and what was wanted.

    >>> X = np.random.RandomState(0).randn(60, 6, 2)
    >>> y = np.where(X[:, -2, 0] > 0, "up", "down")
    >>> classifier = RecurrentClassifier(hidden=8, epochs=40, lr=0.03, random_state=0).fit(X, y)
    >>> classifier.predict(X[:2]).shape, classifier.predict_proba(X[:2]).shape, classifier.score(X, y) > 0.9
    ((2,), (2, 2), True)
    """

    classes_: np.ndarray
    per_step_: bool

    def fit(self, X: Any, y: Any) -> Self:
        """Learn anew from whole sequences.

        Args:
            X, y: as the class says.
        """
        self._check_parameters()
        sequences, targets = self._read(X, y)
        classes = _classes_of(targets)
        self._learn(sequences, _encoded(targets, classes), len(classes), cross_entropy)
        self.classes_, self.per_step_ = classes, targets.per_step
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Learn from one more piece, as `RecurrentRegressor.partial_fit`.

        Args:
            X, y: as the class says.
            classes: all labels that may come; needed at the first call, if not all are in its y. Default None.
        """
        self._check_parameters()
        sequences, targets = self._read(X, y)
        own = getattr(self, "classes_", None)
        given = None if classes is None else np.unique(np.asarray(classes))
        if own is None:
            own = _classes_of(targets) if given is None else given
        elif given is not None and not np.array_equal(own, given):
            raise ValueError(f"classes are {given.tolist()}, but those of the calls before are {own.tolist()}")
        self._learn_more(sequences, _encoded(targets, own), len(own), cross_entropy)
        self.classes_, self.per_step_ = own, targets.per_step
        return self

    def predict(self, X: Any) -> Any:
        """The most probable class, (n_samples,), or (n_samples, n_steps): a list of arrays where X is one."""
        check_is_fitted(self)
        found = self.predict_proba(X)
        if isinstance(found, list):
            return [self.classes_[p.argmax(-1)] for p in found]
        return self.classes_[found.argmax(-1)]

    def predict_proba(self, X: Any) -> Any:
        """Probabilities in the order of `classes_`, (n_samples, n_classes), or (n_samples, n_steps, n_classes)."""
        found, sequences = self._outputs(X)
        if not self.per_step_:
            return _softmax(np.stack([y[-1] for y in found]))
        probabilities = [_softmax(y) for y in found]
        return probabilities if sequences.ragged else np.stack(probabilities)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy, of all steps together where there is a class a step.

        Args:
            X, y: as the class says.
            sample_weight: (n_samples,) of each sequence. Default the same for all.
        """
        found, (_, targets) = self.predict(X), self._read(X, y)
        lengths = [len(target) for target in targets.each]
        weights = None if sample_weight is None else np.repeat(np.asarray(sample_weight), lengths)
        predicted = np.concatenate([np.reshape(part, -1) for part in found])
        return float(accuracy_score(np.concatenate(targets.each), predicted, sample_weight=weights))

    def _read(self, X: Any, y: Any) -> tuple[Sequences, Targets]:
        def checked(values: Any) -> np.ndarray:
            labels = np.asarray(values)
            assert_all_finite(labels, input_name="y")
            check_classification_targets(labels.reshape(-1))
            return labels

        sequences = read_sequences(X, type(self).__name__)
        return sequences, read_targets(y, sequences, checked, outputs=False)


def _classes_of(targets: Targets) -> np.ndarray:
    classes = np.asarray(unique_labels(np.concatenate(targets.each)))
    if len(classes) < 2:
        raise ValueError(f"y has one class, {classes.tolist()}; a classifier needs at least 2 classes")
    return classes


def _encoded(targets: Targets, classes: np.ndarray) -> Targets:
    unknown = np.setdiff1d(np.concatenate(targets.each), classes)
    if len(unknown):
        raise ValueError(f"y has {unknown.tolist()}, which are none of the classes {classes.tolist()}")
    return targets._replace(each=[np.searchsorted(classes, labels) for labels in targets.each])


def _softmax(y: np.ndarray) -> np.ndarray:
    powers = np.exp(y - y.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)
