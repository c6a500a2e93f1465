"""RecurrentRegressor: numbers, one a sequence or one a step."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from torch.nn.functional import mse_loss

from .base import RecurrentEstimator
from .sequences import Sequences, Targets, numbers, read_sequences, read_targets


class RecurrentRegressor(RegressorMixin, RecurrentEstimator):
    """A recurrent network that predicts numbers: one a sequence, from its last step, or one a step.

    Learned by Adam on the mean square error, taken back through time over all steps, or by truncated BPTT every k1
    steps over k2. Targets far from mean 0 and variance 1 are learned slowly: see
    `sklearn.compose.TransformedTargetRegressor`.

    Args:
        cell: "elman", "gru" or "lstm". Default "gru".
        hidden: H, units of each layer. Default 32.
        layers: recurrent layers. Default 1.
        activation: of the Elman cell: "tanh", "relu", "sigmoid", "softplus", "gelu" or "identity". Default "tanh".
        leak: of the Elman cell, in (0, 1]: how much of the state is new at each step. Default 1.
        epochs: passes over the training sequences. Default 100.
        lr: Adam's learning rate. Default 0.01.
        clip: largest norm of an update's gradient; None for any. Default 1.
        batch_size: sequences of an update. Default 32.
        k1: steps between two updates; None for one a batch, taken back over all steps. Default None.
        k2: steps an error goes back, at least k1. Default k1.
        validation_fraction: part of the sequences, drawn at random, that is not learned from and chooses the best
            epoch; 0 keeps the last epoch. Default 0.
        n_iter_no_change: epochs without a better validation loss after which training stops. Default 10.
        random_state: an int, or a numpy RandomState, for the same weights and order again; None for others each
            time. No global generator is used or changed. Default None.
        verbose: whether each epoch's loss is printed. Default False.

    X is (n_samples, n_steps, n_features); (n_samples, n_steps) for one feature a step; or a list of arrays
    (n_steps, n_features) of different lengths. y is (n_samples,), one a sequence, or one a step: (n_samples,
    n_steps) or (n_samples, n_steps, n_outputs), a list of arrays where X is one. X in float32 is computed in
    float32, else in float64.

    Attributes:
        model_: the `bptt.SequenceModel`.
        n_features_in_: features of a step.
        loss_curve_, validation_curve_: the loss of each epoch; of each piece after `partial_fit`.
        n_iter_: epochs made; pieces after `partial_fit`.
        per_step_: whether it predicts at each step.

    Raises:
        ValueError, TypeError: at `fit`, for parameters, X and y, by what came and what was wanted.

    >>> X = np.random.RandomState(0).randn(40, 6, 2)
    >>> y = X[:, -1, 0] - X[:, -2, 1]
    >>> regressor = RecurrentRegressor(hidden=8, epochs=60, lr=0.02, random_state=0).fit(X, y)
    >>> regressor.predict(X).shape, regressor.score(X, y) > 0.9
    ((40,), True)
    """

    per_step_: bool

    def fit(self, X: Any, y: Any) -> Self:
        """Learn anew from whole sequences.

        Args:
            X, y: as the class says.
        """
        self._check_parameters()
        sequences, targets, several = self._read(X, y)
        self._learn(sequences, targets, targets.each[0].shape[1], mse_loss)
        self.per_step_, self._several = targets.per_step, several
        return self

    def partial_fit(self, X: Any, y: Any) -> Self:
        """Learn from one more piece, by one pass of truncated BPTT over it.

        With a target a step, X are the next steps of the same n_samples streams, in the same order: the state is
        carried from piece to piece, and an error goes back over k2 steps, into pieces before as well. Where the
        pieces' lengths are multiples of k1, this is `bptt.truncated` over the whole stream. With one target a
        sequence, each sequence stands for itself.

        Args:
            X, y: as the class says; the streams' pieces are of one length.
        """
        self._check_parameters()
        sequences, targets, several = self._read(X, y)
        outputs = targets.each[0].shape[1]
        self._learn_more(sequences, targets, outputs, mse_loss)
        self.per_step_, self._several = targets.per_step, several
        return self

    def predict(self, X: Any) -> Any:
        """What is predicted for sequences, each walked from a zero state.

        Returns:
            laid out as y was, (n_samples,), (n_samples, n_steps) or (n_samples, n_steps, n_outputs), or a list of
            arrays where X is one and there is a prediction a step.
        """
        found, sequences = self._outputs(X)
        if not self.per_step_:
            return np.array([y[-1, 0] for y in found])
        found = found if self._several else [y[:, 0] for y in found]
        return found if sequences.ragged else np.stack(found)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R², of all steps together where there is a prediction a step.

        Args:
            X, y: as the class says.
            sample_weight: (n_samples,) of each sequence. Default the same for all.
        """
        found, (_, targets, _) = self.predict(X), self._read(X, y)
        lengths = [len(target) for target in targets.each]
        weights = None if sample_weight is None else np.repeat(np.asarray(sample_weight), lengths)
        outputs = targets.each[0].shape[1]
        predicted = np.concatenate([np.reshape(part, (-1, outputs)) for part in found])
        return float(r2_score(np.concatenate(targets.each), predicted, sample_weight=weights))

    def _read(self, X: Any, y: Any) -> tuple[Sequences, Targets, bool]:
        """X, y as (T_i, O) or (1, O) a sequence, and whether y has an axis of outputs."""
        sequences = read_sequences(X, type(self).__name__)
        dtype = sequences.each[0].dtype

        def checked(values: Any) -> np.ndarray:
            return numbers(values, "y", dtype=dtype, ensure_2d=False, allow_nd=True)

        targets = read_targets(y, sequences, checked, outputs=True)
        several = targets.each[0].ndim == 2
        return (
            sequences,
            targets if several else targets._replace(each=[d[:, None] for d in targets.each]),
            several,
        )
