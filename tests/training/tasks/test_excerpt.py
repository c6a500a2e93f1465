import math

import torch

from bptt import squared_error
from bptt.training.tasks.excerpt import TrainingExcerpt, filled
from support import normal


def sample(d):
    return TrainingExcerpt(normal(9, 2, 3), d, torch.nn.MSELoss(), squared_error, "rows")


def test_its_last_steps_and_its_first_sequence():
    d = normal(9, 2, 1)
    part = sample(d).last(4)
    assert (part.what, sample(d).what) == ("the last 4 steps of rows", "rows")
    assert (len(part.x), len(part.d)) == (4, 4)
    x, wanted = part.sequence()
    assert torch.equal(x, normal(9, 2, 3)[-4:, 0])
    assert torch.equal(wanted, d[-4:, 0])
    assert (len(sample(d).last(100).x), sample(d).last(100).what) == (9, "rows")


def test_a_class_of_a_sequence_is_desired_at_each_of_its_steps():
    part = sample(torch.tensor([1, 0])).last(4)
    assert part.of_sequences
    assert part.d.tolist() == [1, 0]
    assert part.sequence()[1].tolist() == [1] * 4


def test_the_first_of_many_sequences():
    alone = sample(torch.tensor([1, 0])).first()
    assert torch.equal(alone.x, normal(9, 2, 3)[:, :1])
    assert (alone.d.tolist(), alone.last(4).what) == ([1], "the last 4 steps of the first of rows")
    by_step = sample(normal(9, 2, 1)).first()
    assert torch.equal(by_step.d, normal(9, 2, 1)[:, :1])
    assert by_step.first() is by_step


def test_a_missing_target_has_no_error():
    d, y = torch.tensor([[1.0], [math.nan]]), torch.tensor([[3.0], [7.0]])
    assert filled(d, y).tolist() == [[1.0], [7.0]]
    assert filled(y, d) is y
    classes = torch.tensor([1, 2])
    assert filled(classes, y) is classes
