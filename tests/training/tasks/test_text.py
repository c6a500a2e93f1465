import math

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

import bptt
from bptt.errors import UserError
from bptt.training.loop import Training
from bptt.training.network import build, network_of
from bptt.training.options.text import TextOptions
from bptt.training.tasks import text as text_room
from bptt.training.tasks.text import sample_text, text_task, text_verdict

LETTERS = ["\n", "a", "b", "c"]

TEXT = "the cat sat on the mat and the rat sat on the cat. " * 40


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "t.txt"
    file.write_text(TEXT)
    return file


def made(path, **choices):
    config = TextOptions(data=path, **{"hidden": 16, "epochs": 3, "batch": 4, "k1": 16, **choices})
    task = text_task(config)
    return config, task, network_of(config, task)


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        (1.5, "Better than every baseline: 1.5 bits per byte on the test text, the best baseline, b, needs 2."),
        (2.0, "As good as the best baseline: 2 bits per byte on the test text, the best baseline, b, needs 2."),
        (
            2.125,
            "Worse than a baseline: 2.12 bits per byte on the test text, the best baseline, b, needs 2. Untried:",
        ),
    ],
)
def test_the_verdict_is_on_the_best_baseline(ours, said):
    scores = {"ours": {"validation": 9.0, "test": ours}, "a": {"test": 3.0}, "b": {"test": 2.0}}
    assert text_verdict(scores, "bits per byte").startswith(said)


def test_it_learns_to_predict_and_is_judged_beside_the_baselines(path, tmp_path):
    config, task, model = made(path, epochs=40, lr=0.02)
    fitted = Training(model, task.updates(model), config).run()
    judged = task.judge(task.whole(model), "ours", tmp_path / task.output)
    scores = {name: by_split["test"] for name, by_split in judged.scores.items()}
    assert judged.judged_on == ["test"]
    assert judged.verdict.startswith("Worse than a baseline: ")  # the text repeats itself
    assert scores["ours"] < 0.5 < 3 < scores["characters' frequencies"]
    assert scores["5-gram (Witten-Bell)"] < 1
    assert fitted.epochs[-1].loss < 0.5 * fitted.epochs[0].loss
    assert (tmp_path / "sample.txt").read_text() == judged.sample
    assert len(judged.sample) == 1000


def test_each_update_is_truncated_bptt_of_one_hot_characters_with_carried_state(path):
    _, task, model = made(path, k2=24)
    one_pass = task.updates(model).epoch(1)
    numbers = torch.from_numpy(task.numbers[: task.spans["training"][1]])
    T = (len(numbers) - 1) // 4
    x = torch.stack([numbers[row * T : (row + 1) * T] for row in range(4)], 1)
    d = torch.stack([numbers[row * T + 1 : (row + 1) * T + 1] for row in range(4)], 1)

    def loss(y, d):
        return cross_entropy(y.flatten(0, 1), d.flatten())

    wanted = bptt.truncated(model, one_hot(x, len(task.labels)).float(), d, loss, k1=16, k2=24)
    for number in range(3):
        update = next(one_pass)
        found = [weight.grad.clone() for weight in model.parameters()]
        model.zero_grad()
        assert update.loss == pytest.approx(next(wanted).loss.item(), rel=1e-6), f"update {number}"
        for a, weight in zip(found, model.parameters(), strict=True):
            assert torch.allclose(a, weight.grad, atol=1e-7)
        model.zero_grad()


def test_a_pass_goes_on_from_its_place(path):
    _, task, model = made(path)
    updates = task.updates(model)
    one_pass = updates.epoch(1)
    for _ in range(3):
        next(one_pass)
    place = one_pass.state_dict()
    assert list(updates.epoch(1, place)) == list(one_pass)


def test_bits_are_those_of_one_walk_however_it_is_cut(path, monkeypatch):
    _, task, model = made(path, validation=0.1)
    whole = task.nats(model, "validation")
    monkeypatch.setattr(text_room, "STEPS", 7)
    assert task.nats(model, "validation") == pytest.approx(whole, rel=1e-6)
    first, stop = task.spans["validation"]
    numbers = torch.from_numpy(task.numbers[first - 1 : stop])
    with torch.no_grad():
        y, _ = model(one_hot(numbers[:-1], len(task.labels)).float())
    assert cross_entropy(y, numbers[1:]).item() == pytest.approx(whole, rel=1e-5)
    assert whole == pytest.approx(math.log(len(task.labels)), rel=0.1)


