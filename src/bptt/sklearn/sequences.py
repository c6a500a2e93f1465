"""Base class of the estimators that learn from whole sequences: a target for each, or for each of its steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from .base import Goal, RecurrentEstimator, unchanged_by_errors
from .batch import Batch, batch_of
from .samples import Samples, samples_for
from .targets import Targets, normalised

TOGETHER = 256  # sequences of a batch in prediction


@dataclass(eq=False, repr=False, kw_only=True)
class SequenceEstimator(RecurrentEstimator):
    """Training on sequences and their scores; a subclass checks y and chooses the loss."""

    targets: str = "auto"
    per_step_: bool = field(init=False)

    @abstractmethod
    def _read(self, y: Any, sequences: Samples, choice: str, sample_weight: Any) -> Targets:
        """y as one array a sequence, checked; `choice` as `targets`."""

    @abstractmethod
    def _goal(self, targets: Targets, classes: Any = None) -> Goal:
        """The targets as the network is trained on them; `classes` are all labels, if they are known."""

    @unchanged_by_errors
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new network on whole sequences.

        Args:
            X, y, sample_weight: as the class says.
        """
        self._check_parameters()
        sequences = samples_for(self, X, fresh=True)
        goal = self._goal(self._read(y, sequences, self.targets, sample_weight))
        self._learn(sequences, goal)
        self.per_step_ = goal.targets.per_step
        return self

    def _fit_piece(self, X: Any, y: Any, sample_weight: Any, classes: Any = None) -> Self:
        """`partial_fit` of the subclasses."""
        self._check_parameters()
        sequences = samples_for(self, X, fresh=not hasattr(self, "model_"))
        goal = self._goal(self._read(y, sequences, self._known_targets(), sample_weight), classes)
        self._learn_more(sequences, goal)
        self.per_step_ = goal.targets.per_step
        return self

    def _predicted(self, X: Any, of_outputs: Callable[[np.ndarray], np.ndarray]) -> Any:
        """A function of each sequence's outputs: of its last step, or of all; a list where X is one."""
        outputs, sequences = self._outputs(X)
        found = [of_outputs(y) for y in outputs]
        if not self.per_step_:
            return np.stack([one[-1] for one in found])
        return found if sequences.ragged else np.stack(found)

    def _compared(self, X: Any, y: Any, sample_weight: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Targets, outputs and weights, (N, ·) each, of all steps together where there is a target a step."""
        found, sequences = self._outputs(X)
        targets = self._read(y, sequences, self._known_targets(), sample_weight)
        outputs = np.concatenate(found if self.per_step_ else [part[-1:] for part in found])
        weights = None if sample_weight is None else np.concatenate(targets.weights)
        return np.concatenate(targets.each), outputs, weights

    def _learn(self, sequences: Samples, goal: Goal) -> None:
        """Draw a network and train it on whole sequences, without those of weight 0."""
        targets = goal.targets
        kept, weights = normalised(targets.weights)
        draw, N = self._draw(), len(kept)
        held = round(float(self.validation_fraction) * N)
        if held == N:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} leaves none of {N} sequences to train on"
            )
        order = kept[draw.permutation(N)] if held else kept

        def batch(places: np.ndarray) -> Batch:
            return batch_of(*([of_each[i] for i in places] for of_each in (sequences.each, targets.each, weights)))

        learned, held_out = order[held:], batch(order[:held]) if held else None
        like = sequences.each[0]
        self._train(lambda numbers: batch(learned[numbers]), len(learned), held_out, goal, draw, like)

    def _outputs(self, X: Any) -> tuple[list[np.ndarray], Samples]:
        """The network's outputs, (T_i, O) a sequence, each from a zero state."""
        check_is_fitted(self)
        sequences = samples_for(self, X, fresh=False)
        self._check_features(sequences)
        order = sorted(range(len(sequences.each)), key=lambda place: -len(sequences.each[place]))
        found: dict[int, np.ndarray] = {}
        for start in range(0, len(order), TOGETHER):
            places = order[start : start + TOGETHER]
            chosen = [sequences.each[place] for place in places]
            batch = batch_of(chosen, [part[:1, 0] for part in chosen]).of(self._dtype)
            with torch.no_grad():
                y = batch.walked_by(self.model_)(batch.x, None)[0].numpy()
            found |= {
                place: y[: len(part), column]
                for column, (place, part) in enumerate(zip(places, chosen, strict=True))
            }
        return [found[place] for place in range(len(order))], sequences

    def _known_targets(self) -> str:
        """Targets for each step or each sequence: as fitted, or else as `targets` says."""
        per_step = getattr(self, "per_step_", None)
        return self.targets if per_step is None else ("sequence", "step")[per_step]
