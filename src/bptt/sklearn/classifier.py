"""RecurrentClassifier predicts one class a sequence, or one a step."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import assert_all_finite
from sklearn.utils.extmath import softmax
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from torch.nn.functional import cross_entropy

from ..training.batches import balanced
from .base import Goal, unchanged_by_errors
from .samples import Samples
from .sequences import SequenceEstimator
from .targets import Targets, read_targets


@dataclass(eq=False, repr=False, kw_only=True)
class RecurrentClassifier(ClassifierMixin, SequenceEstimator):
    """A recurrent network that predicts the class of a sequence, from its last step, or of each step.

    Trained by Adam on the cross entropy, backpropagated through time over all steps, or by truncated BPTT every k1
    steps over k2.

    Args:
        class_weight: the weight of an error by its class: "balanced", so that all classes weigh the same in total;
            a dict {label: weight}, 1 where it has none; or None for 1. Times sample_weight. Default None.

    The other arguments, X and sample_weight are those of `RecurrentRegressor`.

    y is (n_samples,), one label a sequence, or (n_samples, n_steps), one a step, a list of arrays where X is one;
    labels are integers, text or booleans.

    Attributes:
        classes_: the labels, sorted.
        model_, n_features_in_, feature_names_in_, loss_curve_, validation_curve_, n_iter_, per_step_: as
            `RecurrentRegressor`.

    Raises:
        ValueError, TypeError: at `fit`, for parameters, X and y that cannot be used; the message says why.

    >>> X = np.random.RandomState(0).randn(60, 6, 2)
    >>> y = np.where(X[:, -2, 0] > 0, "up", "down")
    >>> classifier = RecurrentClassifier(hidden=8, epochs=40, lr=0.03, random_state=0).fit(X, y)
    >>> classifier.predict(X[:2]).shape, classifier.predict_proba(X[:2]).shape, classifier.score(X, y) > 0.9
    ((2,), (2, 2), True)
    """

    class_weight: Any = None
    classes_: np.ndarray = field(init=False)

    @unchanged_by_errors
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train on one more piece, as `RecurrentRegressor.partial_fit`.

        Args:
            X, y, sample_weight: as the class says.
            classes: all labels; needed at the first call, if not all are in its y. Default None.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} needs all of y at once, which partial_fit does not see; pass "
                "a dict {label: weight}"
            )
        own = getattr(self, "classes_", None)
        if classes is not None:
            classes = np.unique(np.asarray(classes))
            if own is not None and not np.array_equal(own, classes):
                raise ValueError(
                    f"classes are {classes.tolist()}, but those of the calls before are {own.tolist()}"
                )
        return self._fit_piece(X, y, sample_weight, classes if own is None else own)

    def predict(self, X: Any) -> Any:
        """The most probable class, (n_samples,), or (n_samples, n_steps): a list of arrays where X is one."""
        return self._predicted(X, lambda y: self.classes_[y.argmax(-1)])

    def predict_proba(self, X: Any) -> Any:
        """Probabilities in the order of `classes_`, (n_samples, n_classes), or (n_samples, n_steps, n_classes)."""
        return self._predicted(X, softmax)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy, of all steps together where there is a class a step.

        Args:
            X, y: as the class says.
            sample_weight: (n_samples,) of each sequence. Default the same for all.
        """
        labels, outputs, weights = self._compared(X, y, sample_weight)
        return float(accuracy_score(labels, self.classes_[outputs.argmax(-1)], sample_weight=weights))

    def _goal(self, targets: Targets, classes: Any = None) -> Goal:
        classes = _classes_of(targets) if classes is None else classes
        encoded = _weighed(_encoded(targets, classes), classes, self.class_weight)
        return Goal(encoded, len(classes), cross_entropy, {"classes_": classes})

    def _read(self, y: Any, sequences: Samples, choice: str, sample_weight: Any) -> Targets:
        return read_targets(y, sequences, check_labels, False, choice, sample_weight)


def check_labels(values: Any, name: str) -> np.ndarray:
    """Integers, text or booleans as an array of labels.

    Raises:
        ValueError: they are complex, missing, not finite, of several kinds, or numbers that are no classes.
    """
    labels = np.asarray(values)
    if labels.dtype.kind == "c":
        raise ValueError(f"{name} is complex. Complex data not supported; pass integers, text or booleans")
    if labels.dtype.kind in "OUS":
        _check_words(np.asarray(values, dtype=object).ravel(), name)
    assert_all_finite(labels, input_name=name)
    check_classification_targets(labels.reshape(-1))
    return labels


def _check_words(labels: np.ndarray, name: str) -> None:
    """Labels are there, and of one kind: no text beside numbers."""
    for place, label in enumerate(labels):
        if label is None:
            raise ValueError(f"{name}[{place}] is None; every target needs a label")
        if isinstance(label, str) != isinstance(labels[0], str):
            raise ValueError(
                f"{name} mixes text with other labels, {labels[0]!r} and {label!r}; pass labels of one kind"
            )


def _weighed(targets: Targets, classes: np.ndarray, class_weight: Any) -> Targets:
    """The targets, class numbers, with the weight of each one's class in theirs.

    Raises:
        ValueError, TypeError: class_weight is neither None, "balanced" nor a dict of labels and weights.
    """
    if class_weight is None:
        return targets
    if isinstance(class_weight, dict):
        unknown = [label for label in class_weight if label not in classes]
        if unknown:
            raise ValueError(f"class_weight has {unknown}, which are none of the classes {classes.tolist()}")
        of_class = np.array([class_weight.get(label, 1) for label in classes.tolist()], object)
        if not all(isinstance(weight, Real) for weight in of_class):
            raise TypeError(f"class_weight must have numbers for weights, got {class_weight}")
        of_class = of_class.astype(float)
    elif isinstance(class_weight, str) and class_weight == "balanced":
        numbers, weights = np.concatenate(targets.each), np.concatenate(targets.weights)
        of_class = balanced(torch.from_numpy(np.bincount(numbers, weights, len(classes)))).numpy()
    else:
        raise ValueError(f"class_weight must be None, 'balanced' or a dict of labels, got {class_weight!r}")
    if not (np.isfinite(of_class).all() and (of_class >= 0).all()):
        raise ValueError(f"class_weight must have finite weights of at least 0, got {class_weight}")
    return targets.times([of_class[numbers] for numbers in targets.each])


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
