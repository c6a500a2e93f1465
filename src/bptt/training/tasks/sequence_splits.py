"""Labelled sequences, read and split into training, validation and test set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl

from ...errors import UserError, warn
from ..data.columns import listed
from ..data.labelled import Labelled, read_long
from ..data.scaling import Moments, Scaling
from ..data.tables import read_frame
from ..data.ts_files import read_ts
from ..options.classify import ClassifyOptions
from .classify import Classify


def read_labelled(path: Path, config: ClassifyOptions, table: pl.DataFrame | None = None) -> Labelled:
    """The sequences of a .ts file, or of a table in long format, from its file or in memory."""
    if path.suffix.lower() == ".ts":
        return read_ts(path, config.missing)
    assert config.series is not None
    frame = read_frame(path) if table is None else table
    return read_long(frame, path.name, config.series, config.label, config.inputs, config.time, config.missing)


def classify_task(config: ClassifyOptions, table: pl.DataFrame | None = None) -> Classify:
    """The sequences of a file or of a table in memory, split into training, validation and test set."""
    path = config.data
    assert path is not None
    data, test = read_labelled(path, config, table), None
    if (beside := test_file(path)) is not None:
        if config.test != ClassifyOptions.test:
            raise UserError(
                f"--test {config.test:g} draws test sequences, but {beside.name} beside {path.name} has them"
            )
        data, test = _joined(data, read_labelled(beside, config))
    return split_sequences(data, test, config)


def split_sequences(data: Labelled, test: list[int] | None, config: ClassifyOptions) -> Classify:
    """Labelled sequences as a task; the numbers of the test sequences are given, or drawn where they are None."""
    learned = sorted(set(range(len(data.sequences))) - set(test or ()))
    if None in data.labels or len({data.labels[place] for place in learned}) < 2:
        raise UserError(f"{data.name} has sequences of fewer than two classes; a classifier needs two")
    generator = np.random.default_rng([config.seed, 0])  # 0 is no epoch
    drawn = {}
    if test is None:
        learned, test = stratified_split(data, learned, config.test, generator)
        drawn = {"test": test}
    splits = {"training": learned}
    if config.validation > 0:
        learned, validation = stratified_split(data, learned, config.validation, generator)
        splits = {"training": learned, "validation": validation}
    for split, places in {**splits, **drawn}.items():
        if not places:
            raise UserError(
                f"{data.name} has {len(data.sequences)} sequences of {len(data.classes)} classes, which leave "
                f"none for {split}; some class needs at least {2 if config.validation == 0 else 3}"
            )
    if test:
        _note_rare(data, splits["training"])
    scaling = Scaling.of(np.concatenate([data.sequences[place] for place in learned]), data.columns)
    scaling.check(Moments.of(np.concatenate(data.sequences)), data.columns, data.name)
    return Classify(data, {**splits, "test": test}, scaling, config)


def _note_rare(data: Labelled, learned: list[int]) -> None:
    """Warn of classes without a training sequence, and of those with only one sequence."""
    count = Counter(data.labels[place] for place in learned)
    whole = Counter(data.labels)
    if unseen := [label for label in data.classes if not count[label]]:
        warn(f"{data.name} has no training sequence of {listed(unseen)}")
    if single := [label for label in data.classes if whole[label] == 1]:
        warn(f"{data.name} has one sequence of {listed(single)}: too few to train and test")


def test_file(path: Path) -> Path | None:
    """The _TEST.ts beside a _TRAIN.ts, where there is one."""
    beside = path.with_name(path.name.removesuffix("_TRAIN.ts") + "_TEST.ts")
    return beside if path.name.endswith("_TRAIN.ts") and beside.exists() else None


def _joined(data: Labelled, other: Labelled) -> tuple[Labelled, list[int]]:
    """Training and test file as one, and the places of the test sequences."""
    if data.columns != other.columns:
        raise UserError(
            f"{other.name} has {len(other.columns)} dimensions, but {data.name} has {len(data.columns)}"
        )
    unknown = sorted({str(label) for label in other.labels} - set(data.classes))
    if unknown:
        raise UserError(f"{other.name} has labels that {data.name} has not: {listed(unknown)}")
    first = len(data.sequences)
    names = [str(place + 1) for place in range(first + len(other.sequences))]
    sequences, labels = data.sequences + other.sequences, data.labels + other.labels
    both = Labelled(data.name, data.columns, names, sequences, labels, data.classes)
    return both, list(range(first, len(sequences)))


def stratified_split(
    data: Labelled, places: list[int], part: float, generator: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Draw a part of each class's sequences, at least one where there are two; returns the rest and the drawn."""
    drawn: set[int] = set()
    for label in data.classes:
        own = [place for place in places if data.labels[place] == label]
        count = min(max(1, round(len(own) * part)), len(own) - 1)
        drawn |= set(generator.permutation(own)[: max(0, count)].tolist())
    return [place for place in places if place not in drawn], sorted(drawn)
