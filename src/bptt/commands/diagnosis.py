"""The one diagnosis of a run that its command, its page and its training show."""

from __future__ import annotations

from dataclasses import replace

from ..insight.diagnosis.diagnose import LAGS, LEAST_STEPS, diagnose
from ..insight.diagnosis.result import Diagnosis
from ..networks import SequenceModel
from ..training.tasks.sample import Sample


def diagnosis_of(model: SequenceModel, sample: Sample, lags: int = LAGS) -> Diagnosis | None:
    """What `bptt.diagnose` says of a run's network on what it learned from; None where that is too short."""
    if len(sample.x) < LEAST_STEPS:
        return None
    found = diagnose(model, sample.x, sample.d, sample.criterion, lags=lags, errors=sample.errors)
    return replace(found, where=sample.what, notes=list(sample.notes))
