"""Square errors of forecasts of a table in memory, by the row that is forecast."""

from __future__ import annotations

import numpy as np
from torch import nn

from bptt.training.tasks.baselines import Baselines
from bptt.training.tasks.forecast import Forecast


def square_errors(task: Forecast, found: np.ndarray, row: int) -> np.ndarray:
    """Of forecasts at the steps from a row on (T, K), (N, K); NaN where there is none."""
    errors = np.full((task.rows, len(task.outputs)), np.nan)
    for output, (place, ahead) in enumerate(task.outputs):
        truth = task.table.read(row + ahead, len(found))[:, place]
        errors[row + ahead :, output] = np.square(truth - found[: len(truth), output])
    return errors


def errors_of_model(task: Forecast, model: nn.Module) -> np.ndarray:
    """Of the forecasts of a trained model."""
    ((piece, _, y),) = task.walked(model, 0)
    return square_errors(task, task.in_units(y), piece.row)


def errors_of_baseline(task: Forecast, name: str) -> np.ndarray:
    """Of the forecasts of one of the task's baselines."""
    (piece,) = task.pieces(0, task.rows, 0)
    return square_errors(task, Baselines(task)(piece)[name], 0)
