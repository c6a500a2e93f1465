import pytest
import torch

from bptt.errors import UserError
from bptt.training.network import build
from bptt.training.options.text import TextOptions
from bptt.training.tasks.sampling import sample_text

LETTERS = ["\n", "a", "b", "c"]


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
