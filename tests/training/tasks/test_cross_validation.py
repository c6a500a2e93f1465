from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from bptt.errors import TrainingDiverged
from bptt.training.options.classify import ClassifyOptions
from bptt.training.tasks import cross_validation
from bptt.training.tasks.cross_validation import CrossValidated, candidates, choose_options, cross_validate
from bptt.training.tasks.sequence_splits import classify_task


def task_of(path, count=12, steps=12, classes="ud", **choices):
    """Sequences whose first or last step gives the class away."""
    generator = np.random.default_rng(0)
    rows = [
        (
            number,
            float(generator.normal(0, 0.1) + (step == 0) * (number % len(classes))),
            classes[number % len(classes)],
        )
        for number in range(count)
        for step in range(steps)
    ]
    pl.DataFrame(rows, schema=["s", "x", "l"], orient="row").write_csv(path / "d.csv")
    options = {"hidden": 4, "series": "s", "label": "l", **choices}
    return classify_task(ClassifyOptions(data=path / "d.csv", **options))


def on_cpu(model):
    return torch.device("cpu")


def chosen(task, said=None):
    return choose_options(task, on_cpu, (lambda line: None) if said is None else said.append)


def test_what_is_given_stays_and_nothing_is_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(cross_validation, "cross_validate", None)
    given = {"batch": 3, "epochs": 7, "stride": 2, "readout": "mean"}
    task = task_of(tmp_path, **given)
    assert chosen(task) == task.config


@pytest.mark.parametrize(
    ("count", "steps", "batch", "epochs", "strides"),
    [(20, 12, 2, 188, [1]), (250, 70, 32, 215, [2, 3]), (2000, 3, 32, 30, [1])],
)
def test_what_is_open_follows_from_the_sequences(tmp_path, count, steps, batch, epochs, strides):
    found = candidates(task_of(tmp_path, count, steps))
    assert {(config.batch, config.epochs) for config in found} == {(batch, epochs)}
    assert [(config.stride, config.readout) for config in found] == [
        (stride, readout) for stride in strides for readout in ("last", "mean", "both")
    ]


def test_the_best_is_chosen_and_said(tmp_path, monkeypatch):
    found = {"last": (0.8, 0.5), "mean": (0.9, 0.4), "both": (0.9, 0.3)}
    monkeypatch.setattr(
        cross_validation,
        "cross_validate",
        lambda task, *_: CrossValidated(task.config, *found[task.config.readout]),
    )
    said = []
    assert chosen(task_of(tmp_path, count=24), said).readout == "both"
    assert said == [
        "trying 3 read-outs and strides on parts of 20 training sequences",
        "chosen by cross-validation: --readout both --stride 1 0.900 of sequences right (others: --readout mean "
        "--stride 1 0.900, --readout last --stride 1 0.800)",
    ]


def test_a_trial_classifies_sequences_that_its_networks_were_not_trained_on(tmp_path, monkeypatch):
    """Sequences of 2 steps whose class is their first step: learned at once; random classes are not predicted."""
    monkeypatch.setattr(cross_validation, "TRIED", 40)
    task = task_of(tmp_path, count=60, steps=2, lr=0.05)
    config = candidates(task)[1]
    assert cross_validate(replace(task, config=config), on_cpu).accuracy == 1.0
    task.data.labels[:] = np.random.default_rng(1).permutation(task.data.labels).tolist()
    assert cross_validate(replace(task, config=config), on_cpu).accuracy < 0.75


def test_neither_test_nor_validation_sequences_are_tried_on(tmp_path, monkeypatch):
    monkeypatch.setattr(cross_validation, "TRIED", 2)
    task = task_of(tmp_path, count=40, validation=0.2)
    found = chosen(task)
    data = task.data.sequences
    for place in (*task.splits["test"], *task.splits["validation"]):
        data[place] = np.full_like(data[place], np.nan)
    assert chosen(task) == found


def test_folds_have_each_class_and_hang_on_the_seed():
    truth = torch.tensor([0, 1, 2] * 10)
    folds = cross_validation.stratified_folds(truth, 0)
    for fold in range(5):
        assert Counter(truth[folds == fold].tolist()) == {0: 2, 1: 2, 2: 2}
    assert cross_validation.stratified_folds(torch.zeros(101), 0).unique().tolist() == [0, 1, 2]
    assert torch.equal(folds, cross_validation.stratified_folds(truth, 0))
    assert not torch.equal(folds, cross_validation.stratified_folds(truth, 1))


def test_a_trial_that_diverges_is_not_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr(cross_validation, "TRIED", 2)
    run = cross_validation.Training.run

    def diverging(training):
        if training.config.readout != "both":
            raise TrainingDiverged("the loss became nan", None)
        return run(training)

    monkeypatch.setattr(cross_validation.Training, "run", diverging)
    assert chosen(task_of(tmp_path)).readout == "both"