def test_the_parts_follow_one_another_and_validation_chooses(path):
    config, task, model = made(path, validation=0.1, test=0.25, epochs=2)
    (a, b), (c, d), (e, f) = task.spans.values()
    assert (a, b, d, f) == (0, c, e, len(TEXT))
    assert f - e == round(0.25 * len(TEXT))
    assert all(epoch.validation is not None for epoch in Training(model, task.updates(model), config).run().epochs)


def test_dropout_and_bfloat16_train(path):
    for choices in ({"layers": 2, "dropout": 0.3}, {"precision": "bfloat16"}):
        config, task, model = made(path, **choices)
        losses = [epoch.loss for epoch in Training(model, task.updates(model), config).run().epochs]
        assert losses[-1] < losses[0]


def test_samples_are_taken_after_epochs_that_double(path):
    config, task, model = made(path)
    taken = {epoch: task.sample_after(model, epoch) for epoch in range(1, 10)}
    assert [epoch for epoch, sample in taken.items() if sample is not None] == [1, 2, 4, 8]
    assert taken[4] == sample_text(model, task.labels, "", 160, 0.8, config.seed)


def test_bytes_are_learned_from_any_file(tmp_path):
    (tmp_path / "t.bin").write_bytes("één twee \0".encode() * 60 + b"\xff\xfe" * 60)
    config, task, model = made(tmp_path / "t.bin", tokens="bytes", epochs=6, test=0.3)
    assert (len(task.labels), task.train_steps) == (256, len(task.text) - round(0.3 * len(task.text)) - 1)
    losses = [epoch.loss for epoch in Training(model, task.updates(model), config).run().epochs]
    judged = task.judge(task.whole(model), "ours", tmp_path / task.output)
    assert losses[-1] < 0.6 * losses[0]
    assert judged.measure.name == "bits per byte"
    assert "bytes' frequencies" in judged.scores
    assert (tmp_path / task.output).read_bytes().decode(errors="replace") == judged.sample


def test_the_embedded_text_is_the_default():
    task = text_task(TextOptions())
    assert task.name == "the embedded Moby-Dick"
    assert len(task.labels) == 83
    excerpt = task.training_excerpt()
    assert (tuple(excerpt.x.shape), tuple(excerpt.d.shape)) == ((512, 1, 83), (512, 1))
    assert excerpt.what == "characters 1-512 of the embedded Moby-Dick"


@pytest.mark.parametrize("text", ["", "a", "abcdefgh" * 2])
def test_too_short_a_text_names_the_minimum(tmp_path, text):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(UserError, match=r"of them for training; .* at least 17 are needed"):
        text_task(TextOptions(data=tmp_path / "t.txt"))


@pytest.fixture
def model():
    return build(TextOptions(hidden=8, init=3.0), 4, 4)


def test_the_same_seed_writes_the_same_and_another_another(model):
    one, two, other = (sample_text(model, LETTERS, "ab", 60, 1.0, seed) for seed in (1, 1, 2))
    assert one == two != other
    assert len(one) == 60
    assert set(one) <= set(LETTERS)


def test_a_temperature_of_0_takes_the_likeliest(model):
    written = sample_text(model, LETTERS, "ab", 5, 0.0, 0)
    numbers = [LETTERS.index(letter) for letter in "ab" + written]
    with torch.no_grad():
        y, _ = model(torch.nn.functional.one_hot(torch.tensor(numbers), 4).float())
    assert [LETTERS[int(scores.argmax())] for scores in y[1:-1]] == list(written)
    assert sample_text(model, LETTERS, "ab", 5, 1e-6, 3) == written


def test_what_is_drawn_has_the_probabilities_of_the_model(model):
    with torch.no_grad():
        y, _ = model(torch.nn.functional.one_hot(torch.tensor([0]), 4).float())
    drawn = [sample_text(model, LETTERS, "", 1, 0.5, seed) for seed in range(400)]
    for letter, wanted in zip(LETTERS, (y[0] / 0.5).softmax(-1).tolist(), strict=True):
        assert drawn.count(letter) / 400 == pytest.approx(wanted, abs=0.1)


def test_a_strange_character_is_named_and_the_process_own_numbers_are_left_alone(model):
    before = torch.get_rng_state()
    with pytest.raises(UserError, match="the prompt holds 'z' as character 2"):
        sample_text(model, LETTERS, "az", 5, 1.0, 0)
    sample_text(model, LETTERS, "a", 5, 1.0, 0)
    assert torch.equal(torch.get_rng_state(), before)
