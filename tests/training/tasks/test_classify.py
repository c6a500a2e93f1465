from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from bptt.errors import UserError
from bptt.runs.new_data import new_sequences
from bptt.training.config_file import ConfigFile
from bptt.training.loop import Training
from bptt.training.network import network_of
from bptt.training.options.classify import ClassifyOptions
from bptt.training.tasks.classify import inputs_of, strided, verdict_of
from bptt.training.tasks.sequence_splits import classify_task


def ts_text(count=24, seed=0, dimensions=2, classes=("down", "up")):
    """Sequences that rise or fall, of 3 to 9 steps."""
    generator, lines = np.random.default_rng(seed), []
    for number in range(count):
        label = classes[number % len(classes)]
        steps = np.arange(generator.integers(3, 10)) * (1 if label == "up" else -1)
        rows = [steps + generator.normal(0, 0.3, len(steps)) + place for place in range(dimensions)]
        lines.append(":".join(",".join(f"{value:.4f}" for value in row) for row in rows) + f":{label}")
    return f"@problemName p\n@classLabel true {' '.join(classes)}\n@data\n" + "\n".join(lines) + "\n"


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "p_TRAIN.ts"
    file.write_text(ts_text())
    return file


def configured_for(path, **choices):
    return ClassifyOptions(data=path, **{"hidden": 8, "epochs": 15, "batch": 5, **choices})


def test_it_learns_and_is_judged_beside_the_baselines(path, tmp_path):
    config = configured_for(path)
    task = classify_task(config)
    model = network_of(config, task)
    Training(model, task.updates(model), config).run()
    judged = task.judge(task.whole(model), "ours", tmp_path / task.output)
    assert judged.scores["ours"]["test"] == 1.0
    assert judged.scores["majority class"] == {"training": 0.5, "test": 0.5}
    assert judged.scores["1-nearest neighbour"]["test"] == 1.0
    assert judged.scores["1-nearest neighbour, warped"]["test"] == 1.0
    assert "training" not in judged.scores["1-nearest neighbour"]
    assert judged.verdict == (
        "As good as the best baseline: 100.0% of 4 test sequences are classified correctly, the best baseline "
        "(1-nearest neighbour) has 100.0%."
    )
    assert judged.judged_on == ["training", "test"]
    assert judged.confusion == [[2, 0], [0, 2]]

    rows = pl.read_csv(tmp_path / "predictions.csv")
    wanted = ["series", "split", "truth", "predicted", "probability of down", "probability of up"]
    assert rows.columns == wanted
    assert Counter(rows["split"]) == {"training": 20, "test": 4}
    sums = rows["probability of down"] + rows["probability of up"]
    assert np.allclose(sums, 1)


def test_a_test_file_beside_is_the_test_set(path):
    path.with_name("p_TEST.ts").write_text(ts_text(7, seed=1))
    task = classify_task(configured_for(path))
    assert {split: len(places) for split, places in task.splits.items()} == {"training": 24, "test": 7}
    assert task.splits["test"] == list(range(24, 31))
    with pytest.raises(UserError, match=r"--test 0\.5 draws test sequences, but p_TEST\.ts beside"):
        classify_task(configured_for(path, test=0.5))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ts_text(4, dimensions=3), "p_TEST.ts has 3 dimensions, but p_TRAIN.ts has 2"),
        (ts_text(4, classes=("up", "over")), "p_TEST.ts has labels that p_TRAIN.ts has not: 'over'"),
        (ts_text(4).replace("-", "?", 1), "p_TEST.ts, line 4, dimension 1"),
    ],
)
def test_a_test_file_that_does_not_fit_is_refused(path, text, words):
    path.with_name("p_TEST.ts").write_text(text)
    with pytest.raises(UserError, match=words):
        classify_task(configured_for(path))


def test_the_split_has_each_class_and_hangs_on_the_seed_alone(path):
    one, two, other = (classify_task(configured_for(path, seed=seed, validation=0.2)) for seed in (0, 0, 1))
    assert one.splits == two.splits != other.splits
    assert sorted(place for places in one.splits.values() for place in places) == list(range(24))
    for split, count in (("training", 8), ("validation", 2), ("test", 2)):
        assert Counter(one.truth(split).tolist()) == {0: count, 1: count}, split


def test_nothing_but_the_training_sequences_is_scaled_by(path):
    task = classify_task(configured_for(path))
    steps = np.concatenate([task.data.sequences[place] for place in task.splits["training"]])
    assert task.scaling.mean == pytest.approx(steps.mean(0).tolist())
    x = torch.cat(task.inputs("training"))
    assert torch.allclose(x.mean(0), torch.zeros(2), atol=1e-5)


