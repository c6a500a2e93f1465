"""RecurrentRegressor predicts numbers, one a sequence or one a step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import Tags
from torch.nn.functional import mse_loss

from .arrays import check_numbers
from .base import Goal, unchanged_by_errors
from .samples import Samples
from .sequences import SequenceEstimator
from .targets import Targets, read_targets


@dataclass(eq=False, repr=False, kw_only=True)
class RecurrentRegressor(RegressorMixin, SequenceEstimator):
    """A recurrent network that predicts numbers: one a sequence, from its last step, or one a step.

    Trained by Adam on the mean square error, backpropagated through time over all steps, or by truncated BPTT
    every k1 steps over k2. Targets far from mean 0 and variance 1 are learned slowly: see
    `sklearn.compose.TransformedTargetRegressor`.

    Args:
        cell: "elman", "gru" or "lstm". Default "gru".
        hidden: H, units of each layer. Default 32.
        layers: recurrent layers. Default 1.
        activation: of the Elman cell: "tanh", "relu", "sigmoid", "softplus", "gelu" or "identity". Default "tanh".
        leak: leak rate of the Elman cell, in (0, 1]; 1 is the plain network. Default 1.
        epochs: passes over the training sequences. Default 100.
        lr: Adam's learning rate. Default 0.01.
        clip: gradients of a larger norm are scaled down to it; None for no clipping. Default 1.
        batch_size: sequences of an update. Default 32.
        k1: steps between two updates; None for one a batch, backpropagated over all steps. Default None.
        k2: steps an error goes back, at least k1. Default k1.
        validation_fraction: share of the sequences, drawn at random, kept as a validation set, which chooses the
            best epoch; 0 keeps the last epoch. Default 0.
        n_iter_no_change: epochs without a better validation loss after which training stops. Default 10.
        targets: "step": y has a target for each step; "sequence": for each sequence; "auto": by its shape. "auto"
            refuses y (n_samples, n_steps), which could be several targets a sequence. Default "auto".
        random_state: an int, or a numpy RandomState, to repeat the weights and the order; None for new ones each
            time. No global generator is used or changed. Default None.
        verbose: whether each epoch's loss is printed. Default False.

    X is (n_samples, n_steps, n_features); (n_samples, n_steps) for one feature a step; or a list of arrays or
    frames (n_steps, n_features) of different lengths, (n_steps,) for one feature. Sequences of different lengths
    are walked packed: a short one costs its own steps. X in float32 is computed in float32, else in float64.

    y is one a sequence, (n_samples,), or several, (n_samples, n_outputs); or one a step, (n_samples, n_steps) with
    targets="step" or (n_samples, n_steps, n_outputs). Where X is a list, y may be one: arrays (n_steps,) or
    (n_steps, n_outputs). sample_weight is (n_samples,), at least 0: in one batch, a weight of 2 is the sequence
    twice, one of 0 leaves it out.

    Attributes:
        model_: the `bptt.SequenceModel`.
        n_features_in_: features of a step.
        feature_names_in_: the columns of X, where it has text for names: frames.
        loss_curve_, validation_curve_: the loss of each epoch; of each piece after `partial_fit`.
        n_iter_: epochs made; pieces after `partial_fit`.
        per_step_: whether it predicts at each step.

    Raises:
        ValueError, TypeError: at `fit`, for parameters, X and y that cannot be used; the message says why.

    >>> X = np.random.RandomState(0).randn(40, 6, 2)
    >>> y = X[:, -1, 0] - X[:, -2, 1]
    >>> regressor = RecurrentRegressor(hidden=8, epochs=60, lr=0.02, random_state=0).fit(X, y)
    >>> regressor.predict(X).shape, regressor.score(X, y) > 0.9
    ((40,), True)
    """

    _several: bool = field(init=False)

    @unchanged_by_errors
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on one more piece, by one pass of truncated BPTT over it.

        With a target a step, X are the next steps of the same n_samples streams, in the same order: the state is
        carried from piece to piece, and an error goes back over k2 steps, into pieces before as well. Where the
        pieces' lengths are multiples of k1, this is `bptt.truncated` over the whole stream. With one target a
        sequence, sequences are independent.

        Args:
            X, y, sample_weight: as the class says; the streams' pieces are of one length. Weights compare the
                sequences of a piece.
        """
        return self._fit_piece(X, y, sample_weight)

    def predict(self, X: Any) -> Any:
        """Predictions for sequences, each walked from a zero state.

        Returns:
            laid out as y was, (n_samples,), (n_samples, n_outputs), (n_samples, n_steps) or (n_samples, n_steps,
            n_outputs), or a list of arrays where X is one and there is a prediction a step.
        """
        return self._predicted(X, lambda y: y if self._several else y[:, 0])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R², of all steps together where there is a prediction a step.

        Args:
            X, y: as the class says.
            sample_weight: (n_samples,) of each sequence. Default the same for all.
        """
        wanted, outputs, weights = self._compared(X, y, sample_weight)
        self._check_outputs(wanted.shape[1])
        return float(r2_score(wanted, outputs, sample_weight=weights))

    def _goal(self, targets: Targets, classes: Any = None) -> Goal:
        return Goal(targets, targets.each[0].shape[1], mse_loss, {"_several": targets.several})

    def _read(self, y: Any, sequences: Samples, choice: str, sample_weight: Any) -> Targets:
        """y as (T_i, O) or (1, O) a sequence."""
        dtype = sequences.each[0].dtype

        def checked(values: Any, name: str) -> np.ndarray:
            return check_numbers(values, name, (), dtype=dtype, ensure_2d=False, allow_nd=True)

        targets = read_targets(y, sequences, checked, True, choice, sample_weight)
        each = [part if targets.several else part[:, None] for part in targets.each]
        return targets._replace(each=each)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