def test_validation_chooses_and_balanced_weights_are_those_of_the_classes(tmp_path):
    file = tmp_path / "p.ts"
    text = ts_text(40).splitlines()
    few = [line for line in text if not line.endswith(":up")] + [line for line in text if line.endswith(":up")][:6]
    file.write_text("\n".join(few))
    config = configured_for(file, validation=0.2, class_weights="balanced", epochs=2)
    task = classify_task(config)
    model = network_of(config, task)
    updates = task.updates(model)
    down, up = Counter(task.truth("training").tolist()).values()
    weights = (down + up) / (2 * torch.tensor([down, up]))
    assert torch.allclose(updates.loss.weight, weights.float())
    fitted = Training(model, updates, config).run()
    assert fitted.epochs[-1].validation is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ts_text(6, classes=("up",)), "fewer than two classes"),
        (ts_text(2), "2 sequences of 2 classes, which leave none for test; some class needs at least 2"),
        ("@classLabel false\n@data\n1,2\n3,4\n", "fewer than two classes"),
    ],
)
def test_too_few_sequences_or_classes(tmp_path, text, words):
    (tmp_path / "p.ts").write_text(text)
    with pytest.raises(UserError, match=words):
        classify_task(configured_for(tmp_path / "p.ts"))


def test_a_sequence_of_one_step_and_a_look_at_the_longest(tmp_path):
    (tmp_path / "p.ts").write_text("@classLabel true a b\n@data\n1:a\n2:b\n3,4:a\n5:b\n")
    task = classify_task(configured_for(tmp_path / "p.ts"))
    excerpt, longest = (
        task.training_excerpt(),
        max(len(task.data.sequences[place]) for place in task.splits["training"]),
    )
    assert excerpt.x.shape[:2] == (longest, len(excerpt.d))


def test_new_sequences_are_read_as_the_run_read_its_own(path, tmp_path):
    config, labels = configured_for(path), ["down", "up"]
    run = ConfigFile(config, ["x1", "x2"], classify_task(config).scaling, labels)
    data = new_sequences(run, path, None, "error")
    assert len(inputs_of(data, run.scaling, config)) == 24
    with pytest.raises(UserError, match="has 2 dimensions, but this run was trained on 3"):
        new_sequences(replace(run, columns=["a", "b", "c"]), path, None, "error")
    (tmp_path / "d.csv").write_text("s,a,b\n1,2,3\n")
    with pytest.raises(UserError, match=r"is no \.ts file, as this run was trained on"):
        new_sequences(run, tmp_path / "d.csv", None, "error")
    table = ClassifyOptions(data=tmp_path / "d.csv", series="s", label="k")
    data = new_sequences(replace(run, config=table, columns=["a", "b"]), tmp_path / "d.csv", None, "error")
    assert (data.labels, data.classes) == ([None], labels)


def test_japanese_vowels_from_aeon():
    aeon = pytest.importorskip("aeon", reason="the package aeon, which carries JapaneseVowels, is not installed")
    from pathlib import Path

    folder = Path(aeon.__file__).parent / "datasets" / "data" / "JapaneseVowels"
    task = classify_task(ClassifyOptions(data=folder / "JapaneseVowels_TRAIN.ts"))
    assert {split: len(places) for split, places in task.splits.items()} == {"training": 270, "test": 370}
    assert (len(task.columns), len(task.labels)) == (12, 9)
    config = ClassifyOptions(epochs=15, batch=32, noise=0.0)
    model = network_of(config, task)
    Training(model, replace(task, config=config).updates(model), config).run()
    right = model(task.inputs("test")[0])[0][-1].argmax()
    assert int(right) == int(task.truth("test")[0])


def test_a_stride_puts_steps_side_by_side_and_repeats_the_first_to_fill():
    x = torch.arange(10.0).view(5, 2)
    assert strided(x, 1).tolist() == x.tolist()
    assert strided(x, 2).tolist() == [[0, 1, 0, 1], [2, 3, 4, 5], [6, 7, 8, 9]]
    assert strided(x[:1], 3).tolist() == [[0, 1, 0, 1, 0, 1]]


@pytest.mark.parametrize(
    ("ours", "words"),
    [
        (0.9, "Better than every baseline: 90.0% of 10 test sequences"),
        (0.8, "As good as the best baseline: 80.0% of 10"),
        (
            0.7,
            "Worse than a baseline: 70.0% of 10 test sequences are classified correctly, the best baseline (b)",
        ),
    ],
)
def test_the_verdict_is_on_the_best_baseline(ours, words):
    scores = {"ours": {"training": 0.7, "test": ours}, "a": {"test": 0.5}, "b": {"test": 0.8}}
    assert verdict_of(scores, 10).startswith(words)


def test_a_verdict_that_is_worse_advises_by_the_training_set():
    scores = {"ours": {"training": 0.7, "test": 0.5}, "a": {"test": 0.6}}
    wanted = "Untried: more --epochs or a larger --hidden, since only 70.0% of the training sequences are."
    assert verdict_of(scores, 10).endswith(wanted)
    scores["ours"]["training"] = 1.0
    assert verdict_of(scores, 10).endswith("Untried: more training sequences, another --noise or --cell lstm.")
